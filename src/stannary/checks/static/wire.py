"""What goes between processes: msgpack takes UTF-8 and 64 bits only.

A path may hold bytes that are no UTF-8 (PEP 383), and a file may state numbers of any size.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["packed", "shown", "unwired", "wired"]

_MARK = "\0"  # no path has one
_LEAST, _MOST = -(1 << 63), (1 << 64) - 1


def wired(path: str) -> str:
    """Return a path as text that can be sent and turned back: itself, or a mark and its bytes in hexadecimal."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _MARK + path.encode("utf-8", "surrogateescape").hex()
    return path


def unwired(text: str) -> str:
    """Return the path that was sent."""
    return bytes.fromhex(text[1:]).decode("utf-8", "surrogateescape") if text[:1] == _MARK else text


def shown(name: str) -> str:
    """Return a name as text that can be sent; bytes that are no UTF-8 are written out, for good."""
    return name.encode("utf-8", "backslashreplace").decode()


def packed(value: Any) -> bytes:  # noqa: ANN401 - any struct
    """Return a struct as msgpack, with the names in it as `shown` writes them, and numbers of more than 64 bits as text."""
    return msgspec.msgpack.encode(_plain(msgspec.to_builtins(value, builtin_types=(bytes,))))


def _plain(value: Any) -> Any:  # noqa: ANN401 - builtins of any shape
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not _LEAST <= value <= _MOST:
        return str(value)
    return value
