"""Edges between artifacts in a SQLite file: a projection of the ledger that can be thrown away and made again.

Artifacts have small numbers in it, so that following edges costs integer look-ups; a level of a walk is one query. Edges
that carry taint stand in a narrow table of their own besides (`down`), from which the reach of a revocation is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from stannary.store.projection_file import ProjectionFile

__all__ = ["Admit", "LineageStore", "StatedBy", "StoredEdge", "StoredRevocation", "Walked"]

_VERSION = 4
_BATCH = 5000
_NUMBERS = msgspec.json.Decoder(set[int])
_SCHEMA = """
CREATE TABLE node (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, name TEXT NOT NULL DEFAULT '');
CREATE INDEX node_name ON node (name);
CREATE TABLE edge (
    target INTEGER NOT NULL, source INTEGER NOT NULL, relation TEXT NOT NULL, taints INTEGER NOT NULL, evidence TEXT NOT NULL,
    PRIMARY KEY (target, source, relation, evidence)
) WITHOUT ROWID;
CREATE INDEX edge_source ON edge (source, target);
CREATE TABLE down (target INTEGER NOT NULL, source INTEGER NOT NULL, PRIMARY KEY (target, source)) WITHOUT ROWID;
CREATE TABLE revocation (
    node INTEGER NOT NULL, evidence TEXT NOT NULL, signer TEXT NOT NULL, idx INTEGER NOT NULL, since REAL NOT NULL,
    stands INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (node, evidence, signer)
) WITHOUT ROWID;
"""


Admit = Callable[[Sequence[str]], set[str]]


class StoredEdge(NamedTuple):
    """`source` stands in a relation to `target`; digests in hex. `taints`: a revoked target takes the source with it."""

    source: str
    target: str
    relation: str
    taints: bool
    evidence: str
    source_name: str = ""
    target_name: str = ""


class StatedBy(NamedTuple):
    """A statement: its id, the key that signed it, its place in the log, since when it is known (seconds)."""

    evidence: str
    signer: str
    place: int
    since: float


class StoredRevocation(NamedTuple):
    """That an artifact was revoked, or (`stands` is false) that this was taken back."""

    digest: str
    stands: bool
    reason: str
    by: StatedBy


class Walked(msgspec.Struct, frozen=True):
    """An artifact that a walk came to, `depth` edges from where it began, and by which edge. Digests in hex."""

    digest: str
    name: str
    depth: int
    via: str  # the digest of the artifact one step nearer
    relation: str
    evidence: str


class LineageStore(ProjectionFile):
    """The file."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, _SCHEMA, _VERSION)

    def hold(self) -> None:
        """Read what is there now until the file is closed, whatever others clear or add meanwhile."""
        self._db.execute("BEGIN")
        self._db.execute("SELECT count(*) FROM meta").fetchone()

    def add(
        self,
        edges: Iterable[StoredEdge],
        revocations: Iterable[StoredRevocation],
        names: Iterable[tuple[str, str]],
        meta: dict[str, str],
    ) -> None:
        """Add all or nothing: edges, revocations, names (digest, name), notes."""
        with self._writing(meta):
            for digest, name in names:
                self._node(digest, name)
            for edge in edges:
                between = (self._node(edge.target, edge.target_name), self._node(edge.source, edge.source_name))
                self._db.execute(
                    "INSERT OR IGNORE INTO edge VALUES (?, ?, ?, ?, ?)", (*between, edge.relation, edge.taints, edge.evidence)
                )
                if edge.taints:
                    self._db.execute("INSERT OR IGNORE INTO down VALUES (?, ?)", between)
            for item in revocations:  # one that is logged again is not newer by it
                row = (self._node(item.digest), *item.by, item.stands, item.reason)
                self._db.execute("INSERT OR IGNORE INTO revocation VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def _node(self, digest: str, name: str = "") -> int:
        self._db.execute("INSERT OR IGNORE INTO node (digest) VALUES (?)", (digest,))
        if name:
            self._db.execute("UPDATE node SET name = ? WHERE digest = ?", (name, digest))
        return int(self._db.execute("SELECT id FROM node WHERE digest = ?", (digest,)).fetchone()[0])

    def named(self, name: str) -> list[str]:
        """Return the digests of what is called so."""
        return [row[0] for row in self._db.execute("SELECT digest FROM node WHERE name = ? ORDER BY digest", (name,))]

    def name_of(self, digest: str) -> str:
        """Return what an artifact is called, empty when nobody said."""
        row = self._db.execute("SELECT name FROM node WHERE digest = ?", (digest,)).fetchone()
        return str(row[0]) if row else ""

    def revoked(self) -> list[tuple[str, str, str, str]]:
        """Return (digest, name, reason, evidence) of every revocation that stands, the last one of each artifact.

        It is superseded, as by the gate, by what came into the log later and was not issued before it.
        """
        rows = self._db.execute(
            "SELECT digest, name, reason, evidence FROM revocation r JOIN node ON id = node WHERE stands AND NOT EXISTS"
            " (SELECT 1 FROM revocation o WHERE o.node = r.node AND o.idx > r.idx AND o.since >= r.since) ORDER BY digest, idx"
        ).fetchall()
        return list({row[0]: row for row in rows}.values())

    def reached(self, digest: str) -> int:
        """Return how many artifacts were made from one, at any distance, by edges that carry taint."""
        seen = self._ids([digest])
        if not seen:
            return 0
        level = set(seen)
        while level:
            # One text each way: a row a descendant costs twice the time at 100,000 of them.
            among = msgspec.json.encode(sorted(level)).decode()
            (found_text,) = self._db.execute(
                "SELECT json_group_array(source) FROM json_each(?) CROSS JOIN down ON target = json_each.value", (among,)
            ).fetchone()
            level = _NUMBERS.decode(found_text) - seen
            seen |= level
        return len(seen) - 1

    def walk(self, digest: str, *, down: bool, tainting: bool = False, admit: Admit | None = None) -> list[Walked]:
        """Return everything below (made from it) or above an artifact, nearest first, once for each relation that leads there.

        With `tainting` each once, and by edges that carry taint alone.
        With `admit` only what that admits of the digests it is given; the walk does not go on from the others.
        """
        seen = self._ids([digest])
        level = list(seen)
        rows: list[tuple[int, int, int, str, str]] = []
        depth = 0
        here, there = ("target", "source") if down else ("source", "target")
        also = " AND taints" if tainting else ""
        while level:
            depth += 1
            following: list[int] = []
            new: set[int] = set()
            told: set[tuple[int, str]] = set()
            for start in range(0, len(level), _BATCH):
                among = ",".join(map(str, level[start : start + _BATCH]))
                query = f"SELECT {here}, {there}, relation, evidence FROM edge WHERE {here} IN ({among}){also} ORDER BY 1, 2"  # noqa: S608 - integers of ours
                for near, far, relation, evidence in self._db.execute(query):
                    fresh = far not in seen
                    if fresh:
                        seen.add(far)
                        following.append(far)
                        new.add(far)
                    if fresh or (far in new and not tainting and (far, relation) not in told):
                        told.add((far, relation))
                        rows.append((far, depth, near, relation, evidence))
            if admit is not None and following:
                known = self._nodes(following)
                admitted = admit([known[far][0] for far in following])
                following = [far for far in following if known[far][0] in admitted]
                kept = set(following)
                rows = [row for row in rows if row[1] < depth or row[0] in kept]
            level = following
        nodes = self._nodes([row[0] for row in rows] + [row[2] for row in rows])
        return [Walked(*nodes[far], depth, nodes[near][0], relation, evidence) for far, depth, near, relation, evidence in rows]

    def _ids(self, digests: Sequence[str]) -> set[int]:
        found = (self._db.execute("SELECT id FROM node WHERE digest = ?", (digest,)).fetchone() for digest in digests)
        return {int(row[0]) for row in found if row}

    def _nodes(self, ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        found: dict[int, tuple[str, str]] = {}
        wanted = list(dict.fromkeys(ids))
        for start in range(0, len(wanted), _BATCH):
            among = ",".join(map(str, wanted[start : start + _BATCH]))
            for number, digest, name in self._db.execute(f"SELECT id, digest, name FROM node WHERE id IN ({among})"):  # noqa: S608
                found[number] = (digest, name)
        return found
