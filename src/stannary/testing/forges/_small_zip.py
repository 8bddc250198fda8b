"""The smallest zip archive: stored members, honest headers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

__all__ = ["small_zip"]


def small_zip(members: Mapping[str, bytes]) -> bytes:
    """Return an archive of stored members."""
    body, directory = b"", b""
    for name, data in members.items():
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(name.encode()), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + name.encode()
        body += b"PK\x03\x04" + fields + name.encode() + data
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end
