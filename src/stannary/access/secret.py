"""Secrets: made here, shown once, kept as digests.

A token is `stn_`, 43 characters (256 random bits in base62) and 6 of a checksum, so that a scanner of secrets tells one from
other text and a mistyped one is refused before any table is asked. What is stored is its SHA-256: 256 random bits need no salt
and no slow hash. Passwords have neither property; they get argon2id.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import zlib
from functools import cache
from typing import TYPE_CHECKING

from stannary.core.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

__all__ = ["PREFIX", "Secret", "check_new_password", "digest", "hash_password", "is_token", "new", "same", "verify_password"]

PREFIX = "stn_"
_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECK = 43, 6
_TOKEN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_BODY + _CHECK}}}")
_SHORTEST, _LONGEST = 12, 1024
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MiB


class Secret(str):
    """A text that shows itself to nobody who only prints it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(…)"


def new() -> Secret:
    """Return a new token."""
    body = _base62(int.from_bytes(secrets.token_bytes(32)), _BODY)
    return Secret(f"{PREFIX}{body}{_checksum(body)}")


def is_token(text: str) -> bool:
    """Tell whether a text is a token by its form and checksum."""
    if not _TOKEN.fullmatch(text):
        return False
    body = text[len(PREFIX) : -_CHECK]
    return hmac.compare_digest(_checksum(body), text[-_CHECK:])


def digest(text: str) -> str:
    """Return what is stored of a secret: its SHA-256 in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str) -> bool:
    """Tell whether two digests are the same, in a time that does not say where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def check_new_password(password: str, name: str) -> None:
    """Raise UsageError for a password that is too short, too long or the account's name (NIST SP 800-63B, 5.1.1.2)."""
    problem = ""
    if len(password) < _SHORTEST:
        problem = f"a password has {_SHORTEST} characters at least"
    elif len(password) > _LONGEST:
        problem = f"a password has {_LONGEST:,} characters at most"
    elif name and name in password.lower() and len(password) < 2 * _SHORTEST:
        problem = "the password has the account's name in it"
    elif len(set(password)) < 5:  # noqa: PLR2004 - aaaaaaaaaaaa, 121212121212
        problem = "the password is made of the same few characters"
    if problem:
        raise UsageError(problem, code="ACC013", help="a few words that do not belong together")


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password (RFC 9106, the second recommended set: 64 MiB, 3 passes)."""
    with _AT_ONCE:
        return _hasher().hash(password)


def verify_password(password: str, stored: str | None) -> bool:
    """Tell whether a password is the one that was hashed. Without a hash as much work is done, and the answer is no."""
    from argon2.exceptions import InvalidHashError, VerificationError

    with _AT_ONCE:
        try:
            _hasher().verify(stored or _nobodys(), password[:_LONGEST])
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


@cache
def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ModuleNotFoundError as error:
        msg = "passwords need argon2-cffi, which is not installed"
        raise UsageError(msg, code="DEP001", help="pip install 'stannary[server]'") from error
    return PasswordHasher(time_cost=3, memory_cost=64 << 10, parallelism=1)


@cache
def _nobodys() -> str:
    return _hasher().hash(secrets.token_hex(16))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(value: int, size: int) -> str:
    found = []
    for _ in range(size):
        value, rest = divmod(value, 62)
        found.append(_LETTERS[rest])
    return "".join(reversed(found))
