"""Keys in memory and in PEM files.

Private keys are PKCS #8, encrypted with a passphrase unless the caller says otherwise; public keys
are SubjectPublicKeyInfo. Elliptic curves P-256, P-384, P-521 and Ed25519; nothing else is accepted.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from stannary.core.errors import InputError, IntegrityError, UsageError, named_by_caller
from stannary.crypto.interface import Algorithm
from stannary.crypto.key_file import write_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["PrivateKey", "PublicKey", "generate", "read_private", "read_public"]

_CURVES: dict[str, Algorithm] = {
    "secp256r1": "ecdsa-p256-sha256",
    "secp384r1": "ecdsa-p384-sha384",
    "secp521r1": "ecdsa-p521-sha512",
}
# y of the Ed25519 points of small order (RFC 8032 section 8.9 and the two that are not canonical), sign bit aside:
# for such a key anybody can make signatures, on any message.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
_LARGEST = 1 << 16  # a PEM file of a key is a few hundred bytes


class PublicKey:
    """A public key of one of the four kinds."""

    def __init__(self, key: EllipticCurvePublicKey | Ed25519PublicKey) -> None:
        self.key = key
        self.algorithm: Algorithm = _algorithm_of(key)

    @classmethod
    def of_pem(cls, content: bytes, where: str = "key") -> PublicKey:
        """Read SubjectPublicKeyInfo in PEM. Raises InputError."""
        from cryptography.hazmat.primitives import serialization

        try:
            key = serialization.load_pem_public_key(content)
        except Exception as error:  # the parser raises ValueError, UnsupportedAlgorithm and others
            msg = f"is not a public key in PEM: {_first_line(error)}"
            raise InputError(msg, where=where, code="KEY001", help="`stannary keys public KEY` writes one") from error
        return cls(_supported_public(key, where))

    @classmethod
    def of_der(cls, content: bytes, where: str = "key") -> PublicKey:
        """Read DER SubjectPublicKeyInfo. Raises InputError."""
        from cryptography.hazmat.primitives import serialization

        try:
            key = serialization.load_der_public_key(content)
        except Exception as error:  # the parser raises ValueError, UnsupportedAlgorithm and others
            msg = f"is not a public key in DER: {_first_line(error)}"
            raise InputError(msg, where=where, code="KEY001") from error
        return cls(_supported_public(key, where))

    @cached_property
    def spki(self) -> bytes:
        """Return the DER SubjectPublicKeyInfo."""
        from cryptography.hazmat.primitives import serialization

        return self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def keyid(self) -> str:
        """Return the SHA-256 of the SubjectPublicKeyInfo, in hex."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def raw(self) -> bytes:
        """Return the 32 bytes of an Ed25519 key. Raises UsageError for another kind."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        if not isinstance(self.key, Ed25519PublicKey):
            msg = f"needs an Ed25519 key, and this is {self.algorithm}"
            raise UsageError(msg, code="KEY006")
        return self.key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def pem(self) -> bytes:
        """Return SubjectPublicKeyInfo in PEM."""
        from cryptography.hazmat.primitives import serialization

        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def pem_hash(self) -> str:
        """Return the SHA-256 of the key in PEM, in hex: how `model_signing` names keys."""
        return hashlib.sha256(self.pem()).hexdigest()

    @cached_property
    def hints(self) -> frozenset[str]:
        """Return every name that a signature may have for this key: the two hashes in hex, the key id in base64."""
        return frozenset({self.keyid, self.pem_hash, base64.b64encode(bytes.fromhex(self.keyid)).decode()})

    def verify_sha256(self, signature: bytes, message: bytes) -> None:
        """Verify as `verify` does, with SHA-256 whatever the curve: old signatures were made so. Raises IntegrityError."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
                return
        except (InvalidSignature, ValueError):
            pass
        msg = f"the signature does not hold for key {self.keyid[:16]} ({self.algorithm})"
        raise IntegrityError(msg, code="SIG001")

    def verify_digest(self, signature: bytes, digest: bytes, name: str) -> None:
        """Return when the signature is this (elliptic) key's on what has that digest. Raises IntegrityError."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, utils

        kinds = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
        try:
            if isinstance(self.key, ec.EllipticCurvePublicKey):
                self.key.verify(signature, digest, ec.ECDSA(utils.Prehashed(kinds[name])))
                return
        except (InvalidSignature, ValueError):
            pass
        msg = f"the signature does not hold for key {self.keyid[:16]} ({self.algorithm})"
        raise IntegrityError(msg, code="SIG001")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Return when the signature is this key's on the message. Raises IntegrityError."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            if isinstance(self.key, Ed25519PublicKey):
                self.key.verify(signature, message)
            else:
                self.key.verify(signature, message, _ecdsa(self.algorithm))
        except (InvalidSignature, ValueError) as error:
            msg = f"the signature does not hold for key {self.keyid[:16]} ({self.algorithm})"
            raise IntegrityError(msg, code="SIG001") from error


class PrivateKey:
    """A private key in memory: a Signer."""

    def __init__(self, key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> None:
        self.key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def of_pem(cls, content: bytes, passphrase: bytes | None = None, where: str = "key") -> PrivateKey:
        """Read PKCS #8 (or traditional) PEM. Raises UsageError for a passphrase that is wrong or missing, else InputError."""
        from cryptography.hazmat.primitives import serialization

        try:
            key = serialization.load_pem_private_key(content, passphrase)
        except TypeError as error:  # encrypted without a passphrase, or the other way round
            if passphrase is not None:
                return cls.of_pem(content, None, where)
            msg = "is protected with a passphrase, and none was given"
            raise UsageError(msg, where=where, code="KEY003", help="set STANNARY_PASSPHRASE, or run it in a terminal") from error
        except Exception as error:  # the parser raises ValueError, UnsupportedAlgorithm and others
            if b"ENCRYPTED" in content and passphrase is not None:
                msg = "could not be decrypted: the passphrase is wrong or the file is damaged"
                raise UsageError(msg, where=where, code="KEY004", help="check STANNARY_PASSPHRASE") from error
            msg = f"is not a private key in PEM: {_first_line(error)}"
            raise InputError(msg, where=where, code="KEY002", help="`stannary keys generate` makes one") from error
        return cls(_supported_private(key, where))

    def pem(self, passphrase: bytes | None) -> bytes:
        """Return PKCS #8 in PEM, encrypted (PBES2, scrypt or PBKDF2 with AES-256-CBC) when there is a passphrase."""
        from cryptography.hazmat.primitives import serialization

        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    def write(self, path: Path, passphrase: bytes | None) -> None:
        """Write a new file that only its owner can read. Raises UsageError when it is there already."""
        write_key(path, self.pem(passphrase))

    def sign(self, message: bytes) -> bytes:
        """Return the signature on the message."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(message)
        return self.key.sign(message, _ecdsa(self.public.algorithm))


def generate(algorithm: Algorithm = "ecdsa-p256-sha256") -> PrivateKey:
    """Make a key from the system's randomness."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if algorithm == "ed25519":
        return PrivateKey(ed25519.Ed25519PrivateKey.generate())
    curves = {"ecdsa-p256-sha256": ec.SECP256R1(), "ecdsa-p384-sha384": ec.SECP384R1(), "ecdsa-p521-sha512": ec.SECP521R1()}
    return PrivateKey(ec.generate_private_key(curves[algorithm]))


def read_private(path: str | Path, passphrase: bytes | None = None) -> PrivateKey:
    """Read a private key file. Raises UsageError."""
    with named_by_caller():
        return PrivateKey.of_pem(_content(path), passphrase, str(path))


def read_public(path: str | Path) -> PublicKey:
    """Read a public key file. Raises UsageError."""
    with named_by_caller():
        return PublicKey.of_pem(_content(path), str(path))


def _content(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        msg = "there is no such key file"
        raise UsageError(msg, where=str(path), code="KEY007", help="`stannary keys generate FILE` makes one") from None
    except IsADirectoryError:
        msg = "is a directory, and no key file"
        raise UsageError(msg, where=str(path), code="KEY007", help="name the file in it") from None
    if len(content) > _LARGEST:
        msg = f"is larger than any key file ({_LARGEST:,} bytes)"
        raise InputError(msg, where=str(path), code="KEY008")
    return content


@cache
def _ecdsa(algorithm: Algorithm) -> ECDSA:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    chosen = {"ecdsa-p256-sha256": hashes.SHA256(), "ecdsa-p384-sha384": hashes.SHA384(), "ecdsa-p521-sha512": hashes.SHA512()}
    return ec.ECDSA(chosen[algorithm])


def _algorithm_of(key: EllipticCurvePublicKey | Ed25519PublicKey) -> Algorithm:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return "ed25519" if isinstance(key, Ed25519PublicKey) else _CURVES[key.curve.name]


def _supported_public(key: object, where: str) -> EllipticCurvePublicKey | Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = bytearray(key.public_bytes_raw())
        raw[-1] &= 0x7F
        if bytes(raw) in _SMALL_ORDER:
            msg = "is a point of small order: anybody can sign for it"
            raise InputError(msg, where=where, code="KEY009", help="whoever gave you this key wants to be able to deny or to forge")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    raise _unsupported(key, where)


def _supported_private(key: object, where: str) -> EllipticCurvePrivateKey | Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PrivateKey) or (isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES):
        return key
    raise _unsupported(key, where)


def _unsupported(key: object, where: str) -> InputError:
    msg = f"is a key of a kind that is not used here ({type(key).__name__.strip('_')})"
    return InputError(msg, where=where, code="KEY009", help="use P-256, P-384, P-521 or Ed25519")


def _first_line(error: Exception) -> str:
    """Return what a parser says, without the advice of its makers to look into their questions and answers."""
    return str(error).partition("\n")[0].partition(" See http")[0][:120].rstrip(". ") or type(error).__name__
