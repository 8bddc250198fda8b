"""Where an artifact comes from and what was made of it, as a picture; and who may see which part of it.

An artifact that the caller may not read is not drawn, nor what lies behind it; the page says how many there are.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from stannary.core.model import Digest
from stannary.registry import queries
from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import digest_in, may_see
from stannary.server.operations import Call
from stannary.server.sight import Lineage, lineage_of

__all__ = ["PAGES"]

_MOST = 60  # artifacts in a picture, each way
_WIDTH, _HEIGHT, _ACROSS, _DOWN = 190, 44, 250, 60


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact in the picture; `column` counts edges from the middle, ancestors below 0."""

    digest: str
    name: str
    column: int
    row: int
    x: int
    y: int
    link: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An edge: from what was made to what it was made from."""

    source: str
    target: str
    relation: str
    evidence: str
    path: str


class LineagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A picture. `left`: artifacts that are not drawn because there are too many; `hidden`: those that one may not see."""

    schema: str = "stannary.console.lineage/1"
    digest: str
    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]
    width: int
    height: int
    left: int
    hidden: int


class _Edge(NamedTuple):
    source: str
    target: str
    relation: str
    evidence: str


def _lineage(call: Call) -> Shown:
    digest = digest_in(call.path["digest"])
    may_see(call, digest)
    found = lineage_of(call.store, digest)
    data = _drawn(call, digest, found)
    return Shown(template="lineage.html", title=f"Lineage of {digest.hex[:12]}", data=data)


def _drawn(call: Call, digest: Digest, found: Lineage) -> LineagePage:
    columns: dict[str, tuple[int, str]] = {digest.hex: (0, found.name)}
    edges: list[_Edge] = []
    for side, rows in ((-1, found.above[:_MOST]), (1, found.below[:_MOST])):
        for item in rows:
            columns.setdefault(item.digest, (side * item.depth, item.name))
            ends = (item.via, item.digest) if side < 0 else (item.digest, item.via)
            edges.append(_Edge(*ends, item.relation, item.evidence))
    first = min(column for column, _ in columns.values())
    counts: dict[int, int] = {}
    nodes: dict[str, Node] = {}
    for key, (column, name) in columns.items():
        row = counts[column] = counts.get(column, -1) + 1
        shown, link = _named(call, key, name)
        nodes[key] = Node(
            digest=key, name=shown, column=column, row=row, x=10 + (column - first) * _ACROSS, y=10 + row * _DOWN, link=link,
        )  # fmt: skip
    lines = [
        Line(source=edge.source, target=edge.target, relation=edge.relation, evidence=edge.evidence, path=_path(nodes, edge))
        for edge in edges
        if edge.source in nodes and edge.target in nodes
    ]
    return LineagePage(
        digest=str(digest), nodes=tuple(nodes.values()), lines=tuple(lines), width=max(n.x for n in nodes.values()) + _WIDTH + 10,
        height=(max(counts.values()) + 1) * _DOWN + 10, hidden=found.hidden,
        left=sum(max(0, len(rows) - _MOST) for rows in (found.above, found.below)),
    )  # fmt: skip


def _named(call: Call, key: str, name: str) -> tuple[str, str]:
    with call.store.reading() as connection:
        versions = queries.versions_with(connection, f"sha256:{key}")
    mine = [item for item in versions if call.store.may("read", item.name)]
    if mine:
        where = mine[0].name
        return str(mine[0]), f"/models/{where.namespace}/{where.name}/versions/{mine[0].number}"
    return name or f"sha256:{key[:12]}", ""


def _path(nodes: dict[str, Node], edge: _Edge) -> str:
    """Return the curve from where something comes from to what was made of it."""
    start, end = nodes[edge.target], nodes[edge.source]
    x, y, to_x, to_y = start.x + _WIDTH, start.y + _HEIGHT // 2, end.x, end.y + _HEIGHT // 2
    half = (x + to_x) // 2
    return f"M{x} {y}C{half} {y} {half} {to_y} {to_x} {to_y}"


PAGES = (Page(id="lineage", path="/artifacts/{digest}/lineage", run=_lineage),)
