"""The content of ZIP members: decoded by every method the headers name, and handed on.

Stored content is passed on as a view of the file. Raw tensor storages are only looked at where
they begin: gigabytes of them cost nothing, and a pickle or an executable put in their place is
still found.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from stannary.core.errors import BudgetExceeded
from stannary.formats.decompress import (
    DECODE_ERRORS,
    Codec,
    Inflater,
    LibraryDecoder,
    Stream,
    bz2_decoder,
    no_bomb,
    xz_decoder,
    zstd_decoder,
)
from stannary.formats.interface import Sink, View, clip
from stannary.formats.pickle_glance import glance
from stannary.formats.zip_directory import Entry, Local
from stannary.formats.zip_facts import is_symlink, path_problems
from stannary.formats.zip_kinds import Kind

__all__ = ["Member", "MemberReader", "hides_code", "leaves"]

_STORED, _DEFLATE, _BZIP2, _LZMA, _ZSTD_OLD, _ZSTD, _XZ = 0, 8, 12, 14, 20, 93, 95
_METHODS: dict[int, Codec] = {
    _DEFLATE: lambda: Inflater(-15),
    _BZIP2: bz2_decoder,
    _ZSTD_OLD: zstd_decoder,
    _ZSTD: zstd_decoder,
    _XZ: xz_decoder,
}
_CRC_BUDGET = 64 << 20  # bytes of stored content whose checksum is verified, in one archive
_CRC_ONE = 16 << 20
_MAX_SOURCE = 4 << 20
_COMPRESSED = (
    b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x5d\x00\x00",
    b"x\x01", b"x^", b"x\x9c", b"x\xda", b"ZF", b"\x89HDF", b"\x93NUMPY", b"\xffLZMA",
)  # fmt: skip
# Beginnings that raw numbers do not have by chance (4 bytes and more), and that something may run or unpack.
_STRONG = (
    b"PK\x03\x04", b"\x7fELF", b"7z\xbc\xaf\x27\x1c", b"\xfd7zXZ\x00", b"\x1f\x8b\x08\x08", b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18", b"\x93NUMPY", b"\x89HDF\r\n", b"#!/",
)  # fmt: skip
_LINK_TARGET = re.compile(r"[\w./\\+@~%=,: -]{1,1024}")  # no newline, quote, brace or bracket: neither pickle nor JSON nor code
_PICKLE_HEAD = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?"
    rb"(?:c[\x20-\x7e]{1,200}\n[\x20-\x7e]{1,200}\n|[\x8c]..{0,255}\x94|X.{3}\x00|[\(\)\]}\x8f]|q\x00|K.q|[\x82-\x84])"
    rb"|\(?[ci][A-Za-z_][\w.]{0,80}\n[A-Za-z_][\w.]{0,80}\n|\((?:[dl]?p\d+\n|[SV][^\n]{0,200}\n)",
    re.DOTALL,
)


class Member(msgspec.Struct):
    """Content at `data`, `packed` bytes long; `label` tells a second reading of the same entry from the first."""

    name: str
    method: int
    flags: int
    crc: int
    packed: int
    size: int
    header: int
    data: int
    spread: bool
    label: str
    entry: Entry | None
    aliases: list[str]
    cut: bool = False  # the file ends, or something else begins, before its content does

    @classmethod
    def from_both(cls, entry: Entry, local: Local, name: str) -> Member:
        """What a random-access loader reads: sizes from the directory, place from the local header."""
        flags = entry.flags | local.flags & 1
        return cls(
            name, entry.method, flags, entry.crc, entry.packed, entry.size, local.offset, local.data, local.spread, "", entry, []
        )

    @classmethod
    def from_local(cls, local: Local, name: str, label: str, packed: int = -1) -> Member:
        """What a streaming loader reads."""
        packed = local.packed if packed < 0 else packed
        return cls(
            name, local.method, local.flags, local.crc, packed, local.size, local.offset, local.data, local.spread, label, None, []
        )


def hides_code(head: bytes) -> bool:
    """Tell whether raw numbers begin like a pickle, a program or an archive."""
    return head.startswith(_STRONG) or _PICKLE_HEAD.match(head) is not None or glance(head).runs


class MemberReader:
    """Reads the members of one archive in order."""

    def __init__(self, view: View, sink: Sink, kind: Kind, members: Sequence[Member]) -> None:
        self.view = view
        self.sink = sink
        self.kind = kind
        self._crc_left = _CRC_BUDGET
        # torch can write archives without checksums: then every field is zero, and says nothing.
        self._no_checksums = all(m.crc == 0 for m in members if m.size)
        self._done: set[tuple[int, int, int]] = set()
        self._scripts: list[tuple[str, str]] = []

    def read(self, member: Member) -> None:
        """Hand the content of one member on."""
        sink, name = self.sink, member.name
        key = (member.data, member.packed, member.method)
        # A compressed stream that was read to its end is the same whatever length another header gives it.
        if key in self._done or (member.data, -1, member.method) in self._done or not member.packed:
            return
        self._done.add(key)
        if member.data + member.packed > len(self.view):
            sink.incomplete(f"zip: {clip(name, 80)} is cut short", member.data)
            member.packed = len(self.view) - member.data
            member.cut = True
            if member.packed <= 0:
                return
        if member.entry is not None and is_symlink(member.entry) and self._symlink(member):
            return
        if member.flags & 1:
            self._encrypted(member)
        elif member.method == _STORED:
            self._stored(member)
        else:
            self._packed(member)

    def finish(self) -> None:
        """Report on what needs all members."""
        if self._scripts:
            from stannary.formats.zip_torchscript import read_sources

            read_sources(self._scripts, self.sink)

    # By kind of storage

    def _stored(self, member: Member) -> None:
        content = self.view.data[member.data : member.data + member.packed]
        if self.kind.is_raw(member.name):
            self._raw(member, content)
            return
        if member.crc or not self._no_checksums:
            self._check_stored(member, content)
        self._give(member, content)

    def _raw(self, member: Member, content: memoryview) -> None:
        # An all-zero checksum or a wrong one is left alone: verifying means reading gigabytes.
        if hides_code(bytes(content[:1024])):
            self._give(member, content)

    def _packed(self, member: Member) -> None:
        codec = _lzma_codec(self.view, member) if member.method == _LZMA else _METHODS.get(member.method)
        if codec is None:
            self.sink.fact("zip.method", member.header, name=clip(member.name), method=member.method)
            self.sink.incomplete(
                f"zip: {clip(member.name, 80)} is packed by method {member.method}, which is not read", member.data
            )
            # A loader that ignores the field reads the bytes as they are.
            self._as_if_plain(member)
            return
        self._inflate(member, codec)

    def _inflate(self, member: Member, codec: Codec) -> None:
        start = member.data + (_lzma_header(self.view, member) if member.method == _LZMA else 0)
        stream = Stream(self.view.data[: member.data + member.packed], codec, start=start)
        chunks = self._checked(member, stream)
        if self.kind.is_torchscript_source(member.name):
            self._script(member, chunks)
            return
        raw = self.kind.is_raw(member.name)
        if raw:
            self._raw_packed(member, chunks)
        else:
            hint = "pickle" if self.kind.is_pickle(member.name) else ""
            self.sink.inflate(self._part(member), chunks, hint=hint, size=0 if member.spread and not member.size else member.size)
            if not stream.produced:
                self._as_if_plain(member)  # a method that is not so: a loader may not look at it
        if stream.finished:
            self._done.add((member.data, -1, member.method))
        if stream.finished and stream.position < member.data + member.packed:
            rest = self.view.data[stream.position : member.data + member.packed]
            self.sink.fact("zip.hidden", stream.position, where="gap", size=len(rest), head=bytes(rest[:16]).hex(), text=False)
            self.sink.child(f"({clip(member.name, 80)}: behind the compressed stream)", rest, offset=stream.position)

    def _checked(self, member: Member, stream: Stream) -> Iterator[bytes]:
        crc = 0
        consumed: Callable[[], int] = lambda: stream.position - stream.start  # noqa: E731 - a small closure
        try:
            for chunk in no_bomb(stream.chunks(), self.sink.budget, consumed, (member.size, member.packed)):
                crc = zlib.crc32(chunk, crc)
                yield chunk
        except BudgetExceeded:
            if self.sink.budget.is_over():
                raise
            self.sink.fact("zip.bomb", member.header, name=clip(member.name), packed=consumed(), produced=stream.produced)
            raise
        if crc != member.crc and (member.crc or not self._no_checksums):
            self._crc_fact(member, crc)

    def _raw_packed(self, member: Member, chunks: Iterator[bytes]) -> None:
        try:
            head = next(chunks, b"")
            if hides_code(head[:1024]):
                self.sink.inflate(self._part(member), _rejoin(head, chunks))
                return
            # Counted and checked like the rest, but not kept.
            for chunk in chunks:
                self.sink.budget.take_inflated(len(chunk))
        except DECODE_ERRORS as exc:
            self.sink.incomplete(f"zip: {clip(member.name, 80)}: {str(exc) or type(exc).__name__}", member.data)

    def _encrypted(self, member: Member) -> None:
        readable = self._looks_plain(member)
        self.sink.fact("zip.encrypted", member.header, name=clip(member.name), readable=readable, method=member.method)
        if readable:
            if member.method == _STORED:
                self._give(member, self.view.data[member.data : member.data + member.packed])
            else:
                self._packed(member)
        else:
            self.sink.incomplete(f"zip: {clip(member.name, 80)} is encrypted", member.data)
            self._as_if_plain(member)

    def _looks_plain(self, member: Member) -> bool:
        content = self.view.data[member.data : member.data + member.packed]
        if member.method == _STORED:
            return (len(content) <= _CRC_ONE and zlib.crc32(content) == member.crc) or hides_code(bytes(content[:1024]))
        codec = _METHODS.get(member.method)
        if codec is None:
            return False
        try:
            out = codec().feed(bytes(content[: 1 << 16]), 1 << 16)
        except DECODE_ERRORS:
            return False
        return len(out) >= min(member.size, 64)

    def _as_if_plain(self, member: Member) -> None:
        content = self.view.data[member.data : member.data + member.packed]
        if hides_code(bytes(content[:1024])):
            self.sink.child(f"{self._part(member)} (as it is)", content, offset=member.data)

    def _symlink(self, member: Member) -> bool:
        """Report a link; False when its target is no path: readers that know nothing of links read it as content."""
        content = bytes(self.view.data[member.data : member.data + min(member.packed, 4096)])
        if member.method == _DEFLATE:
            try:
                content = Inflater(-15).feed(content, 4096)
            except zlib.error:
                content = b""
        target = content.decode("utf-8", "backslashreplace")
        depth = member.name.rstrip("/").count("/")
        escapes = leaves(target, depth)
        self.sink.fact("zip.symlink", member.header, name=clip(member.name), target=clip(target), escapes=escapes)
        return _LINK_TARGET.fullmatch(target) is not None

    # Shared

    def _give(self, member: Member, content: memoryview) -> None:
        name = member.name
        if self.kind.is_small(name) and len(content) <= 64 and bytes(content).strip().isalnum():
            return
        if self.kind.is_torchscript_source(name):
            self._script(member, iter((bytes(content[: _MAX_SOURCE + 1]),)))
            return
        self._note(name)
        hint = "pickle" if self.kind.is_pickle(name) and not bytes(content[:8]).startswith(_COMPRESSED) else ""
        self.sink.child(self._part(member), content, offset=member.data, hint=hint)

    def _note(self, name: str) -> None:
        if self.kind.is_native(name):
            self.sink.fact("zip.native_library", None, name=clip(name), kind=self.kind.name)

    def _script(self, member: Member, chunks: Iterator[bytes]) -> None:
        content = b""
        try:
            for chunk in chunks:
                content += chunk
                if len(content) > _MAX_SOURCE:
                    self.sink.incomplete(f"zip: {clip(member.name, 80)} is more TorchScript than is read", member.data)
                    break
        except DECODE_ERRORS as exc:
            self.sink.incomplete(f"zip: {clip(member.name, 80)}: {str(exc) or type(exc).__name__}", member.data)
        self._scripts.append((member.name, content.decode("utf-8", "replace")))

    def _part(self, member: Member) -> str:
        name = clip(member.name, 300)
        return f"{name} {member.label}" if member.label else name

    def _check_stored(self, member: Member, content: memoryview) -> None:
        if len(content) > _CRC_ONE or len(content) > self._crc_left or member.label:
            return
        self._crc_left -= len(content)
        crc = zlib.crc32(content)
        if crc != member.crc:
            self._crc_fact(member, crc)

    def _crc_fact(self, member: Member, computed: int) -> None:
        if member.cut or (member.spread and member.entry is None):
            return  # part of the content, or a loose member with a descriptor: no checksum to compare with
        self.sink.fact(
            "zip.crc", member.header, name=clip(member.name), stored=member.crc, computed=computed, absent=member.crc == 0
        )


def leaves(target: str, depth: int) -> bool:
    """Tell whether a link target leaves the archive: absolute, or more `..` than there are folders above."""
    plain = target.replace("\\", "/")
    if {"absolute", "drive"} & set(path_problems(plain)):
        return True
    for part in plain.split("/"):
        depth += -1 if part == ".." else 0 if part in {"", "."} else 1
        if depth < 0:
            return True
    return False


def _rejoin(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _lzma_header(view: View, member: Member) -> int:
    head = bytes(view.data[member.data : member.data + 4])
    return 4 + int.from_bytes(head[2:4], "little") if len(head) == 4 else 4


def _lzma_codec(view: View, member: Member) -> Codec | None:
    import lzma

    header = bytes(view.data[member.data : member.data + 9])
    if len(header) < 9 or header[2:4] != b"\x05\x00":
        return None
    properties, dictionary = header[4], int.from_bytes(header[5:9], "little")
    if properties >= 225 or dictionary > 192 << 20:
        return None
    rest, lc = divmod(properties, 9)
    pb, lp = divmod(rest, 5)
    filters = [{"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": max(4096, dictionary)}]
    return lambda: LibraryDecoder(lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters))
