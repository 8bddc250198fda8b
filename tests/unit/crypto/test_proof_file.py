"""The text of a proof: what was written is read, and nothing else."""

import base64

import pytest

from stannary.core.errors import IntegrityError
from stannary.crypto.proof_file import decode_proof, encode_proof

HASHES = [bytes([n]) * 32 for n in range(3)]
NOTE = "example.com/log\n4\nAAAA\n\n— example.com/log AAAAAAAA\n"
TEXT = encode_proof(2, HASHES, NOTE)


def test_what_was_written_is_read():
    assert decode_proof(TEXT) == (2, HASHES, NOTE)
    assert decode_proof(encode_proof(0, [], NOTE)) == (0, [], NOTE)


def test_extra_data_is_skipped():
    assert decode_proof(TEXT.replace("\nindex", "\nextra YWdl\nindex")) == (2, HASHES, NOTE)


@pytest.mark.parametrize(
    "old, new",
    [
        ("@v1", "@v2"),
        ("index 2", "index 02"),
        ("index 2", "index -2"),
        ("index 2", "index"),
        ("index 2", "INDEX 2"),
        ("index 2\n", ""),
        ("\n\n", "\n"),
        (base64.b64encode(HASHES[1]).decode(), "AQ"),
        (base64.b64encode(HASHES[1]).decode(), base64.b64encode(HASHES[1]).decode()[:-2] + "F="),
    ],
)
def test_what_is_not_a_proof_is_refused(old, new):
    with pytest.raises(IntegrityError) as refused:
        decode_proof(TEXT.replace(old, new, 1))
    assert (refused.value.code, bool(refused.value.help)) == ("LED005", True)
