"""The ledger: an append-only Merkle log of what was found and what was decided.

What belongs here: records and receipts (`entry.py`), the proven view of the stored tree (`tree.py`), appending
(`sequencer.py`), `Ledger` over them, the audit, export as tiles, witnessing. Hashing and notes are
`stannary.crypto`'s, tables `stannary.store.ledger_store`'s.
What does not: what a record means.
"""

from stannary.evidence.ledger.audit import Deviation, Report, audit_file
from stannary.evidence.ledger.entry import Entry, Receipt, entry, leaf_of, verify
from stannary.evidence.ledger.ledger import Ledger

__all__ = ["Deviation", "Entry", "Ledger", "Receipt", "Report", "audit_file", "entry", "leaf_of", "verify"]
