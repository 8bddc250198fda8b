"""What the registry answers with."""

from __future__ import annotations

import msgspec

from stannary.core.evidence import Decision
from stannary.core.model import Json
from stannary.registry.names import Name

__all__ = ["Alias", "Model", "Move", "Promotion", "Protection", "Version"]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model: immutable. `created` is RFC 3339 in UTC, `size` in bytes."""

    name: Name
    kind: str
    number: int
    digest: str
    manifest: str
    size: int
    files: int
    creator: str
    created: str
    note: str = ""
    info: dict[str, Json] = {}
    entry: int
    aliases: tuple[str, ...] = ()
    dropped: bool = False
    quarantined: str = ""  # why, when it is
    held: str = ""  # why, when it is

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alias is, since when, and by which decision."""

    alias: str
    number: int
    moved: str
    actor: str
    decision: str
    entry: int


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an alias; `number` 0: it was taken away."""

    alias: str
    number: int
    reason: str
    moved: str
    actor: str
    decision: str
    entry: int


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model or dataset, and what state it is in."""

    name: Name
    kind: str
    created: str
    latest: int
    versions: int
    aliases: dict[str, int]


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What has to hold before an alias moves, and where that was said (`entry` is None for what holds by default)."""

    name: Name
    alias: str
    policy: Json
    separate: bool = False
    frozen: str = ""
    entry: int | None = None


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a promotion or rollback: the decision, and whether the alias moved. `tried`: versions that were denied."""

    name: Name
    alias: str
    number: int
    before: int
    decision: Decision
    evidence: str  # the id of the signed decision
    moved: bool
    tried: tuple[int, ...] = ()
