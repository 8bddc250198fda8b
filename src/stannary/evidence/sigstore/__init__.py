"""Sigstore bundles, verified offline: who signed by which identity provider's word, and that it was logged.

What belongs here: `trusted_root.py` (whose authorities and logs count), `bundle.py` (versions 0.1 to 0.3),
`entry.py` (log entries: promise, proof, checkpoint), `body.py` (what an entry is about), `identity.py` (what a
certificate says of its owner), `timestamps.py` (RFC 3161), `revocation.py`, and `verify.py`, which puts them together
step by step; `method.py` makes it a method of model signatures.
What does not: issuing certificates and logging (`evidence/keyless/`). Nothing here opens a socket.
"""
