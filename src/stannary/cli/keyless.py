"""What `sign` and `verify` do for identities: the token, the trusted root, what was revoked."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stannary.cli.workspace import open_workspace
from stannary.core.errors import UsageError

if TYPE_CHECKING:
    from stannary.cli.verify import VerifyReport
    from stannary.evidence.keyless.material import KeylessMaterial
    from stannary.evidence.sigstore.method import SigstoreTrust
    from stannary.evidence.sigstore.revocation import Revocation
    from stannary.evidence.sigstore.trusted_root import TrustedRoot
    from stannary.evidence.workspace import Workspace

__all__ = ["file_report", "keyless_material", "read_token", "sigstore_trust"]

_LARGEST = 64 << 10


def keyless_material(given: dict[str, Any], *, offline: bool) -> KeylessMaterial:
    """Return what signs as the identity of a token. Raises UsageError, IntegrityError for a token that is refused."""
    from stannary.evidence.keyless.ambient import ambient_token
    from stannary.evidence.keyless.authority import Authority
    from stannary.evidence.keyless.material import KeylessMaterial

    foreign = [name for name in ("key", "certificate", "certificate_chain") if given.get(name)]
    if foreign:
        msg = f"signs with a key of its own, and not with --{foreign[0].replace('_', '-')}"
        raise UsageError(msg, where="--keyless", code="SIG025", help="say one of them")
    authority = Authority(open_workspace(given["workspace"]))
    if given["identity_token"] is not None:
        token = read_token(given["identity_token"])
    else:
        token = ambient_token(os.environ, authority.settings.audience_of("github"), offline=offline)
    return KeylessMaterial(authority, token, nonce=given["nonce"])


def read_token(source: str) -> str:
    """Return an identity token from a file, or from stdin (-). Raises UsageError."""
    try:
        if source == "-":
            content = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with Path(source).open("rb") as file:
                content = file.read(_LARGEST + 1)
        return content[: _LARGEST + 1].decode("ascii").strip()
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UsageError(msg, where=source, code="OID011") from error
    except UnicodeDecodeError as error:
        msg = "is no identity token"
        raise UsageError(msg, where=source, code="OID011") from error


def sigstore_trust(given: dict[str, Any]) -> SigstoreTrust:
    """Return the trust in one identity. Raises UsageError when it is not said in full, and what reading it raises."""
    from stannary.evidence.keyless.api import listed_revocations
    from stannary.evidence.sigstore.identity import Wanted
    from stannary.evidence.sigstore.method import SigstoreTrust
    from stannary.evidence.sigstore.revocation import Revocations

    problems = [
        UsageError(f"whose signature it has to be is not said: --{name}", code="SIG018", help="nobody is trusted on first use")
        for name in ("identity", "issuer")
        if not given[name]
    ]
    if given["trust_config"] and given["trusted_root"]:
        problems.append(UsageError("two trusted roots", where="--trust-config", code="SIG018", help="name one"))
    if problems:
        msg = "verify"
        raise ExceptionGroup(msg, problems)
    workspace = _workspace(given["workspace"])
    root = _root(given, workspace)
    rows = [*_revoked_here(workspace), *listed_revocations(given["revocations"], root)]
    return SigstoreTrust(root, Wanted(given["identity"], given["issuer"]), Revocations(rows))


def file_report(target: str, signature: str, trust: Any) -> VerifyReport | None:  # noqa: ANN401 - a SigstoreTrust
    """Verify a bundle on one file and return the report; None for one on a model. Raises IntegrityError or UsageError."""
    from stannary.cli.verify import Signer, VerifyReport
    from stannary.evidence.oms.verify import read_content
    from stannary.evidence.sigstore.file import is_on_a_model, verify_file
    from stannary.evidence.sigstore.method import signed_by

    content = read_content(signature)
    if is_on_a_model(content, signature):
        return None
    found = verify_file(target, content, trust, signature)
    who = signed_by(found.facts)
    return VerifyReport(
        target=target,
        signature=signature,
        outcome="verified",
        model=Path(target).name,
        signer=msgspec.convert(msgspec.to_builtins(who), Signer),
        checked=1,
        signed=1,
        unsigned=0,
        bytes=found.size,
        root=f"sha256:{found.sha256}",
        artifact=None,
        problems=(),
    )


def _workspace(named: str | None) -> Workspace | None:
    try:
        return open_workspace(named)
    except UsageError as error:
        if named is not None or error.code != "WSP001":
            raise
        return None


def _root(given: dict[str, Any], workspace: Workspace | None) -> TrustedRoot:
    from stannary.crypto.keys import read_public
    from stannary.evidence.sigstore.trusted_root import read_root

    path = given["trusted_root"] or given["trust_config"]
    if path is None and workspace is not None and (workspace.root / "authority" / "trusted_root.json").exists():
        path = str(workspace.root / "authority" / "trusted_root.json")
    if path is None:
        msg = "which authorities and logs are trusted is not said"
        text = "--trust-config or --trusted-root FILE, `sigstore.dev` for the public instance's"
        raise UsageError(msg, code="SIG018", help=text)
    return read_root(path, read_public(given["root_key"]) if given["root_key"] else None)


def _revoked_here(workspace: Workspace | None) -> tuple[Revocation, ...]:
    from stannary.evidence.keyless.change import revocations_of

    if workspace is None or not workspace.has_ledger:
        return ()
    return revocations_of(workspace).rows
