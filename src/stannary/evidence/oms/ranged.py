"""Reading files of a signed model, verified as they are read.

The signature is verified when the model is opened; a file is compared with it range by range, when a range is
first wanted. What a reader gets are the very bytes that were hashed, from memory: a file that is changed
meanwhile cannot be read. With a signature in shards (`stannary sign --shard-size 1M`) a range is a shard, so
one tensor of a large file costs its own shards; without shards the range is the whole file.
"""

from __future__ import annotations

import io
import os
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.evidence.oms.bundle import Bundle, strict_json
from stannary.evidence.oms.digests import hasher_of
from stannary.evidence.oms.interface import SignedBy, Trust
from stannary.evidence.oms.listing import list_model
from stannary.evidence.oms.manifest import SINGLE, Manifest, Resource, parse_manifest
from stannary.evidence.oms.verify import read_signature
from stannary.formats.tree import Entry

__all__ = ["SignedFile", "SignedModel", "SignedTensors", "Tensor"]

MOST_MEMORY = 1 << 30  # bytes of verified ranges that are kept at once
_MOST_HEADER = 100 << 20  # safetensors' own limit


class SignedModel:
    """A model with a verified signature. `signer` is who signed it, `manifest` what."""

    def __init__(self, path: str | Path, signature: str | Path | Bundle, trust: Trust, *, memory: int = MOST_MEMORY) -> None:
        """Verify the signature; no file is read yet. Raises IntegrityError or UsageError."""
        bundle = signature if isinstance(signature, Bundle) else read_signature(signature)
        self.signer: SignedBy = trust.check(bundle)
        self.manifest: Manifest = parse_manifest(bundle.payload)
        self._memory = memory
        self._listing = list_model(os.fspath(path), (), keep=self.manifest.paths - {SINGLE})
        self._ranges: dict[str, list[Resource]] = {name: [] for name in self.manifest.empty}
        for resource in self.manifest.resources:
            self._ranges.setdefault(resource.path, []).append(resource)

    @property
    def names(self) -> list[str]:
        """Return the names of the files that are signed."""
        return sorted(self._ranges)

    def open(self, name: str = SINGLE) -> SignedFile:
        """Open a signed file for reading. Raises UsageError for one that is not signed, IntegrityError when it is not there."""
        ranges = self._ranges.get(name)
        if ranges is None:
            msg = "is not among the signed files"
            raise UsageError(msg, where=name, code="SIG004", help="read files that are signed")
        entry = self._entry(name)
        how = self.manifest.serialization
        return SignedFile(entry, sorted(ranges, key=lambda item: item.start), how.hash_type, how.shard_size, self._memory)

    def tensors(self, name: str) -> SignedTensors:
        """Open a signed safetensors file. Raises as `open` does, and InputError when it is none."""
        return SignedTensors(self.open(name))

    def _entry(self, name: str) -> Entry:
        listing = self._listing
        here = SINGLE if not listing.is_folder and name == listing.name else name
        entry = listing.entries.get(here)
        if entry is None:
            msg = "is signed, and is not there"
            raise IntegrityError(msg, where=name, code="SIG006")
        if here in listing.linked and not self.manifest.serialization.allow_symlinks:
            msg = "is a link, or lies behind one, and was signed as a plain file"
            raise IntegrityError(msg, where=name, code="SIG008")
        return entry


class SignedFile(io.RawIOBase):
    """A file that gives out verified bytes only. Reading raises IntegrityError where it is not as it was signed."""

    def __init__(self, entry: Entry, ranges: list[Resource], algorithm: str, shard_size: int | None, memory: int) -> None:
        super().__init__()
        self.name = entry.path
        self._new = hasher_of(algorithm)
        self._descriptor = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = os.fstat(self._descriptor).st_size
        self._step = shard_size or max(self.size, 1)
        self._digests = [item.digest for item in ranges]
        self._position = 0
        self._memory = memory
        self._verified: OrderedDict[int, bytes] = OrderedDict()
        end = ranges[-1].end if ranges else 0
        if end is not None and end != self.size:
            self.close()
            msg = f"has {self.size:,} bytes, and was signed with {end:,}"
            raise IntegrityError(msg, where=self.name, code="SIG005", help="get the file again from where it was signed")
        if not self.size and end is None and self._new().hexdigest() != self._digests[0]:  # no range of it will ever be read
            self.close()
            msg = "is not what was signed: it has no content any more"
            raise IntegrityError(msg, where=self.name, code="SIG005", help="get the file again from where it was signed")
        if self._step > memory and self.size > memory:
            self.close()
            msg = f"is verified in ranges of {self._step:,} bytes, and {memory:,} may be kept in memory"
            raise UsageError(msg, where=self.name, code="SIG020", help="sign it with a smaller --shard-size")

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, the position, or the end. Raises ValueError before the start."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            msg = "before the start of the file"
            raise ValueError(msg)
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - collections.abc.Buffer is of Python 3.12
        """Read verified bytes up to the end of a range. Raises IntegrityError."""
        view = memoryview(buffer).cast("B")
        if not view or self._position >= self.size:
            return 0
        index, within = divmod(self._position, self._step)
        content = self._range(index)
        piece = memoryview(content)[within : within + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def pread(self, count: int, offset: int) -> bytes:
        """Return up to `count` verified bytes at an offset; fewer at the end of the file. Raises IntegrityError."""
        end = min(offset + count, self.size)
        pieces = []
        while offset < end:
            index, within = divmod(offset, self._step)
            piece = memoryview(self._range(index))[within : within + end - offset]
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._descriptor)
            self._verified.clear()
        super().close()

    @property
    def verified(self) -> int:
        """Return how many bytes are in memory, verified."""
        return sum(map(len, self._verified.values()))

    def _range(self, index: int) -> bytes:
        content = self._verified.get(index)
        if content is not None:
            self._verified.move_to_end(index)
            return content
        content = self._read(index * self._step, min((index + 1) * self._step, self.size))
        digest = self._new()
        digest.update(content)
        if digest.hexdigest() != self._digests[index]:
            place = "" if len(self._digests) == 1 else f" in the {self._step:,} bytes from {index * self._step:,}"
            msg = f"is not what was signed: its content changed{place}"
            raise IntegrityError(msg, where=self.name, code="SIG005", help="get the file again from where it was signed")
        self._verified[index] = content
        while len(self._verified) > 1 and self.verified > self._memory:
            self._verified.popitem(last=False)
        return content

    def _read(self, start: int, end: int) -> bytes:
        pieces = []
        while start < end and (piece := os.pread(self._descriptor, min(end - start, 1 << 24), start)):
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)


class Tensor(NamedTuple):
    """A tensor as it lies in the file: safetensors' dtype (`F32`), shape, bytes (little-endian, row-major)."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class SignedTensors(Mapping[str, Tensor]):
    """The tensors of a signed safetensors file; each is read and verified when it is asked for."""

    def __init__(self, file: SignedFile) -> None:
        self._file = file
        try:
            length = struct.unpack("<Q", file.pread(8, 0))[0]
            if length > min(_MOST_HEADER, file.size - 8):
                msg = f"a header of {length:,} bytes"
                raise ValueError(msg)  # noqa: TRY301 - told below, with what else can be wrong
            self._start = 8 + length
            header: dict[str, Any] = strict_json(file.pread(length, 8))
            self._tensors = {name: self._place(value) for name, value in header.items() if name != "__metadata__"}
        except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            msg = f"is not a safetensors file: {error}"
            raise InputError(msg, where=file.name, code="SIG013") from error

    def __getitem__(self, name: str) -> Tensor:
        dtype, shape, start, end = self._tensors[name]
        return Tensor(dtype, shape, self._file.pread(end - start, self._start + start))

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def _place(self, value: dict[str, Any]) -> tuple[str, tuple[int, ...], int, int]:
        start, end = value["data_offsets"]
        if not 0 <= start <= end <= self._file.size - self._start:
            msg = f"a tensor from {start} to {end}"
            raise ValueError(msg)
        return str(value["dtype"]), tuple(map(int, value["shape"])), int(start), int(end)
