"""Envelopes: a data key for each thing that is encrypted, wrapped by the keys of those who may open it.

An envelope's header is a small JSON document that lies beside what it opens:

    {"format": "stannary-envelope/1", "cipher": "cobblestone-256",
     "keys": [{"provider": "awskms", "key_id": "arn:…", "wrapped": "base64"}, …]}

Any one of the keys opens it. Another key, or a newer one, is a new header around the same data key: what is
encrypted stays as it is, however long it is. A key of a namespace is an envelope of its own, around a key that
wraps those of everything in the namespace; when that header and its copies are gone, all of it is unreadable.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from stannary.core.errors import BackendError, IntegrityError, StannaryError, UsageError
from stannary.crypto.chunked import KEY, Message, plain_size, sealed_size
from stannary.crypto.interface import Wrapper
from stannary.crypto.wrapping import WrappingKey

__all__ = ["LARGEST", "Envelopes", "Header", "WrappedKey", "namespace_key", "new_namespace", "rewrap_namespace"]

LARGEST = 1 << 16  # of a header, in bytes
_KEYS = 32


class WrappedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data key, encrypted by one key."""

    provider: str
    key_id: str
    wrapped: bytes


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What lies beside something that is encrypted."""

    format: Literal["stannary-envelope/1"] = "stannary-envelope/1"
    cipher: Literal["cobblestone-256"] = "cobblestone-256"
    keys: tuple[WrappedKey, ...]


class Envelopes:
    """Makes and opens envelopes.

    Args:
        wrappers: the keys that new headers are made for: one at least.
        former: keys that open what is there already, and get nothing new: those that are being replaced.
    """

    def __init__(self, wrappers: Sequence[Wrapper], former: Sequence[Wrapper] = ()) -> None:
        if not 1 <= len(wrappers) <= _KEYS:
            msg = f"an envelope is for 1 to {_KEYS} keys, not {len(wrappers)}"
            raise UsageError(msg, code="ENC011")
        self._wrappers = tuple(wrappers)
        self._all = (*self._wrappers, *former)

    def begin(self, context: bytes) -> bytes:
        """Return the header around a new data key."""
        return self._header(os.urandom(KEY), context)

    def key(self, header: bytes, context: bytes) -> bytes:
        """Return the data key.

        Raises:
            UsageError: none of the keys that open it is among ours.
            IntegrityError: the header is none, was altered, or is another context's.
            BackendError: the place of a key cannot be used.
        """
        failures: list[StannaryError] = []
        found = _read(header)
        for row in found.keys:
            for wrapper in self._all:
                if (wrapper.provider, wrapper.key_id) != (row.provider, row.key_id):
                    continue
                try:
                    return _checked(wrapper.unwrap(row.wrapped, context))
                except (IntegrityError, BackendError) as error:  # another of the keys may do
                    failures.append(error)
        if failures:
            raise failures[0]
        needed = ", ".join(f"{row.provider}:{row.key_id}" for row in found.keys)
        msg = f"none of the keys that open it is there: {needed:.300}"
        raise UsageError(msg, code="ENC012", help="open the store with one of them; if all are gone, so is the content")

    def rewrap(self, header: bytes, context: bytes) -> bytes:
        """Return a header for the keys of now around the same data key. Raises as `key` does."""
        return self._header(self.key(header, context), context)

    def current(self, header: bytes) -> bool:
        """Say whether a header is for the keys of now, and no others."""
        wanted = [(wrapper.provider, wrapper.key_id) for wrapper in self._wrappers]
        return [(row.provider, row.key_id) for row in _read(header).keys] == wanted

    def message(self, key: bytes, context: bytes, start: bytes | None = None) -> Message:
        """Return a message under a data key: a new one, or the one that starts with salt and commitment."""
        return Message(key, context, start)

    def sealed_size(self, size: int) -> int:
        """Return how long the message of a content is."""
        return sealed_size(size)

    def plain_size(self, sealed: int) -> int:
        """Return how long the content of a message is. Raises IntegrityError for a length that no message has."""
        return plain_size(sealed)

    def _header(self, key: bytes, context: bytes) -> bytes:
        rows = []
        for wrapper in self._wrappers:
            wrapped = wrapper.wrap(key, context)
            # A fault in a service must not be found out when the content is needed, years from now.
            if not hmac.compare_digest(wrapper.unwrap(wrapped, context), key):
                msg = f"{wrapper.provider}:{wrapper.key_id} does not give back the key that it wrapped"
                raise BackendError(msg, code="ENC013", help="use another key, and tell whoever runs that service")
            rows.append(WrappedKey(wrapper.provider, wrapper.key_id, wrapped))
        return msgspec.json.encode(Header(keys=tuple(rows))) + b"\n"


def new_namespace(name: str, keys: Envelopes) -> bytes:
    """Return the header around a new key of a namespace: to be kept, and to be destroyed with the namespace."""
    return keys.begin(_namespace(name))


def namespace_key(name: str, header: bytes, keys: Envelopes) -> WrappingKey:
    """Return the key of a namespace. Raises as `Envelopes.key` does."""
    return WrappingKey(keys.key(header, _namespace(name)), provider="namespace")


def rewrap_namespace(name: str, header: bytes, keys: Envelopes) -> bytes:
    """Return a header for other keys around the key of a namespace. Raises as `Envelopes.key` does."""
    return keys.rewrap(header, _namespace(name))


def _namespace(name: str) -> bytes:
    return b"stannary namespace\0" + name.encode()


def _read(header: bytes) -> Header:
    try:
        found = msgspec.json.decode(header[: LARGEST + 1], type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = f"cannot be read: {str(error)[:120]}"
        raise _no_header(why) from error
    if len(header) > LARGEST or not 1 <= len(found.keys) <= _KEYS:
        why = f"has {len(header)} bytes and {len(found.keys)} keys"
        raise _no_header(why)
    return found


def _no_header(why: str) -> IntegrityError:
    msg = f"the header of an envelope {why}"
    return IntegrityError(msg, code="ENC014", help="restore it from a backup, and find out who can write there")


def _checked(key: bytes) -> bytes:
    if len(key) != KEY:
        msg = f"what was wrapped is no data key: {len(key)} bytes"
        raise IntegrityError(msg, code="ENC014")
    return key
