"""Cryptography: keys, signatures, the proofs of a Merkle log, certificates, authenticated encryption.

What belongs here: `interface.py` (what a signer and a verifying key are), `keys.py` (keys in
memory and in PEM files), `dsse.py` (signed envelopes), `merkle.py` and `note.py` (RFC 6962 hashing,
C2SP signed notes), certificates, and `providers/`: one module for each place a private key can be.
What does not: what is signed means nothing here: no statements, no policies, no rules, no tables.
Primitives are the `cryptography` package's; none is written here. Every verification fails closed
with IntegrityError.
To add a key provider: a module in `providers/` and a row in its table.
"""
