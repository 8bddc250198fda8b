"""HDF5: fractal heaps and version 2 B-trees, behind groups and attributes stored densely.

Source: HDF5 File Format Specification Version 3.0, sections III.A.2, III.G.
"""

from __future__ import annotations

from collections.abc import Iterator

from stannary.core.errors import FormatError
from stannary.formats.hdf5_file import Hdf5File
from stannary.formats.interface import Cursor

__all__ = ["FractalHeap", "tree_records"]

_PREFIX = 10  # signature, version, type, checksum of a B-tree node
_DEPTH = 16
_ROWS = 64
_HUGE_DIRECT = (1, 3)


def _encoded_size(limit: int) -> int:
    """Return how many bytes the library needs for numbers up to `limit` (H5VM_limit_enc_size)."""
    return (max(limit, 1).bit_length() - 1) // 8 + 1


class _Tree:
    """Header of a version 2 B-tree, and the record counts its node sizes imply."""

    def __init__(self, file: Hdf5File, address: int) -> None:
        cursor = file.cursor(address, b"BTHD")
        cursor.skip(1)
        self.kind = cursor.uint(1)
        self.node_size = cursor.uint(4)
        self.record_size = cursor.uint(2)
        self.depth = cursor.uint(2)
        cursor.skip(2)
        self.root = file.offset(cursor)
        self.root_records = cursor.uint(2)
        self.total = file.length(cursor)
        if self.record_size == 0 or self.depth > _DEPTH or self.node_size < _PREFIX:
            msg = f"B-tree with records of {self.record_size} bytes and depth {self.depth}"
            raise FormatError(msg, cursor.pos)
        leaf = (self.node_size - _PREFIX) // self.record_size
        self.count_size = _encoded_size(leaf)
        self.total_sizes = [0]  # bytes of the "total records" field of pointers to each level
        below = leaf
        for level in range(1, self.depth + 1):
            pointer = file.osize + self.count_size + self.total_sizes[level - 1]
            records = max(0, (self.node_size - _PREFIX - pointer) // (self.record_size + pointer))
            below = (records + 1) * below + records
            self.total_sizes.append(_encoded_size(below))


def tree_records(file: Hdf5File, address: int) -> Iterator[tuple[int, Cursor]]:
    """Yield (tree type, cursor over one record) for all records. Raises FormatError."""
    tree = _Tree(file, address)
    stack: list[tuple[int | None, int, int]] = [(tree.root, tree.root_records, tree.depth)]
    seen: set[int] = set()
    while stack:
        node, records, level = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        cursor = file.cursor(node, b"BTIN" if level else b"BTLF")
        cursor.skip(2)
        for _ in range(records):
            yield tree.kind, Cursor(file.view.sub(cursor.pos, tree.record_size))
            cursor.skip(tree.record_size)
        if level:
            for _ in range(records + 1):
                child = file.offset(cursor)
                count = cursor.uint(tree.count_size)
                cursor.skip(tree.total_sizes[level - 1])
                stack.append((child, count, level - 1))


class FractalHeap:
    """Objects by heap identifier. Filtered heaps and filtered huge objects raise FormatError."""

    def __init__(self, file: Hdf5File, address: int) -> None:
        self.file = file
        cursor = file.cursor(address, b"FRHP")
        cursor.skip(1)
        self.id_length = cursor.uint(2)
        filters = cursor.uint(2)
        cursor.skip(1 + 4 + file.lsize)
        self.huge_tree = file.offset(cursor)
        cursor.skip(file.lsize + file.osize + 8 * file.lsize)
        self.width = cursor.uint(2)
        self.start_size = file.length(cursor)
        self.max_direct = file.length(cursor)
        bits = cursor.uint(2)
        cursor.skip(2)
        self.root = file.offset(cursor)
        self.rows = cursor.uint(2)
        self.offset_size = (bits + 7) // 8
        self.length_size = min(_encoded_size(self.max_direct), self.offset_size)
        if filters:
            msg = "a filtered fractal heap"
            raise FormatError(msg, file.base + address)
        if not self.width or not self.start_size or self.rows > _ROWS:
            msg = f"a fractal heap {self.width} wide, of {self.rows} rows"
            raise FormatError(msg, file.base + address)
        self.direct_rows = self.max_direct.bit_length() - self.start_size.bit_length() + 2
        self._huge: dict[int, tuple[int, int]] | None = None

    def object(self, identifier: bytes) -> tuple[int, int]:
        """Return (view position, size) of an object. Raises FormatError."""
        kind = identifier[0] >> 4 & 3
        if kind == 0:
            offset = int.from_bytes(identifier[1 : 1 + self.offset_size], "little")
            size = int.from_bytes(identifier[1 + self.offset_size : 1 + self.offset_size + self.length_size], "little")
            position = self._managed(offset)
            self.file.view.sub(position, size)
            return position, size
        if kind == 1:
            return self._huge_object(identifier[1:])
        msg = f"fractal heap object of kind {kind}"
        raise FormatError(msg)

    def _managed(self, offset: int) -> int:
        """Map an offset in the heap's space to a position in the view (doubling table)."""
        file, block, rows = self.file, self.root, self.rows
        for _ in range(_ROWS):
            if block is None:
                break
            if rows == 0:
                return file.base + block + offset
            cursor = file.cursor(block, b"FHIB")
            cursor.skip(1 + file.osize + self.offset_size)
            row, size = 0, self.start_size
            while row < rows and offset >= size * self.width:
                offset -= size * self.width
                row += 1
                size = self.start_size << max(0, row - 1)
            if row >= rows:
                break
            column, offset = divmod(offset, size)
            cursor.skip((row * self.width + column) * file.osize)
            block = file.offset(cursor)
            rows = 0 if row < self.direct_rows else (size // (self.start_size * self.width)).bit_length()
        msg = "an object outside its fractal heap"
        raise FormatError(msg)

    def _huge_object(self, rest: bytes) -> tuple[int, int]:
        file = self.file
        if len(rest) >= file.osize + file.lsize:  # the identifier itself holds address and length
            address = int.from_bytes(rest[: file.osize], "little")
            size = int.from_bytes(rest[file.osize : file.osize + file.lsize], "little")
            return self._checked(address, size)
        if self._huge is None:
            self._huge = {}
            for kind, cursor in tree_records(file, self.huge_tree) if self.huge_tree is not None else ():
                if kind not in _HUGE_DIRECT:
                    msg = "filtered objects in a fractal heap"
                    raise FormatError(msg)
                address, size = cursor.uint(file.osize), file.length(cursor)
                self._huge[file.length(cursor) if kind == 1 else len(self._huge)] = (address, size)
        number = int.from_bytes(rest, "little")
        if number not in self._huge:
            msg = f"no huge object {number} in a fractal heap"
            raise FormatError(msg)
        return self._checked(*self._huge[number])

    def _checked(self, address: int, size: int) -> tuple[int, int]:
        self.file.view.sub(self.file.base + address, size)
        return self.file.base + address, size
