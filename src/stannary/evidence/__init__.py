"""Evidence: what a check found becomes a signed, logged statement about a digest.

What belongs here: statements and their predicates (`statement.py`, `predicates/`), `record.py` (sign and
log), `verify.py` (the only place that makes a `Verified`), the ledger, lineage, model signatures (`oms/`).
What does not: checks (they know nothing of evidence), decisions, tables (they are in `store/`).
To add a kind of evidence: a struct and a row in `predicates/`, a golden example in `tests/golden/`.
"""
