"""Where private keys are kept: one module a kind of place, each with `open_signer(address, ask)` and `open_wrapper(address, ask)`.

`opening.py` has the table of schemes; a plug-in adds one with an entry point of the groups `stannary.keys` (signers)
and `stannary.wrapping-keys`. A signer says its public key without touching the private one where the place allows
it, and signs; a wrapper encrypts other keys. Nothing here prints, prompts, or keeps a secret longer than it is used.
"""
