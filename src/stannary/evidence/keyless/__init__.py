"""Keyless signing without anybody's service: an authority, a certificate log and a signature log of one's own.

What belongs here: `authority.py` (the folder with keys and settings), `certificates.py` (what it issues), `log.py`
(the log of signatures), `token.py` and `provider.py` (who somebody is, by the word of an identity provider),
`material.py` (signing with it), `change.py` (rotation and revocation).
What does not: verifying, which needs none of the keys (`evidence/sigstore/`).
"""
