"""The vocabulary: what is assayed, what was found, where."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "SEVERITIES",
    "Artifact",
    "ArtifactKind",
    "Coverage",
    "Digest",
    "File",
    "Finding",
    "Json",
    "Location",
    "Severity",
    "severity_rank",
]

Json: TypeAlias = Any
Severity = Literal["critical", "high", "medium", "low", "info"]
ArtifactKind = Literal["model", "dataset", "code", "prompt", "image"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")

_HEX = re.compile(r"[0-9a-f]{64}")


def severity_rank(severity: str) -> int:
    """Return 0 for critical … 4 for info: smaller is worse."""
    return SEVERITIES.index(severity)


class Digest(msgspec.Struct, frozen=True, order=True):
    """A SHA-256 digest; `sha256:ab…` on the wire."""

    hex: str
    algo: Literal["sha256"] = "sha256"

    def __post_init__(self) -> None:
        if not _HEX.fullmatch(self.hex):
            msg = f"not a SHA-256 digest: {self.hex[:80]!r}"
            raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.algo}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:ab…`. Raises ValueError."""
        algo, _, value = text.partition(":")
        if algo != "sha256":
            msg = f"unsupported digest algorithm: {text[:80]!r}"
            raise ValueError(msg)
        return cls(value)


class File(msgspec.Struct, frozen=True):
    """One file of an artifact: path relative to its root (`/` separated), size in bytes, SHA-256 hex."""

    path: str
    size: int
    sha256: str


class Artifact(msgspec.Struct, frozen=True):
    """Something with an identity: the digest binds the names and the contents of all files."""

    digest: Digest
    kind: ArtifactKind
    name: str
    size: int
    files: tuple[File, ...]


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where in an artifact: file, member inside it (`a.zip!b.pkl`), byte offset, line (from 1)."""

    file: str
    part: str = ""
    offset: int | None = None
    line: int | None = None


class Finding(msgspec.Struct, frozen=True):
    """A rule that fired on a subject."""

    rule: str
    severity: Severity
    subject: str
    where: Location
    message: str
    data: Mapping[str, Json] = {}


class Coverage(msgspec.Struct, frozen=True):
    """What was looked at: `read` of `total` bytes a loader could interpret, and what was not covered."""

    total: int = 0
    read: int = 0
    missed: tuple[str, ...] = ()
