"""Two versions side by side: files, findings, measurements."""

from __future__ import annotations

import msgspec

from stannary.core.model import Digest
from stannary.registry.measured import MeasureChange, change, measured
from stannary.registry.names import Reference
from stannary.registry.registry import Registry

__all__ = ["Difference", "FileChange", "FindingRow", "MeasureChange", "compare"]


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came (`before` empty), went (`after` empty) or changed. Sizes in bytes."""

    path: str
    before: str = ""
    after: str = ""
    size_before: int = 0
    size_after: int = 0


class FindingRow(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A finding of the newest scan of a version."""

    rule: str
    severity: str
    file: str
    message: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is different between two versions."""

    schema: str = "stannary.difference/1"
    first: str
    second: str
    same: bool
    files: tuple[FileChange, ...] = ()
    only_first: tuple[FindingRow, ...] = ()
    only_second: tuple[FindingRow, ...] = ()
    measurements: tuple[MeasureChange, ...] = ()


def compare(registry: Registry, first: Reference, second: Reference) -> Difference:
    """Compare two versions. Raises what `Registry.show` and `Registry.manifest` raise."""
    one, two = registry.show(first), registry.show(second)
    if one.digest == two.digest:
        return Difference(first=str(one), second=str(two), same=True)
    before = {file.path: file for file in registry.manifest(one).files}
    after = {file.path: file for file in registry.manifest(two).files}
    files = [
        FileChange(
            path=path,
            before=before[path].sha256 if path in before else "",
            after=after[path].sha256 if path in after else "",
            size_before=before[path].size if path in before else 0,
            size_after=after[path].size if path in after else 0,
        )
        for path in sorted(before.keys() | after.keys())
        if path not in before or path not in after or before[path].sha256 != after[path].sha256
    ]
    found, found_after = _findings(registry, one.digest), _findings(registry, two.digest)
    then, now = measured(registry.chain, one.digest), measured(registry.chain, two.digest)
    return Difference(
        first=str(one),
        second=str(two),
        same=False,
        files=tuple(files),
        only_first=tuple(sorted(found - found_after)),
        only_second=tuple(sorted(found_after - found)),
        measurements=tuple(change(key, then.get(key), now.get(key)) for key in sorted(then.keys() | now.keys())),
    )


def _findings(registry: Registry, digest: str) -> set[FindingRow]:
    """Return the findings of the newest statement of each check about a digest."""
    newest = {}
    for item in registry.chain.about(Digest.parse(digest)).evidence:
        if item.value.kind not in ("vsa", "waiver"):
            newest[item.value.kind, item.value.check.id] = item.value
    return {
        FindingRow(rule=row.rule, severity=row.severity, file=row.where.file, message=row.message)
        for evidence in newest.values()
        for row in evidence.findings
    }
