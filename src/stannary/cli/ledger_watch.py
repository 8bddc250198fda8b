"""Whether anything outside a workspace holds its ledger to its word: what `ledger verify` and `doctor` say of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from stannary.evidence.ledger import Ledger

__all__ = ["HELP", "UNWATCHED", "Watched", "watched"]

UNWATCHED = "nothing outside watches this ledger: an older copy of the whole workspace, put in its place, would look right"
HELP = (
    "keep `stannary ledger head --format checkpoint` elsewhere and `stannary ledger verify --since` it, "
    "or have it witnessed: `stannary ledger witness ask URL`"
)


class Watched(NamedTuple):
    """The largest head that witnesses have cosigned: its entries, and their names."""

    size: int
    names: tuple[str, ...]


def watched(ledger: Ledger) -> Watched | None:
    """Return what witnesses have cosigned as the ledger has it (their signatures are not verified here), None for nothing."""
    from stannary.crypto.note import Checkpoint, parse_note

    text = ledger.cosigned()
    if not text:
        return None
    note = parse_note(text)
    own = ledger.head().origin
    names = dict.fromkeys(row.name for row in note.signatures if row.name != own)
    return Watched(Checkpoint.parse(note.text).size, tuple(names))
