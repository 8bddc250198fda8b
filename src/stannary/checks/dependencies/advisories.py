"""Matching of pinned versions against an offline OSV dump (https://ossf.github.io/osv-schema/).

A record matches by its `versions` list or by its ECOSYSTEM / SEMVER ranges (`introduced`, `fixed`,
`last_affected`); withdrawn records do not count. Records that are aliases of each other are one
vulnerability: the first in alphabetical order stands for all, and the others are listed with it.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stannary.checks.dependencies.versions import Key, version_key
from stannary.core.errors import InputError, UsageError
from stannary.core.model import Severity
from stannary.formats.requirements_text import normal_name

__all__ = ["Advisories", "Advisory", "load_once"]

_LIMIT = 1 << 30  # bytes of an inflated dump
_SCORES: tuple[tuple[float, Severity], ...] = ((9.0, "high"), (7.0, "high"), (4.0, "medium"), (0.1, "low"))
_WORDS: dict[str, Severity] = {"CRITICAL": "high", "HIGH": "high", "MODERATE": "medium", "MEDIUM": "medium", "LOW": "low"}


class Advisory(NamedTuple):
    """One vulnerability of one project that a version is affected by."""

    id: str
    aliases: tuple[str, ...]
    project: str
    summary: str
    severity: Severity
    fixed: tuple[str, ...]
    malicious: bool


@cache
def load_once(path: str) -> Advisories:
    """Read a dump once in a process. Raises InputError with the file and the reason, UsageError when it cannot be opened."""
    try:
        return Advisories.load(Path(path))
    except OSError as exc:
        msg = f"the advisories cannot be read: {exc.strerror or exc}"
        raise UsageError(msg, where=path, code="ADV001") from exc


class Advisories:
    """A dump, by project."""

    def __init__(self, records: Iterable[Mapping[str, Any]]) -> None:
        self._by_project: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        self.count = 0
        for record in records:
            if record.get("withdrawn"):
                continue
            self.count += 1
            for affected in record.get("affected") or ():
                package = affected.get("package") or {}
                if str(package.get("ecosystem", "")).partition(":")[0] == "PyPI":
                    self._by_project.setdefault(normal_name(str(package.get("name", ""))), []).append((record, affected))

    @classmethod
    def load(cls, path: Path) -> Advisories:
        """Read JSON Lines, a JSON array, or a ZIP of JSON files; gzip is recognised. Raises InputError, OSError."""
        raw = path.read_bytes()
        try:
            if raw[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=io.BytesIO(raw)) as stream:
                    raw = stream.read(_LIMIT + 1)
                if len(raw) > _LIMIT:
                    msg = f"inflates to more than {_LIMIT} bytes"
                    raise InputError(msg, where=str(path), code="DEP100")
            if raw[:4] == b"PK\x03\x04":
                return cls(_zipped(raw))
            if raw.lstrip()[:1] == b"[":
                return cls(msgspec.json.decode(raw, type=list[dict[str, Any]]))
            return cls(msgspec.json.decode(line, type=dict[str, Any]) for line in raw.splitlines() if line.strip())
        except (msgspec.DecodeError, OSError, EOFError) as exc:
            msg = f"not an OSV dump: {exc}"
            raise InputError(msg, where=str(path), code="DEP100", help="give a JSON Lines file of OSV records") from exc

    def affecting(self, project: str, version: str) -> list[Advisory]:
        """Return the vulnerabilities of one version, aliases merged, worst first."""
        key = version_key(version)
        hits = [pair for pair in self._by_project.get(normal_name(project), ()) if _affects(pair[1], version, key)]
        groups: list[tuple[set[str], list[tuple[Mapping[str, Any], Mapping[str, Any]]]]] = []
        for pair in sorted(hits, key=lambda p: str(p[0].get("id"))):
            ids = {str(pair[0].get("id")), *map(str, pair[0].get("aliases") or ())}
            touching = [g for g in groups if g[0] & ids]
            for group in touching:
                groups.remove(group)
            members = [p for g in touching for p in g[1]]
            groups.append((ids.union(*(g[0] for g in touching)), [*members, pair]))
        found = [_advisory(normal_name(project), ids, pairs) for ids, pairs in groups]
        return sorted(found, key=lambda a: (["critical", "high", "medium", "low", "info"].index(a.severity), a.id))


def _zipped(raw: bytes) -> Iterator[dict[str, Any]]:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield msgspec.json.decode(archive.read(name), type=dict[str, Any])


def _affects(affected: Mapping[str, Any], version: str, key: Key | None) -> bool:
    listed = affected.get("versions") or ()
    if version in listed or (key is not None and any(version_key(str(v)) == key for v in listed)):
        return True
    if key is None:
        return False
    return any(
        _in_range(r.get("events") or (), key) for r in affected.get("ranges") or () if r.get("type") in {"ECOSYSTEM", "SEMVER"}
    )


def _in_range(events: Iterable[Mapping[str, Any]], key: Key) -> bool:
    """Evaluate the events in version order (OSV schema, "Evaluation")."""
    ordered: list[tuple[Key | tuple[int], int, str]] = []
    for event in events:
        for kind, rank in (("introduced", 0), ("fixed", 1), ("last_affected", 2)):
            if kind in event:
                at = (-1,) if str(event[kind]) == "0" else version_key(str(event[kind]))
                if at is not None:
                    ordered.append((at, rank, kind))
    inside = False
    for at, _, kind in sorted(ordered):
        if kind == "introduced" and key >= at:
            inside = True
        elif (kind == "fixed" and key >= at) or (kind == "last_affected" and key > at):
            inside = False
    return inside


def _advisory(project: str, ids: set[str], pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Advisory:
    records = [record for record, _ in pairs]
    first = records[0]
    fixed = sorted(
        {
            str(e["fixed"])
            for _, a in pairs
            for r in a.get("ranges") or ()
            if r.get("type") == "ECOSYSTEM"
            for e in r.get("events") or ()
            if "fixed" in e
        }
    )
    malicious = any(str(r.get("id", "")).startswith("MAL-") for r in records)
    name = str(first.get("id"))
    summary = str(first.get("summary") or first.get("details") or "").strip().split("\n")[0][:200]
    severity = "critical" if malicious else min((_severity(r) for r in records), key=["high", "medium", "low"].index)
    return Advisory(name, tuple(sorted(ids - {name})), project, summary, severity, tuple(fixed), malicious)


def _severity(record: Mapping[str, Any]) -> Severity:
    """Return high, medium or low: the database's own word, else the CVSS vector's impact; medium when neither is there."""
    word = str((record.get("database_specific") or {}).get("severity", "")).upper()
    if word in _WORDS:
        return _WORDS[word]
    for entry in record.get("severity") or ():
        score = str(entry.get("score", ""))
        if score.replace(".", "", 1).isdigit():
            return next((s for limit, s in _SCORES if float(score) >= limit), "low")
        if score.startswith("CVSS:"):
            impact = score.count(":H") - score.count("AC:H") - score.count("PR:H") - score.count("AT:H")
            return "high" if impact >= 2 and "AV:N" in score else "medium"  # noqa: PLR2004 - two of confidentiality, integrity, availability
    return "medium"
