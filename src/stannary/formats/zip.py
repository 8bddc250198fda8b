"""ZIP archives, read as every loader could read them: the union of local headers and all central directories.

Facts (names are clipped; `field`, `problem`, `where` are fixed words):
- `zip.archive`: kind (`torch`, `torchscript`, `torch-package`, `pt2`, `npz`, `keras`, `skops`, `mar`, `jar`,
  `wheel`, `oci`, `zip`), members, raw (tensor storages passed over), prefix (bytes in front), zip64, comment.
- `zip.duplicate`: name, count, same (contents agree), fold (names differ in case only).
- `zip.mismatch`: name, field (`name`, `method`, `encryption`, `size`, `crc`, `descriptor`, `unicode_name`, `offset`),
  local, central.
- `zip.local_only`, `zip.central_only`: name. `zip.overlap`: name, other.
- `zip.crc`: name, stored, computed, absent (the field is zero, as torch writes without checksums).
- `zip.member_name`: name, own (see `zip_facts.name_facts`), problem (`absolute`, `drive`, `traversal`, `control`, `empty`).
- `zip.symlink`: name, target, escapes. `zip.special`: name, mode (device, pipe or socket).
- `zip.encrypted`: name, readable, method. `zip.version`: name, needed. `zip.method`: name, method.
- `zip.directories`: count, differ, at. `zip.count`: announced, found. `zip.volumes`. `zip.zip64_conflict`.
- `zip.hidden`: where (`prefix`, `gap`, `trailing`, `comment`, `member comment`), size, head (hex), text.
- `zip.bomb`: name, packed, produced. `zip.native_library`: name, kind.
- `zip.python`: name (code that `torch.package` or a handler runs). `zip.handler`: handler, requirements.
- `torchscript.operator`: operator, namespace, file, line. `torchscript.source`: files, bytes.
"""

from __future__ import annotations

from stannary.core.errors import BudgetExceeded
from stannary.formats.interface import Sink, View, clip
from stannary.formats.zip_directory import (
    Directory,
    Entry,
    Local,
    directories,
    entry_name,
    locals_between,
    next_signature,
    parse_local,
)
from stannary.formats.zip_facts import compare, duplicates, name_facts
from stannary.formats.zip_kinds import Kind, recognise
from stannary.formats.zip_members import Member, MemberReader

__all__ = ["probe", "read"]

_TRIVIAL = b"\x00"
_BY_NAME = ("data.pkl", "constants.pkl", "config.json", "schema.json", "metadata.json", "model.json", "MANIFEST.json", ".h5")


def probe(view: View) -> bool:
    """Tell whether an end record in the last 64 KiB leads to a central directory.

    Not when the archive is a member of a plain tar: it is read there, once, and two members that
    both hold an `archive/data.pkl` are no duplicates.
    """
    if len(view) < 22 or b"PK\x05\x06" not in view.tail(65557):
        return False
    found = [directory for directory in directories(view) if directory.entries]
    if not found or view.head(2) == b"PK" or len(view) < 512:
        return bool(found)
    from stannary.formats.tar_plain import plain_members

    members = plain_members(view)
    return not all(any(start <= first and last <= end for start, end in members) for first, last in map(_extent, found))


def read(view: View, sink: Sink) -> None:
    """Report the structure of an archive and hand its members on."""
    found = directories(view)
    if not found:
        sink.incomplete("zip: no end of central directory; read from local headers alone", 0)
    _Archive(view, sink, found).read()


class _Archive:
    """One reading of one archive."""

    def __init__(self, view: View, sink: Sink, found: list[Directory]) -> None:
        self.view = view
        self.sink = sink
        self.found = found
        self.spans: list[tuple[int, int]] = []
        self.members: list[Member] = []

    def read(self) -> None:
        self._structure()
        hidden: list[tuple[str, int, int]] = []
        try:
            self._entries()
            self._spans_of_structure()
            self._uncovered(hidden)
        except BudgetExceeded as exc:
            # What was found so far is still read.
            self.sink.incomplete(f"zip: {exc.message}", exc.offset)
        hidden += self._comments()
        names = {m.name for m in self.members}
        kind = recognise(names)
        self._summary(kind)
        duplicates(self.members, self.sink)
        self._overlaps()
        before = self.sink.siblings
        self.sink.siblings = frozenset(names)
        try:
            self._contents(kind)
        finally:
            self.sink.siblings = before
        for where, start, end in hidden if not self._other_reading() else ():
            self._hidden(where, start, end)

    # Structure

    def _entries(self) -> None:
        seen: set[tuple[int, bytes]] = set()
        for directory in self.found:
            for entry in directory.entries:
                if (entry.offset, entry.raw) not in seen:
                    seen.add((entry.offset, entry.raw))
                    self.sink.budget.take_member()
                    self._central(entry, directory)

    def _structure(self) -> None:
        sink, found = self.sink, self.found
        if len(found) > 1:
            lists = {tuple((e.raw, e.offset) for e in d.entries) for d in found}
            entangled = any(
                a.record == b.record or a.comment[0] <= b.record < sum(a.comment) for a in found for b in found if a is not b
            )
            # Two archives side by side are an attack in a zip, and members in a tar.
            if len(lists) > 1 and (entangled or not self._other_reading()):
                sink.fact("zip.directories", found[1].record, count=len(found), differ=True, at=[d.start for d in found[:8]])
        for directory in found:
            if directory.announced not in (len(directory.entries), len(directory.entries) & 0xFFFF):
                sink.fact("zip.count", directory.record, announced=directory.announced, found=len(directory.entries))
            if directory.disks:
                sink.fact("zip.volumes", directory.record)
            if directory.conflict:
                sink.fact("zip.zip64_conflict", directory.record)

    def _central(self, entry: Entry, directory: Directory) -> None:
        sink = self.sink
        name = entry_name(entry.raw, entry.flags)
        local = parse_local(self.view, entry.offset)
        other = parse_local(self.view, entry.declared) if directory.shift else None
        if local is None and other is not None:
            local, other = other, None
        only = len(directory.entries) == 1
        name_facts(name, entry, sink, archive=self.view.name.rpartition("/")[2] if only else "")
        if local is None:
            sink.fact("zip.central_only", entry.at, name=clip(name), offset=entry.offset)
            sink.incomplete(f"zip: no local header for {clip(name, 80)}", entry.at)
            return
        if other is not None and other.offset != local.offset:
            sink.fact("zip.mismatch", entry.at, name=clip(name), field="offset", local=local.offset, central=other.offset)
            self._add(Member.from_local(other, entry_name(other.raw, other.flags), "(by its declared offset)"))
        end = local.data + entry.packed
        compare(name, entry, local, self.view, sink)
        self._add(Member.from_both(entry, local, name))
        if local.method != entry.method or (not local.spread and local.packed != entry.packed):
            self._add(Member.from_local(local, name, "(by its local header)"))
        if local.raw != entry.raw:
            alias = entry_name(local.raw, local.flags)
            name_facts(alias, None, sink, local.offset)
            self.members[-1].aliases.append(alias)
        self.spans.append((local.offset, end + self._descriptor(end, local)))

    def _add(self, member: Member) -> None:
        self.members.append(member)

    def _descriptor(self, end: int, local: Local) -> int:
        if not local.spread:
            return 0
        size = 4 if bytes(self.view.data[end : end + 4]) == b"PK\x07\x08" else 0
        # Sizes are 4 bytes, or 8 in zip64; what follows the right one is another signature.
        for width in (12, 20):
            after = bytes(self.view.data[end + size + width : end + size + width + 2])
            if after == b"PK":
                return size + width
        return size + 12 if size else 0

    def _spans_of_structure(self) -> None:
        for directory in self.found:
            last = directory.comment[0]
            end = directory.record
            if directory.zip64:
                # The zip64 end record and its locator lie between the directory and the end record.
                wide = self.view.find(b"PK\x06\x06", directory.end, end)
                if wide >= 0:
                    size = int.from_bytes(bytes(self.view.data[wide + 4 : wide + 12]), "little")
                    self.spans.append((wide, min(end, wide + 12 + size)))
                self.spans.append((max(0, end - 20), end))
            self.spans.append((directory.start, directory.end))
            self.spans.append((directory.record, last))

    def _uncovered(self, hidden: list[tuple[str, int, int]]) -> None:
        """Collect the parts that no structure covers, after taking the local-only members out of them."""
        last = max((d.comment[0] for d in self.found), default=len(self.view))
        comments = [d.comment for d in self.found if d.comment[1]]
        for start, end in _gaps(self.spans, len(self.view)):
            where = "trailing" if start >= last else "prefix" if start == 0 else "gap"
            inside = next((c for c in comments if c[0] <= start and end <= c[0] + c[1]), None)
            if inside is not None:
                where = "comment"
            at = start
            for local in locals_between(self.view, start, end) if where != "comment" else ():
                self.sink.budget.take_member()
                member = self._loose(local, end)
                if local.offset > at:
                    hidden.append((where if at == start else "gap", at, local.offset))
                at = member.data + member.packed
                at += self._descriptor(at, local)
            if at < end:
                hidden.append((where if at == start else "gap", at, end))

    def _loose(self, local: Local, end: int) -> Member:
        name = entry_name(local.raw, local.flags)
        name_facts(name, None, self.sink, local.offset)
        if self.found:
            self.sink.fact("zip.local_only", local.offset, name=clip(name))
        packed = local.packed
        if (local.spread and not packed) or local.data + packed > end:
            stop = next_signature(self.view, local.data, end)
            if not local.spread:
                self.sink.incomplete(f"zip: {clip(name, 80)} is cut short", local.data)
            packed = stop - local.data
        member = Member.from_local(local, name, "", packed)
        member.cut = not local.spread and packed < local.packed
        self._add(member)
        return member

    def _comments(self) -> list[tuple[str, int, int]]:
        found = (e.comment for d in self.found for e in d.entries if e.comment[1])
        return [("member comment", start, start + size) for start, size in found]

    def _overlaps(self) -> None:
        reach, owner = 0, ""
        for member in sorted(self.members, key=lambda m: (m.header, m.data)):
            if member.label:
                continue
            if member.header < reach:
                self.sink.fact("zip.overlap", member.header, name=clip(member.name), other=clip(owner))
            if member.data + member.packed > reach:
                reach, owner = member.data + member.packed, member.name

    # Content

    def _summary(self, kind: Kind) -> None:
        first = self.found[0] if self.found else None
        comment = b"" if first is None else bytes(self.view.data[first.comment[0] : first.comment[0] + min(200, first.comment[1])])
        self.sink.fact(
            "zip.archive",
            0 if first is None else first.record,
            kind=kind.name,
            members=len(self.members),
            raw=sum(1 for m in self.members if kind.is_raw(m.name)),
            prefix=min((m.header for m in self.members), default=0),
            zip64=bool(first and first.zip64),
            comment=comment.decode("utf-8", "backslashreplace"),
        )

    def _contents(self, kind: Kind) -> None:
        reader = MemberReader(self.view, self.sink, kind, self.members)
        for member in sorted(self.members, key=_urgency):
            try:
                reader.read(member)
            except BudgetExceeded as exc:
                self.sink.incomplete(f"zip: {exc.message}", member.header)
                if self.sink.budget.expired or self.sink.budget.inflated < 0 or self.sink.budget.members < 0:
                    raise
        reader.finish()

    def _other_reading(self) -> bool:
        """Tell whether the file is something else in front: a tar with a zip as its last member, a program.

        Then that reading covers what is around this archive.
        """
        if self.view.head(2) == b"PK":
            return False
        from stannary.formats.identify import identify

        return any(row.name not in {"zip", "text"} for row in identify(self.view))

    def _hidden(self, where: str, start: int, end: int) -> None:
        content = self.view.data[start:end]
        size = end - start
        head = bytes(content[:4096])
        if size <= 4096 and not head.strip(_TRIVIAL):
            return
        if size > 4096 and not head.strip(_TRIVIAL) and _all_zero(content):
            return
        if where == "gap" and bytes(content[-16:]) == b"APK Sig Block 42":
            return
        text = head.isascii() and b"\x00" not in head
        if "comment" in where and text and b"PK" not in head:
            return
        self.sink.fact("zip.hidden", start, where=where, size=size, head=head[:16].hex(), text=text)
        self.sink.child(f"({where} at {start})", content, offset=start)


def _extent(directory: Directory) -> tuple[int, int]:
    entries = directory.entries
    return min(e.offset for e in entries), max(sum(directory.comment), *(e.offset + e.packed for e in entries))


def _urgency(member: Member) -> tuple[bool, int]:
    """Order members for the case that time runs out: what loaders read by itself first, then small before large."""
    return not member.name.rpartition("/")[2].endswith(_BY_NAME), member.packed


def _gaps(spans: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    at, found = 0, []
    for start, end in sorted(spans):
        if start > at:
            found.append((at, min(start, size)))
        at = max(at, end)
        if at >= size:
            return found
    found.append((at, size))
    return found


def _all_zero(content: memoryview) -> bool:
    return all(not bytes(content[at : at + (1 << 20)]).strip(_TRIVIAL) for at in range(0, len(content), 1 << 20))
