"""Where the members of a plain tar lie, for readers that find one of them from the end of the file."""

from __future__ import annotations

from stannary.formats.interface import View
from stannary.formats.tar import block_sums, octal

__all__ = ["plain_members"]

_BLOCK = 512
_HEADERS = 20_000
_CONTENT = (b"0", b"\x00")
_MOVES = (b"size=", b"GNU.sparse")  # pax records after which readers disagree on where the next header is


def plain_members(view: View) -> list[tuple[int, int]]:
    """Return the extents of all files of a tar about which no two readers disagree; empty for any other content."""
    found: list[tuple[int, int]] = []
    at = 0
    for _ in range(_HEADERS):
        block = bytes(view.data[at : at + _BLOCK])
        if len(block) < _BLOCK or not block.strip(b"\x00"):
            return found
        size = octal(block[124:136])
        kind = block[156:157]
        if octal(block[148:156]) not in block_sums(block) or size is None or size < 0:
            return []
        data = at + _BLOCK
        if kind in (b"x", b"g"):
            records = bytes(view.data[data : data + min(size, 1 << 16)])
            if size > len(records) or any(word in records for word in _MOVES):
                return []
        elif kind in _CONTENT:
            found.append((data, data + size))
        elif kind not in (b"L", b"K", b"5") or (kind == b"5" and size):
            return []
        at = data + -(-size // _BLOCK) * _BLOCK
    return []
