"""Identities for Python programs: `stannary.signing_identity` and `stannary.trusted_identity`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from stannary.core.clock import system_clock
from stannary.core.errors import UsageError
from stannary.crypto.keys import PublicKey, read_public
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.keyless.material import KeylessMaterial
from stannary.evidence.sigstore.identity import Wanted
from stannary.evidence.sigstore.method import SigstoreTrust
from stannary.evidence.sigstore.revocation import Revocation, Revocations, open_list
from stannary.evidence.sigstore.trusted_root import TrustedRoot, read_root
from stannary.evidence.workspace import Workspace

__all__ = ["listed_revocations", "signing_identity", "trusted_identity"]

PathLike = str | os.PathLike[str]


def signing_identity(
    token: str, *, workspace: PathLike | None = None, passphrase: bytes | None = None, nonce: str | None = None
) -> KeylessMaterial:
    """Return what signs as whom a token names: `stannary.sign(path, key=stannary.signing_identity(token))`.

    Args:
        token: an OIDC identity token of a provider that the authority takes (`stannary trust issuer`).
        workspace: where the authority is; found upward when it is None.
        passphrase: what opens its keys; STANNARY_PASSPHRASE when it is None.
        nonce: what the token has to carry, where one was asked for.

    Raises:
        IntegrityError: the token is refused.
        UsageError: there is no workspace, or no authority in it.
    """
    opens = (lambda: passphrase) if passphrase is not None else None
    found = Workspace.find(os.fspath(workspace) if workspace is not None else None, passphrase=opens)
    return KeylessMaterial(Authority(found), token, nonce=nonce)


def trusted_identity(
    name: str,
    issuer: str,
    trusted_root: PathLike,
    *,
    root_key: PathLike | PublicKey | None = None,
    revocations: Sequence[PathLike] = (),
) -> SigstoreTrust:
    """Return the trust in one identity: `stannary.verify(path, signature=..., trust=stannary.trusted_identity(...))`.

    Args:
        name: who has to have signed: an address, a URI or a user, as the certificate has it.
        issuer: the identity provider that has to have vouched.
        trusted_root: whose authorities and logs count: a TrustedRoot or ClientTrustConfig file; `sigstore.dev` for the
            public instance's, which is shipped.
        root_key: the key that has to have signed `trusted_root` (then it is `trusted_root.dsse.json`).
        revocations: signed lists of what counts no longer.

    Raises:
        UsageError: a file is not there.
        InputError: the trusted root is none.
        IntegrityError: it, or a list, is not signed by whom it has to be, or a list has run out.
    """
    pinned = root_key if isinstance(root_key, PublicKey) or root_key is None else read_public(Path(root_key))
    root = read_root(os.fspath(trusted_root), pinned)
    return SigstoreTrust(root, Wanted(name, issuer), Revocations(listed_revocations(revocations, root)))


def listed_revocations(paths: Sequence[PathLike], root: TrustedRoot) -> list[Revocation]:
    """Return what signed lists have. Raises UsageError, InputError or IntegrityError."""
    found: list[Revocation] = []
    for path in paths:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            msg = f"cannot be read: {error.strerror}"
            raise UsageError(msg, where=str(path), code="SIG041") from error
        found += open_list(content, root, system_clock(), str(path)).revoked
    return found
