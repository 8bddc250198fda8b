"""Keys: made, written, read, and refused when they are not what they should be."""

import pytest

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.keys import PrivateKey, PublicKey, generate, read_private, read_public

ALGORITHMS = ["ecdsa-p256-sha256", "ecdsa-p384-sha384", "ecdsa-p521-sha512", "ed25519"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_signs_and_its_public_half_verifies(algorithm):
    key = generate(algorithm)
    assert key.public.algorithm == algorithm
    signature = key.sign(b"tin")
    PublicKey.of_pem(key.public.pem()).verify(signature, b"tin")
    PublicKey.of_der(key.public.spki).verify(signature, b"tin")
    with pytest.raises(IntegrityError):
        key.public.verify(signature, b"lead")
    with pytest.raises(IntegrityError):
        key.public.verify(b"", b"tin")
    with pytest.raises(IntegrityError):
        generate(algorithm).public.verify(signature, b"tin")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("other", ALGORITHMS)
def test_a_signature_of_another_algorithm_is_refused(algorithm, other):
    if algorithm == other:
        other = ALGORITHMS[(ALGORITHMS.index(other) + 1) % 4]
    with pytest.raises(IntegrityError):
        generate(algorithm).public.verify(generate(other).sign(b"tin"), b"tin")


def test_a_private_key_file_is_its_owner_s_alone_and_never_overwritten(tmp_path):
    path = tmp_path / "k.pem"
    key = generate()
    key.write(path, b"secret")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    with pytest.raises(UsageError, match="never overwritten"):
        key.write(path, b"secret")
    assert read_private(path, b"secret").public.keyid == key.public.keyid


def test_a_passphrase_that_is_missing_or_wrong_is_said_so(tmp_path):
    path = tmp_path / "k.pem"
    generate().write(path, b"secret")
    with pytest.raises(UsageError, match="protected"):
        read_private(path)
    with pytest.raises(UsageError, match="decrypted"):
        read_private(path, b"guess")


def test_a_passphrase_that_is_not_needed_does_no_harm(tmp_path):
    path = tmp_path / "k.pem"
    key = generate("ed25519")
    key.write(path, None)
    assert read_private(path, b"secret").public.keyid == key.public.keyid


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "k.pem"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        read_public(path)
    with pytest.raises(UsageError):
        read_private(path)


def test_keys_of_other_kinds_and_files_too_large_are_refused(tmp_path):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256K1())):
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(InputError, match="kind that is not used"):
            PublicKey.of_pem(pem)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        with pytest.raises(InputError, match="kind that is not used"):
            PrivateKey.of_pem(private)
    large = tmp_path / "large"
    large.write_bytes(b"x" * (1 << 17))
    with pytest.raises(UsageError, match="larger"):
        read_public(large)
    with pytest.raises(UsageError, match="no such key"):
        read_public(tmp_path / "none")
    with pytest.raises(UsageError, match="directory"):
        read_private(tmp_path)
