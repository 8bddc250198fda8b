"""Versions of models and datasets, and the aliases by which they are in service.

What belongs here: names, versions, aliases, promotion, rollback, quarantine, retention, backup.
What does not: checks (the registry reads evidence and asks the gate), tables (`store/`), who may (`access/`).

The ledger is the registry: each change is an event that is appended to it, together with the decision it rests
on. The tables are a projection of those events (`projection.py`), made to be asked quickly; `entry` in a row
names the event, and an answer that matters is held against it. A change is made under the database's writer lock:

    bring the projection up to date → check → decide → append to the ledger → project → commit

A process that dies after the append leaves a ledger that is ahead of the tables; the next one catches up.
"""
