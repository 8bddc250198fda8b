"""What the registry answers, as JSON documents and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from stannary.core.evidence import Measurement, Reason
from stannary.registry.compare import Difference
from stannary.registry.model import Alias, Model, Move, Promotion, Version
from stannary.registry.retention import Swept
from stannary.registry.shredding import Shredding
from stannary.report.escape import inline
from stannary.report.wording import human_size

__all__ = [
    "DeletedDocument",
    "FileRow",
    "ModelsDocument",
    "PromotionDocument",
    "ShreddingDocument",
    "SweptDocument",
    "VersionDocument",
    "VersionsDocument",
    "diff_text",
    "model_lines",
    "promotion_document",
    "state_of",
    "version_lines",
    "version_text",
]


class ModelsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Models and datasets by name; `next` is where to go on, or empty."""

    schema: str = "stannary.models/1"
    models: tuple[Model, ...]
    next: str = ""


class VersionsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of a model, the newest first, its aliases and how they moved."""

    schema: str = "stannary.versions/1"
    name: str
    versions: tuple[Version, ...]
    aliases: tuple[Alias, ...] = ()
    moves: tuple[Move, ...] = ()


class FileRow(msgspec.Struct, frozen=True):
    """A file of a version."""

    path: str
    size: int
    sha256: str


class VersionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A version and its files. `path` is where a pull wrote it."""

    schema: str = "stannary.version/1"
    version: Version
    files: tuple[FileRow, ...] = ()
    path: str = ""


class PromotionDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an alias moved, and why. `before` is the version it was at; `tried` were denied first, in a rollback."""

    schema: str = "stannary.promotion/1"
    name: str
    alias: str
    number: int
    before: int
    moved: bool
    policy: str
    evidence: str
    reasons: tuple[Reason, ...]
    tried: tuple[int, ...] = ()


class DeletedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The versions that retention deleted, or would."""

    schema: str = "stannary.deleted/1"
    versions: tuple[Version, ...]
    dry_run: bool = False


class SweptDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep deleted, or would: contents, bytes, and what it kept."""

    schema: str = "stannary.swept/1"
    deleted: int
    freed: int
    kept: int
    young: int
    dry_run: bool = False

    @classmethod
    def of(cls, found: Swept, *, dry_run: bool) -> SweptDocument:
        """Return the document of a sweep."""
        return cls(deleted=found.deleted, freed=found.freed, kept=found.kept, young=found.young, dry_run=dry_run)


class ShreddingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a shredding destroyed, or would: the key of a namespace, its versions; what was deleted then, in objects and bytes."""

    schema: str = "stannary.shredding/1"
    namespace: str
    key: str
    versions: int
    deleted: int = 0
    freed: int = 0
    dry_run: bool = False

    @classmethod
    def of(cls, found: Shredding, *, dry_run: bool) -> ShreddingDocument:
        """Return the document of a shredding."""
        return cls(
            namespace=found.namespace, key=found.key, versions=found.versions, deleted=found.deleted, freed=found.freed,
            dry_run=dry_run,
        )  # fmt: skip


def promotion_document(found: Promotion) -> PromotionDocument:
    """Return the document of a promotion or rollback."""
    return PromotionDocument(
        name=str(found.name),
        alias=found.alias,
        number=found.number,
        before=found.before,
        moved=found.moved,
        policy=found.decision.policy_name,
        evidence=found.evidence,
        reasons=found.decision.reasons,
        tried=found.tried,
    )


def model_lines(models: Sequence[Model]) -> Iterable[str]:
    """Yield a line for each model: its name, how many versions, where its aliases are."""
    width = max((len(str(model.name)) for model in models), default=0)
    for model in models:
        placed = "  ".join(f"@{alias} :{number}" for alias, number in sorted(model.aliases.items()))
        count = f"{model.versions} version{'s' if model.versions != 1 else ''}"
        yield f"{inline(str(model.name)):<{width}}  {model.kind:<7}  {count:<12}  {inline(placed)}".rstrip()


def version_lines(versions: Sequence[Version]) -> Iterable[str]:
    """Yield a line for each version: its number, digest, size, state."""
    for version in versions:
        about = [f"@{alias}" for alias in version.aliases] + [state_of(version)]
        when = version.created[:16].replace("T", " ")
        first = f":{version.number:<4} {version.digest[7:19]}  {when}  {human_size(version.size):>9}"
        yield f"{first}  by {inline(version.creator)}  {inline(' '.join(about))}".rstrip()


def version_text(version: Version) -> str:
    """Return a version for people."""
    rows = [
        ("version", f"{version} ({version.kind})"),
        ("digest", version.digest),
        ("size", f"{human_size(version.size)} in {version.files:,} file{'s' if version.files != 1 else ''}"),
        ("pushed", f"{version.created[:16].replace('T', ' ')} by {version.creator}"),
        ("aliases", " ".join(f"@{alias}" for alias in version.aliases) or "none"),
        ("state", state_of(version) or "live"),
        *([("note", version.note)] if version.note else []),
        *((key, str(value)) for key, value in version.info.items() if not isinstance(value, (dict, list))),
    ]
    return "\n".join(f"{name:<8}  {inline(value)}" for name, value in rows)


def state_of(version: Version) -> str:
    """Return what is the matter with a version, or an empty text."""
    states = []
    if version.quarantined:
        states.append(f"QUARANTINED: {version.quarantined}")
    if version.dropped:
        states.append("deleted")
    if version.held:
        states.append(f"held: {version.held}")
    return "; ".join(states)


def diff_text(found: Difference) -> str:
    """Return a comparison for people."""
    if found.same:
        return f"{inline(found.first)} and {inline(found.second)} are the same artifact\n"
    lines = [f"{inline(found.first)} -> {inline(found.second)}"]
    for file in found.files:
        mark = "+" if not file.before else "-" if not file.after else "~"
        sizes = human_size(file.size_after if file.after else file.size_before)
        if file.before and file.after and file.size_before != file.size_after:
            sizes = f"{human_size(file.size_before)} -> {human_size(file.size_after)}"
        lines.append(f"  {mark} {inline(file.path)}  {sizes}")
    for mark, rows in (("-", found.only_first), ("+", found.only_second)):
        lines += [f"  {mark} {row.rule} ({row.severity}) {inline(row.file)}: {inline(row.message)}" for row in rows]
    for row in found.measurements:
        values = [_measured(item) for item in (row.before, row.after)]
        said = f"{row.verdict}{f'; {row.samples}' if row.samples else ''}"
        lines.append(f"  = {inline(row.check)} {inline(row.metric)}: {' -> '.join(values)}  ({said})")
    return "\n".join(lines) + "\n"


def _measured(item: Measurement | None) -> str:
    return f"{item.value:.4g} [{item.low:.4g}, {item.high:.4g}]" if item else "not measured"
