"""Tar archives (ustar, pax, GNU, old v7), read as several readers would, including what they skip.

Facts:
- `tar.archive`: flavour, members, kind (`torch-legacy`, `nemo`, `oci`, `tar`).
- `tar.member_name`: name, problem (see `zip_facts.path_problems`).
- `tar.link`: name, target, hard, escapes. `tar.special`: name, kind (`character`, `block`, `fifo`).
- `tar.duplicate`: name, same (the contents agree). `tar.through_link`: name, link (written through a link made before).
- `tar.checksum`: name, stored, unsigned, signed. `tar.size`: name, header, pax (they differ).
- `tar.setuid`: name, mode. `tar.trailing`: size, head (hex). `tar.unknown_type`: name, type.

Sources: POSIX.1-2017 `pax`, GNU tar manual (basic format, sparse), libarchive `tar(5)`.
"""

from __future__ import annotations

import hashlib

import msgspec

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import Sink, View, clip
from stannary.formats.zip_facts import path_problems
from stannary.formats.zip_members import leaves

__all__ = ["block_sums", "octal", "probe", "read"]

_BLOCK = 512
_ZERO = bytes(_BLOCK)
_ASCII = bytes(range(128))
_MAX_META = 1 << 20  # a long name or a pax header; tar programs cap these too
_LINKS = {b"1": True, b"2": False}
_SPECIAL = {b"3": "character", b"4": "block", b"6": "fifo"}
_TORCH_LEGACY = {"sys_info", "pickle", "storages", "tensors"}
_HASH_LIMIT = 16 << 20


class _Header(msgspec.Struct):
    name: str
    mode: int
    size: int
    kind: bytes
    link: str
    offset: int
    data: int
    sparse: bool = False


class _Pending(msgspec.Struct):
    """What the extended headers before a member say about it."""

    name: str = ""
    link: str = ""
    pax: dict[str, str] = {}


def probe(view: View) -> bool:
    """Tell whether the first block is a header with a correct checksum and a plausible name (old v7 archives)."""
    if len(view) < _BLOCK:
        return False
    block = view.head(_BLOCK)
    if not block[0] or b"\x00" not in block[:100]:
        return False
    stored = octal(block[148:156])
    return stored is not None and stored > 0 and stored in block_sums(block)


def read(view: View, sink: Sink) -> None:
    """Walk all headers, also behind the two zero blocks where most readers stop."""
    _Archive(view, sink).read()


class _Archive:
    def __init__(self, view: View, sink: Sink) -> None:
        self.view = view
        self.sink = sink
        self.links: dict[str, str] = {}
        self.digests: dict[str, tuple[int, str]] = {}
        self.names: list[str] = []
        self.flavour = "v7"
        self.globals: dict[str, str] = {}
        self.contents: list[tuple[int, str, int, str]] = []  # size, name, offset and hint of what is to be read

    def read(self) -> None:
        headers: list[_Header] = []
        try:
            end = self._headers(headers)
        except FormatError as exc:
            if not headers:
                raise
            self.sink.incomplete(f"tar: {exc.message}", exc.offset)  # the members in front are read all the same
            end = len(self.view)
        self.names = [h.name for h in headers]
        bases = {n.rsplit("/", 1)[-1] for n in self.names}
        kind = "tar"
        if {"pickle", "storages"} <= bases:
            kind = "torch-legacy"
        elif "model_config.yaml" in bases:
            kind = "nemo"
        elif "manifest.json" in bases or "oci-layout" in bases:
            kind = "oci"
        self.sink.fact("tar.archive", 0, flavour=self.flavour, members=len(headers), kind=kind)
        before = self.sink.siblings
        self.sink.siblings = frozenset(self.names)
        try:
            for header in headers:
                self._member(header, legacy=kind == "torch-legacy")
            # Should time run out, what is small was read: what is padded, or padding, comes last.
            for size, name, at, hint in sorted(self.contents, key=lambda item: (not item[3], item[0])):
                self.sink.child(clip(name, 300), self.view.data[at : at + size], offset=at, hint=hint)
        finally:
            self.sink.siblings = before
        self._trailing(end)

    # Headers

    def _headers(self, found: list[_Header]) -> int:
        pending, at, zeros, good_end = _Pending(), 0, 0, 0
        while at + _BLOCK <= len(self.view):
            block = self.view.bytes(at, _BLOCK)
            if block == _ZERO:
                zeros += 1
                at += _BLOCK
                if zeros >= 2:
                    at = self._next_archive(at)
                    good_end = min(at, len(self.view))
                continue
            header = self._parse(block, at, pending)
            if header is None:
                if not found and not zeros:
                    msg = "the first tar header has a wrong checksum"
                    raise FormatError(msg, at)
                if not zeros:
                    self.sink.incomplete("tar: a header in the middle is broken", at)
                return at
            if zeros >= 2:
                self.sink.fact("tar.trailing", at, size=len(self.view) - at, head=block[:16].hex(), archive=True)
            zeros = 0
            at = good_end = self._extent(header)
            if self._extended(header, pending):
                continue
            pending = _Pending()
            found.append(header)
            if len(found) >= self.sink.budget.members:
                self.sink.incomplete(f"tar: more than {len(found)} members", at)
                return len(self.view)
        if at < len(self.view) and not zeros and not found:
            raise Truncated("the tar header is cut short", at)  # noqa: EM101, TRY003 - one place
        return max(good_end, at if zeros else good_end)

    def _next_archive(self, at: int) -> int:
        while at + _BLOCK <= len(self.view) and self.view.bytes(at, _BLOCK) == _ZERO:
            at += _BLOCK
        return at

    def _parse(self, block: bytes, at: int, pending: _Pending) -> _Header | None:
        stored = octal(block[148:156])
        unsigned, signed = block_sums(block)
        name = _text(block[:100])
        if stored not in (unsigned, signed):
            if block[257:262] != b"ustar":
                return None
            self.sink.fact("tar.checksum", at, name=clip(name), stored=stored or 0, unsigned=unsigned, signed=signed)
        magic = block[257:265]
        if magic[:5] == b"ustar":
            self.flavour = "gnu" if magic == b"ustar  \x00" else "pax" if self.flavour == "pax" else "ustar"
            prefix = _text(block[345:500])
            if magic[5:6] == b"\x00" and prefix:
                name = f"{prefix}/{name}"
        size = octal(block[124:136])
        if size is None or size < 0:
            self.sink.incomplete(f"tar: the size of {clip(name, 80)} is no size", at)
            if size is None:
                return None
            size = 0  # Python reads on right behind the header
        kind = block[156:157]
        link = _text(block[157:257])
        if kind not in (b"x", b"g", b"L", b"K"):
            name, link, size = self._apply(pending, name, link, size, at)
        data = at + _BLOCK
        if kind == b"S" and block[482:483] == b"\x01":
            while self.view.bytes(data, _BLOCK)[504:505] == b"\x01":
                data += _BLOCK
            data += _BLOCK
        sparse = {**self.globals, **pending.pax}.get("GNU.sparse.major") == "1"
        return _Header(name, octal(block[100:108]) or 0, size, kind, link, at, data, sparse)

    def _apply(self, pending: _Pending, name: str, link: str, size: int, at: int) -> tuple[str, str, int]:
        pax = {**self.globals, **pending.pax}
        original = name
        name = pax.get("path") or pending.name or name
        name = pax.get("GNU.sparse.name") or name
        link = pax.get("linkpath") or pending.link or link
        if pax.get("size", "").isdecimal():
            wide = int(pax["size"])
            if size not in (0, wide):
                # Readers that do not know pax take the header's size, and see other members from here on.
                self.sink.fact("tar.size", at, name=clip(name), header=size, pax=wide)
            size = wide
        if path_problems(original) and original != name:
            self._name(original, at)
        return name, link, size

    def _extended(self, header: _Header, pending: _Pending) -> bool:
        if header.kind not in (b"x", b"g", b"L", b"K", b"X", b"V", b"N"):
            return False
        if header.kind == b"V":
            return True
        if header.size > _MAX_META:
            msg = f"a tar extended header of {header.size} bytes"
            raise FormatError(msg, header.offset)
        raw = self.view.bytes(header.data, header.size)
        if header.kind == b"L":
            pending.name = _text(raw)
        elif header.kind == b"K":
            pending.link = _text(raw)
        elif header.kind in (b"x", b"X"):
            self.flavour = "pax"
            # Whatever its size says: Python reads records as far as there are any in its blocks.
            pending.pax = _pax(bytes(self.view.data[header.data : self._extent(header)]))
        elif header.kind == b"g":
            self.flavour = "pax"
            self.globals.update(_pax(raw))
        return True

    def _extent(self, header: _Header) -> int:
        # Links, devices and folders have no content whatever their size says (POSIX; GNU tar and Python agree).
        size = 0 if header.kind in (b"1", b"2", b"3", b"4", b"5", b"6") else header.size
        return header.data + -(-size // _BLOCK) * _BLOCK

    # Members

    def _member(self, header: _Header, *, legacy: bool) -> None:
        name, sink = header.name, self.sink
        sink.budget.take_member()
        self._name(name, header.offset)
        self._through(header)
        if header.mode & 0o6000 and header.kind in (b"0", b"\x00"):
            sink.fact("tar.setuid", header.offset, name=clip(name), mode=oct(header.mode))
        if header.kind in _LINKS:
            self._link(header, hard=_LINKS[header.kind])
            return
        if header.kind in _SPECIAL:
            sink.fact("tar.special", header.offset, name=clip(name), kind=_SPECIAL[header.kind])
            return
        if header.kind in (b"5", b"D") or (name.endswith("/") and not header.size):
            return
        if header.kind not in (b"0", b"\x00", b"7", b"S"):
            sink.fact("tar.unknown_type", header.offset, name=clip(name), type=header.kind.hex())
        end = header.data + header.size
        if end > len(self.view):
            sink.incomplete(f"tar: {clip(name, 80)} is cut short", header.data)
            end = len(self.view)
        start = self._sparse(header)
        content = self.view.data[start:end]
        self._duplicate(header, content)
        base = name.rsplit("/", 1)[-1]
        hint = "pickle" if (legacy and base in _TORCH_LEGACY) or base.endswith((".pkl", ".pickle")) else ""
        if legacy and base in {"storages", "tensors"}:
            from stannary.formats.tar_torch import read_storages, read_tensors

            split = read_storages if base == "storages" else read_tensors
            if split(View(content, clip(name, 300)), sink, header.data):
                return
        if len(content):
            self.contents.append((len(content), name, start, hint))

    def _sparse(self, header: _Header) -> int:
        """Return where the content begins: behind the map, for a sparse member of pax format 1.0."""
        if not header.sparse:
            return header.data
        head = bytes(self.view.data[header.data : header.data + 65536])
        count, _, rest = head.partition(b"\n")
        if not count.isdigit() or int(count) > 4096:
            self.sink.incomplete(f"tar: the map of the sparse {clip(header.name, 80)} was not read", header.data)
            return header.data
        numbers = rest.split(b"\n", 2 * int(count))
        used = len(head) - len(numbers[-1])
        if int(count) != 1 or numbers[0] != b"0":
            # The pieces follow each other here, with the zeros between them left out.
            self.sink.incomplete(f"tar: {clip(header.name, 80)} is sparse; its pieces were read without the gaps", header.data)
        return header.data + -(-used // _BLOCK) * _BLOCK

    def _name(self, name: str, at: int) -> None:
        for problem in path_problems(name):
            if problem == "empty" and name.strip("./") == "":
                continue  # "./" is how `tar -C dir .` begins
            self.sink.fact("tar.member_name", at, name=clip(name), problem=problem)

    def _link(self, header: _Header, *, hard: bool) -> None:
        depth = 0 if hard else header.name.strip("/").count("/")
        escapes = leaves(header.link, depth)
        self.links[header.name.strip("/")] = header.link
        self.sink.fact("tar.link", header.offset, name=clip(header.name), target=clip(header.link), hard=hard, escapes=escapes)

    def _through(self, header: _Header) -> None:
        parts = header.name.strip("/").split("/")
        for count in range(1, len(parts) + (header.kind not in _LINKS)):
            above = "/".join(parts[:count])
            if above in self.links:
                self.sink.fact("tar.through_link", header.offset, name=clip(header.name), link=clip(self.links[above]))
                return

    def _duplicate(self, header: _Header, content: memoryview) -> None:
        name = header.name.removeprefix("./")
        digest = hashlib.sha256(content).hexdigest() if len(content) <= _HASH_LIMIT and name in self.digests else ""
        if name in self.digests:
            at, first = self.digests[name]
            if not first:
                first = hashlib.sha256(self.view.data[at : at + len(content)]).hexdigest()
            self.sink.fact("tar.duplicate", header.offset, name=clip(name), same=bool(digest) and first == digest)
        self.digests.setdefault(name, (header.data, digest))

    def _trailing(self, end: int) -> None:
        rest = self.view.data[min(end, len(self.view)) :]
        if not len(rest):
            return
        if all(not bytes(rest[at : at + (1 << 20)]).strip(b"\x00") for at in range(0, len(rest), 1 << 20)):
            return
        self.sink.fact("tar.trailing", end, size=len(rest), head=bytes(rest[:16]).hex(), archive=False)
        self.sink.child("(trailing)", rest, offset=end)


def octal(field: bytes) -> int | None:
    """Read an octal or base-256 (GNU) number."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    digits = field.partition(b"\x00")[0].strip(b" ")
    if not digits:
        return 0
    try:
        return int(digits, 8)
    except ValueError:
        return None


def block_sums(block: bytes) -> tuple[int, int]:
    """Return the checksum of a header as unsigned and as signed bytes; old writers summed either."""
    blank = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(blank)
    return unsigned, unsigned - 256 * len(blank.translate(None, _ASCII))


def _text(raw: bytes) -> str:
    return raw.partition(b"\x00")[0].decode("utf-8", "backslashreplace")


def _pax(raw: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(raw):
        space = raw.find(b" ", at, at + 20)
        if space < 0 or not raw[at:space].isdigit():
            break
        length = int(raw[at:space])
        if length < 5 or at + length > len(raw):
            break
        key, _, value = raw[space + 1 : at + length - 1].partition(b"=")
        found[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
        at += length
    return found
