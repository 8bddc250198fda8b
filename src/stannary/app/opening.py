"""Whether a model may be loaded at all: it is scanned first, and what the scan refuses is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stannary.core.errors import InputError, IntegrityError, PolicyDenied

if TYPE_CHECKING:
    from pathlib import Path

    from stannary.checks.static.result import TargetResult
    from stannary.checks.static.scan import ScanOptions, Target

__all__ = ["Admitted", "admit", "scanned_bytes"]


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be loaded: where it lies, as what it was named, its identity, what the scan said."""

    path: str
    display: str
    digest: str
    sha256: str | None  # of a single file
    files: frozenset[str]  # SHA-256 of all that was scanned: nothing else is loaded
    format: str
    verdict: str


def admit(target: Target, options: ScanOptions, *, trust: bool = False) -> Admitted:
    """Scan a model and return it if it may be loaded: *clean*, or *unverified* where the caller trusts it.

    Raises:
        PolicyDenied: it is unsafe or suspicious; or unverified, and not trusted.
        InputError: part of it could not be read, so nobody knows what it would do.
    """
    from stannary.checks.static.scan import scan_paths

    result = scan_paths([target], options)
    found = result.targets[0]
    where = found.path
    worst = sorted(found.findings, key=lambda one: ("critical", "high", "medium", "low", "info").index(one.severity))
    reason = f": {worst[0].rule}, {worst[0].message}" if worst else ""
    if found.verdict in ("unsafe", "suspicious"):
        msg = f"the model is {found.verdict} and is not loaded{reason}"
        raise PolicyDenied(msg, where=where, code="EVA001", help=f"stannary scan {where}")
    if found.verdict == "incomplete" or found.digest is None:
        failed = next((file for file in found.files if file.status == "failed"), None)
        why = failed.reason if failed else next(iter(found.errors), "it could not be read")
        msg = f"the scan of the model is incomplete, so it is not loaded: {why}"
        raise InputError(msg, where=where, code="EVA002", help=f"stannary scan {where}")
    if found.verdict == "unverified" and not trust:
        msg = f"the scan knows no harm of the model, but not all of it either{reason}"
        raise PolicyDenied(msg, where=where, code="EVA003", help="if you know where it comes from: --trust")
    return Admitted(
        path=target.path,
        display=where,
        digest=found.digest,
        sha256=found.files[0].sha256 if len(found.files) == 1 else None,
        files=frozenset(file.sha256 for file in found.files if file.sha256),
        format=_format_of(found, target.path),
        verdict=found.verdict,
    )


def scanned_bytes(model: Admitted, path: Path) -> bytes:
    """Return the content of the model's file. Raises IntegrityError where it is not what was scanned."""
    import hashlib

    content = path.read_bytes()
    if model.files and hashlib.sha256(content).hexdigest() not in {one.removeprefix("sha256:") for one in model.files}:
        msg = "the file is not the one that was scanned: it changed in between"
        raise IntegrityError(msg, where=model.display, code="EVA006")
    return content


def _format_of(found: TargetResult, path: str) -> str:
    """Return what people call the file that is most likely the model, the largest."""
    from pathlib import Path

    from stannary.checks.target.file_kind import file_kind

    if not found.files:
        return ""
    largest, whole = max(found.files, key=lambda file: file.size), Path(path)
    return file_kind(whole / largest.path if whole.is_dir() else whole, largest.format)
