"""Contents by their digest: put once, never changed, verified on the way in and on the way out.

What belongs here: `interface.py` (what a blob store is), `objects.py` (what it is built on: named objects that
appear whole or not at all), one module for each place objects can be in (`folder.py`, `s3.py`), and the two ways
of keeping contents in them: `plain.py`, as they are, and `encrypted.py`, sealed.
What does not: names, versions and aliases of what the contents belong to (`registry/`), keys and ciphers (`crypto/`).
To add a place: a class with the methods of `Objects`, and the conformance suite `stannary.testing.blobs` over it.
"""
