"""An inventory in short: the JSON document, and the same as a text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from stannary.report.bom.documents import BomDocument, DisputeRow, ModelRow, UnreadRow
from stannary.report.bom.inventory import Fact, Inventory
from stannary.report.bom.score import Score
from stannary.report.bom.words import line, shown
from stannary.report.escape import inline
from stannary.report.wording import counted

__all__ = ["document_of", "table"]

_SHOWN = (
    "architecture",
    "architecture_family",
    "task",
    "parameters",
    "dtypes",
    "quantisation",
    "framework",
    "library",
    "context_length",
)
_ROWS = 12


def document_of(inventory: Inventory, score: Score, recorded: str = "") -> BomDocument:
    """Return the document."""
    models = tuple(
        ModelRow(
            name=model.name,
            path=model.path,
            files=len(model.files),
            facts={field: _row(fact) for field, fact in model.facts.fields()},
        )
        for model in inventory.models
    )
    return BomDocument(
        name=inventory.name,
        digest=str(inventory.digest),
        files=len(inventory.files),
        bytes=inventory.size,
        models=models,
        datasets=tuple(f"{row.name} ({row.use})" for row in inventory.datasets),
        origins=tuple(f"{row.relation} {row.name}" for row in inventory.origins),
        packages=len(inventory.packages),
        licences=tuple(row.id or row.name for row in inventory.licences),
        metrics=len(inventory.metrics),
        evidence=tuple(str(item.value.id) for item in inventory.evidence),
        unread=tuple(UnreadRow(*row) for row in inventory.unread),
        disputes=tuple(DisputeRow(field, tuple(map(_row, facts))) for field, facts in inventory.primary.facts.disputes()),
        score=score,
        recorded=recorded,
    )


def _row(fact: Fact) -> dict[str, str]:
    return {"value": shown(fact.value)[:2000], "source": str(fact.source)}


def table(inventory: Inventory, score: Score) -> str:
    """Return the inventory as text: what there is with its sources, then what is missing and where to put it."""
    lines = [
        inline(inventory.name, 200),
        f"  {inventory.digest}",
        f"  {counted(len(inventory.files), 'file')}, {counted(inventory.size, 'byte')}",
        "",
    ]
    for model in inventory.models[:_ROWS]:
        lines.append(f"Model {inline(model.name, 120)}{f' ({inline(model.path, 120)})' if model.path else ''}")
        for field in _SHOWN:
            fact = model.facts.first(field)
            if fact is not None:
                lines.append(f"  {field.replace('_', ' '):<20} {line(shown(fact.value), 90)}  [{inline(str(fact.source), 80)}]")
    if len(inventory.models) > _ROWS:
        lines.append(f"  and {len(inventory.models) - _ROWS} more models")
    lines += _section("Licences", (f"{row.id or row.name} ({row.family})  [{row.source}]" for row in inventory.licences))
    lines += _section("Made from", (f"{row.relation} {row.name}  [{row.source}]" for row in inventory.origins))
    lines += _section("Data", (f"{row.name}, {row.use}  [{row.source}]" for row in inventory.datasets))
    lines += _section("Packages", (f"{row.name} {row.version or row.specifier}  [{row.source}]" for row in inventory.packages))
    lines += _section("Measurements", (f"{row.metric} {row.value} {row.slice}  [{row.source}]" for row in inventory.metrics))
    lines += _section(
        "Evidence",
        (
            f"{item.value.kind}: {item.value.verdict or item.value.outcome}, signed by {item.identity}"
            for item in inventory.evidence
        ),
    )
    lines += _section("Not read", (f"{path}: {reason}" for path, reason in inventory.unread))
    for field, facts in inventory.primary.facts.disputes():
        lines += _section(f"Sources disagree about {field}", (f"{shown(fact.value)}  [{fact.source}]" for fact in facts))
    lines += [
        "",
        f"Completeness {score.points:g} of 100 ({len(score.present)} of {len(score.present) + len(score.missing)} fields)",
    ]
    lines += [f"  {row.field:<32} {row.put}" for row in score.missing]
    return "\n".join(lines) + "\n"


def _section(title: str, rows: Iterable[str]) -> list[str]:
    listed = list(rows)
    if not listed:
        return []
    more = [f"  and {len(listed) - _ROWS} more"] if len(listed) > _ROWS else []
    return ["", title, *(f"  {inline(row, 200)}" for row in listed[:_ROWS]), *more]
