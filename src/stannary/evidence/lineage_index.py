"""The lineage of everything in a workspace, kept beside the ledger and brought up to date when it is asked.

The index is a projection: it follows the log from the checkpoint it has seen, verifies every statement it takes,
and is made again when trust changed, or when the log is not a continuation of what it saw. It answers how far
something reaches; the gate does not ask it, but reads the proven entries of each ancestor (`lineage.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stannary.core.canonical import digest_of
from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.evidence.chain import Chain
from stannary.evidence.ledger import Entry
from stannary.evidence.lineage import SERVED, TAINTING, edges_of
from stannary.evidence.verify import Trusted, verify_envelope
from stannary.policy.order import since
from stannary.store.file_lock import held
from stannary.store.lineage_db import Admit, LineageStore, StatedBy, StoredEdge, StoredRevocation, Walked

__all__ = ["LineageIndex", "Tainted"]

_KINDS = frozenset({"training-run", "lineage", "eval-result", "dataset-check", "revocation"})
_BATCH = 20_000


class Tainted(msgspec.Struct, frozen=True, kw_only=True):
    """Something revoked, and everything that was made from it."""

    digest: str
    name: str
    reason: str
    evidence: str
    reach: tuple[Walked, ...]


class LineageIndex:
    """The index of a workspace, up to date as of when it was opened."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.refused: list[StannaryError] = []
        # One at a time, over all processes: what one has cleared another must not go on filling.
        with held(chain.workspace.root / "lineage.lock"):
            self._store = LineageStore(chain.workspace.root / "lineage.db")
            self._sync()
            self._store.hold()

    def _sync(self) -> None:
        store, ledger = self._store, self._chain.ledger
        trust = str(digest_of(msgspec.to_builtins(self._chain.workspace.trust)))
        note = store.meta("checkpoint")
        seen = int(store.meta("size") or 0)
        try:
            if note:
                ledger.verify_since(note)
        except (IntegrityError, InputError):
            seen = -1  # another log, or one that was rolled back: nothing that was taken from it holds
        if seen < 0 or store.meta("trust") not in ("", trust):
            store.clear()
            seen = 0
        head, note = ledger.head(), ledger.head_note()
        trusted = self._chain.workspace.trust.verifiers()
        for start in range(seen, head.size, _BATCH):
            end = min(start + _BATCH, head.size)
            done = {"trust": trust, "size": str(end)} | ({"checkpoint": note} if end == head.size else {})
            self._take(ledger.entries(start, end), trusted, done)

    def _take(self, entries: Sequence[Entry], trusted: Trusted, meta: dict[str, str]) -> None:
        edges: list[StoredEdge] = []
        revocations: list[StoredRevocation] = []
        names: list[tuple[str, str]] = []
        for row in entries:
            if row.type not in ("evidence", "decision"):
                continue
            if row.kind not in _KINDS and row.kind != "model-scan":
                continue
            try:
                envelope, about = msgspec.convert(row.body, dsse.Envelope), Digest.parse(row.subject)
                item = verify_envelope(envelope, trusted, subject=about, recorded=row.time, index=row.index)
            except (IntegrityError, InputError, ValueError) as error:
                self.refused.append(
                    error if isinstance(error, StannaryError) else InputError(str(error), where=f"entry {row.index}")
                )
                continue
            found = item.value
            if found.subject_name:
                names.append((found.subject.hex, found.subject_name))
            edges.extend(_stored(item))
            if found.kind == "revocation":
                reason = str(found.predicate.get("reason", ""))
                who = StatedBy(found.id.hex, item.keyid, row.index, since(found).timestamp())
                revocations.append(StoredRevocation(found.subject.hex, found.outcome != "passed", reason, who))
        self._store.add(edges, revocations, names, meta)

    def resolve(self, name: str) -> Digest:
        """Return the digest of what is called `name` in evidence. Raises UsageError when nothing is, or more than one thing."""
        found = self._store.named(name)
        if len(found) == 1:
            return Digest(found[0])
        msg = "is no artifact that evidence names" if not found else f"names {len(found)} artifacts"
        hint = (
            "name a path, or one of: " + ", ".join(f"sha256:{digest}" for digest in found[:5])
            if found
            else "stannary evidence list"
        )
        raise UsageError(msg, where=name, code="LIN001", help=hint)

    def above(self, digest: Digest, *, admit: Admit | None = None) -> list[Walked]:
        """Return what an artifact was made from, was evaluated on or serves, nearest first; only what `admit` admits."""
        return self._store.walk(digest.hex, down=False, admit=admit)

    def below(self, digest: Digest, *, tainting: bool = False, admit: Admit | None = None) -> list[Walked]:
        """Return what was made from an artifact or serves it, nearest first; with `tainting` only by edges that carry taint."""
        return self._store.walk(digest.hex, down=True, tainting=tainting, admit=admit)

    def blast_radius(self, digest: Digest) -> int:
        """Return how many artifacts a revocation of this one takes with it."""
        return self._store.reached(digest.hex)

    def tainted(self) -> list[Tainted]:
        """Return every revocation that stands, with its reach."""
        return [
            Tainted(digest=d, name=n, reason=r, evidence=e, reach=tuple(self.below(Digest(d), tainting=True)))
            for d, n, r, e in self._store.revoked()
        ]

    def name_of(self, digest: Digest) -> str:
        """Return what an artifact is called in evidence, empty when nobody said."""
        return self._store.name_of(digest.hex)

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()


def _stored(item: Verified[Evidence]) -> list[StoredEdge]:
    """Return the edges of a statement. What serves an artifact comes behind it, though the artifact's statement says so."""
    found: list[StoredEdge] = []
    for edge in edges_of(item):
        ends = ((edge.source.hex, item.value.subject_name), (edge.target.hex, edge.target_name))
        (source, source_name), (target, target_name) = reversed(ends) if edge.relation == SERVED else ends
        found.append(
            StoredEdge(
                source=source,
                target=target,
                relation=edge.relation,
                taints=edge.relation in TAINTING or edge.relation == SERVED,
                evidence=edge.evidence.hex,
                source_name=source_name,
                target_name=target_name,
            )
        )
    return found
