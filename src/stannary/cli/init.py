"""`stannary init [DIR]`: a configuration in which every setting stands, commented, and a workspace with its keys."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stannary.cli.config_command import toml
from stannary.cli.group import common_options, talk_of
from stannary.cli.passphrase import ask, choose
from stannary.cli.settings import KEYS
from stannary.cli.signing_key import is_offline
from stannary.cli.talk import Talk
from stannary.core.errors import UsageError
from stannary.evidence.workspace import FOLDER
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.evidence.unlock import MadeUp
    from stannary.evidence.workspace import Workspace
    from stannary.evidence.workspace_keys import Elsewhere

__all__ = ["command", "template"]

_OF_THE_WORKSPACE = ("key", "ledger_key", "origin", "database", "contents", "wrapping_key", "namespace_keys")
_WAIVER = """
# A finding that was looked at and accepted. It needs a reason, an owner and an end; when it has
# expired, it becomes a finding itself. Name the rule and either the file or the digest of its content.
# [[waiver]]
# rule = "PKL050"
# file = "models/legacy.pkl"
# reason = "our own class, reviewed"
# owner = "ml-platform@example.com"
# expires = 2027-06-30
"""


@click.command("init")
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@click.option("--force", is_flag=True, help="Replace a stannary.toml that is there. A workspace is never replaced.")
@click.option("--no-workspace", is_flag=True, help="Write stannary.toml only.")
@click.option("--no-passphrase", is_flag=True, help="Leave the new keys unprotected.")
@click.option("--origin", metavar="NAME", default="", help="Name of the ledger, unique in the world.  [default: made up]")
@click.option(
    "--database",
    metavar="URL",
    default="",
    help="Keep the ledger in this PostgreSQL database: postgresql://..., or env:NAME for a variable that has the URL.",
)
@click.option(
    "--key",
    metavar="KEY",
    help="Sign with a key that is there: a file, or env:NAME, keyring:NAME, pkcs11:..., awskms:///ID, vault:MOUNT/KEY.",
)
@click.option("--ledger-key", metavar="KEY", help="Sign heads of the ledger with a key that is there, as --key; Ed25519.")
@click.option("--contents", metavar="PLACE", default="", help="Keep what is pushed in a folder, or in s3://BUCKET/PREFIX.")
@click.option(
    "--wrapping-key",
    multiple=True,
    metavar="KEY",
    help="Encrypt what is pushed for this key: a file of `stannary keys generate --algorithm wrapping`, or an address as --key. "
    "May be repeated: any one of the keys opens it.",
)
@click.option(
    "--namespace-keys",
    metavar="PLACE",
    help="Keep the keys of namespaces, wrapped by those, in a folder, or in s3://BUCKET/PREFIX.  [default: keys/namespaces in it]",
)
@click.option("--offline", is_flag=True, default=None, help="Open no socket: no key in a service, no database, no bucket.")
@common_options
@click.pass_context
def command(ctx: click.Context, /, folder: str, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Write a commented stannary.toml to DIR (default: here) and make a workspace beside it.

    The workspace (.stannary/) holds a signing key, the ledger and whom to trust. New keys are protected by a passphrase:
    STANNARY_PASSPHRASE, or asked for on a terminal. Where there is neither, one is made up and kept in your configuration folder,
    apart from the keys: a copy of the workspace does not sign as you.
    """
    force, no_workspace = given["force"], given["no_workspace"]
    talk = talk_of(ctx)
    path = Path(folder) / "stannary.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    has_workspace = (Path(folder) / FOLDER / "workspace.json").exists()
    said = [f"--{name.replace('_', '-')}" for name in _OF_THE_WORKSPACE if given[name]]
    if said and (no_workspace or has_workspace):
        state = "is there already, and stays as it is" if has_workspace else "was asked to be left out"
        msg = f"{state}: {', '.join(said)} would do nothing"
        raise UsageError(msg, where=str(Path(folder) / FOLDER), code="WSP003", help="say it when the workspace is made")
    if path.exists() and not force and (no_workspace or has_workspace):
        msg = "is there already"
        raise UsageError(msg, where=str(path), code="USE005", help="edit it, or replace it with --force")
    if not path.exists() or force:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(template())
        talk.note(f"wrote {inline(str(path))}; `stannary config show` shows what is in force")
    if not no_workspace and not has_workspace:
        _make_workspace(Path(folder), given, talk)
    return 0


def _make_workspace(folder: Path, given: dict[str, Any], talk: Talk) -> None:
    from stannary.evidence.workspace_keys import Elsewhere, name_key

    if given["database"] and is_offline():
        msg = "is a database, and no socket may be opened"
        raise UsageError(msg, where="--database", code="WSP005", help="leave out --offline, or keep the ledger in a file")
    if given["namespace_keys"] and not given["wrapping_key"]:
        msg = "keeps keys of namespaces, and without --wrapping-key there are none: nothing would be encrypted"
        raise UsageError(msg, where="--namespace-keys", code="WSP007", help="name a wrapping key too")
    named = {name: given[name] for name in ("key", "ledger_key") if given[name]}
    keys = {name: name_key(address, ask, offline=is_offline()) for name, address in named.items()}
    protected = not given["no_passphrase"] and len(keys) < len(("key", "ledger_key"))
    made_up, passphrase = _new_passphrase() if protected else (None, None)
    try:
        elsewhere = Elsewhere(keys.get("key"), keys.get("ledger_key"))
        said = _put_in_place(folder, given, elsewhere, passphrase, made_up.name if made_up else "")
    except BaseException:
        if made_up is not None:
            made_up.path.unlink(missing_ok=True)
        raise
    talk.note(f"made the workspace {inline(str(folder / FOLDER))}: {said}")
    if made_up is not None:
        talk.warning(
            f"nobody was there to choose a passphrase: the keys have one that is kept in {inline(str(made_up.path))}",
            "keep a copy of it apart from the workspace: without it the keys are lost. `stannary keys protect` sets another",
        )


def _put_in_place(folder: Path, given: dict[str, Any], elsewhere: Elsewhere, passphrase: bytes | None, unlock: str) -> str:
    """Make the workspace beside its place, and put it there whole; return what to say about it.

    One without its wrapping keys or its bucket would take what is pushed unencrypted, or to this disk: a place, key or
    database that cannot be used has to leave no workspace at all.
    """
    from stannary.evidence.workspace import Workspace

    beside = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-init-", dir=folder))
    try:
        made = Workspace.create(
            beside,
            passphrase=passphrase,
            unlock=unlock,
            elsewhere=elsewhere,
            origin=given["origin"] or _made_up_origin(folder),
            database=given["database"],
        )
        _begin_contents(made, given)
        with made.ledger(write=True) as ledger:
            where = f", in {inline(ledger.where)}" if given["database"] else ""
        said = f"ledger {made.settings.origin}{where}, signing key {made.signer.public.keyid[:16]}"
        try:
            made.root.rename(folder / FOLDER)
        except OSError as error:
            msg = f"there is something there that is no workspace, and is in the way: {error.strerror}"
            raise UsageError(msg, where=str(folder / FOLDER), code="WSP003", help="move it away, or name another DIR") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return said


def _begin_contents(made: Workspace, given: dict[str, Any]) -> None:
    if not given["contents"] and not given["wrapping_key"]:
        return
    from stannary.crypto.providers.opening import is_address
    from stannary.evidence.contents import NAMESPACE_KEYS, begin_contents

    place, keys_at = _place(given["contents"]), given["namespace_keys"]
    addresses = [item if is_address(item) else str(Path(item).resolve()) for item in given["wrapping_key"]]
    begin_contents(made, place, tuple(addresses), _place(keys_at) if keys_at else NAMESPACE_KEYS)


def _made_up_origin(folder: Path) -> str:
    return f"stannary.local/{folder.resolve().name or 'root'}-{secrets.token_hex(4)}"


def _place(text: str) -> str:
    return text if not text or text.startswith("s3://") else str(Path(text).resolve())


def _new_passphrase() -> tuple[MadeUp | None, bytes]:
    """Return the passphrase for new keys: from the environment, from a person, or made up, and then what keeps it."""
    from stannary.evidence.unlock import make_up

    if os.environ.get("STANNARY_PASSPHRASE") or (sys.stdin.isatty() and sys.stderr.isatty()):
        return None, choose("the workspace's keys")
    made_up = make_up()
    return made_up, made_up.passphrase


def template() -> str:
    """Return the file: each setting with its help, commented out, at its default."""
    lines = [
        "# stannary.toml: settings for everything below this folder.",
        "# Each is shown at its default; `stannary config show` says what is in force.",
    ]
    section = ""
    for key in KEYS.values():
        table, _, name = key.name.rpartition(".")
        if table != section:
            lines.extend(["", f"[{table}]"])
            section = table
        lines.extend(textwrap.wrap(key.help, 96, initial_indent="# ", subsequent_indent="# "))
        lines.append(f"# {name} = {toml(key.default)}")
    return "\n".join(lines) + "\n" + _WAIVER
