"""Model signatures of the OpenSSF Model Signing specification 1.0, exchanged with `model_signing` both ways.

`bundle.py` is the container (Sigstore bundle), `manifest.py` what is signed (files and their digests),
`listing.py` which files those are, `digests.py` and `cache.py` how they are hashed. `interface.py` says what a
method of signing is: `key.py` and `certificate.py` are two. `sign.py` and `verify.py` put them together;
`ranged.py` reads files of a signed model and verifies what it reads.
To add a method: a module with a Material and a Trust, and the field of the bundle it lives in.
"""
