"""Hand the log of a workspace over to a new key, or take up that another machine did.

The entry and the checkpoint that both keys signed are in the log first; then the files are written; workspace.json, which names
the new key, is replaced last. What was broken off in between is finished by doing it again: the log says which key it has.
"""

from __future__ import annotations

from collections.abc import Sequence

from stannary.core.errors import IntegrityError, UsageError
from stannary.crypto.keys import PublicKey, generate
from stannary.crypto.note import VerifierKey
from stannary.evidence.ledger import Ledger
from stannary.evidence.ledger.log_keys import HANDOVER, Handover, LogKeys, named_in
from stannary.evidence.workspace import Workspace
from stannary.evidence.workspace_keys import NamedKey
from stannary.store.file_lock import held

__all__ = ["adopt", "rotate"]


def rotate(
    workspace: Workspace, *, new: NamedKey | None = None, passphrase: bytes | None = None, compromised: bool = False
) -> LogKeys:
    """Hand the log over to `new`, or to a key that is made in the workspace (unprotected without a passphrase). Returns its keys.

    Nobody may append meanwhile; whoever still has the old key open is refused afterwards. Raises UsageError, InputError,
    BackendError, or IntegrityError.
    """
    with held(f"{workspace.head_path}.rotating"):
        keys = workspace.log_keys
        stem = f"keys/ledger-{len(keys.retired) + 2}"
        made = new or _made(workspace, stem, passphrase)
        wanted = VerifierKey.of(keys.name, made.public)
        with workspace.ledger(write=True) as ledger:
            handover = _begun(ledger, wanted) or ledger.hand_over(made.signer, compromised=compromised)
        followed = LogKeys.following(keys.current, (*keys.handovers, handover))
        (workspace.root / f"{stem}.pub").write_bytes(made.public.pem())
        workspace.hand_over(followed, (made.address, f"{stem}.pub", f"{stem}.json"))
        return followed


def adopt(workspace: Workspace, handovers: Sequence[Handover], new: NamedKey | None = None) -> LogKeys:
    """Follow a hand-over that was made on another machine, from the key that is trusted here. Returns the keys.

    Without `new`, the key opened, this workspace only reads its ledger from now on. Raises UsageError or IntegrityError.
    """
    with held(f"{workspace.head_path}.rotating"):
        keys = workspace.log_keys
        followed = LogKeys.following(keys.current, handovers)
        if followed.all[: len(keys.all)] != keys.all:
            msg = "the hand-overs that are known here are not the beginning of these"
            raise IntegrityError(msg, code="LED027", help="keep both files: they show that one key signed two hand-overs")
        if len(followed.all) == len(keys.all):
            return keys
        public = PublicKey.of_der(followed.current.spki)
        if new is not None and new.public.keyid != public.keyid:
            msg = f"the log was handed over to key {followed.current.id.hex()}, and this is another one"
            raise UsageError(msg, where=new.address, code="KEY010", help="name the key that it was handed over to, or none")
        stem = f"keys/ledger-{len(followed.all)}"
        (workspace.root / f"{stem}.pub").write_bytes(public.pem())
        address = new.address if new is not None else f"{stem}.pem"
        workspace.hand_over(followed, (address, f"{stem}.pub", f"{stem}.json"))
        return followed


def _made(workspace: Workspace, stem: str, passphrase: bytes | None) -> NamedKey:
    """Return a new key of the workspace's own; the one that an interrupted hand-over has made already."""
    path = workspace.root / f"{stem}.pem"
    if path.exists():
        key = workspace.read_key(path)
    else:
        key = generate("ed25519")
        key.write(path, passphrase)
    return NamedKey(f"{stem}.pem", key)


def _begun(ledger: Ledger, wanted: VerifierKey) -> Handover | None:
    """Return the hand-over that is in the log and not in the workspace yet. Raises IntegrityError for one to another key."""
    size = ledger.head().size
    last = ledger.read(size - 1) if size else None
    if last is None or last.type != HANDOVER or size == ledger.keys.first:
        return None
    new = named_in(last.record, ledger.key.name)[1]
    if new != wanted:
        msg = f"the log was handed over to key {new.id.hex()} already, and this is key {wanted.id.hex()}"
        raise IntegrityError(
            msg, code="LED027", help="name that key with --key, or adopt its hand-over: `stannary ledger keys --adopt`"
        )
    return ledger.handover(size - 1)
