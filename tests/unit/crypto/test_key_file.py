"""A file with a key: whole, or not there."""

import subprocess
import sys

import pytest

from stannary.core.errors import UsageError
from stannary.crypto.key_file import write_key

FULL = """
import resource, sys
from pathlib import Path
from stannary.crypto.key_file import write_key
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    write_key(Path(sys.argv[1]), b"k" * 100)
except OSError as error:
    print(error.strerror)
"""


def test_a_key_is_its_owners_and_never_overwritten(tmp_path):
    write_key(tmp_path / "key.pem", b"one")
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="never overwritten"):
        write_key(tmp_path / "key.pem", b"two")
    assert (tmp_path / "key.pem").read_bytes() == b"one"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_half_a_key_is_not_left_in_the_way_of_a_whole_one(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, tmp_path / "key.pem"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "File too large\n"
    assert not (tmp_path / "key.pem").exists()
