"""`stannary keys`: make keys, show public halves, protect key files."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.cli.passphrase import ask, choose
from stannary.core.errors import StannaryError, UsageError

if TYPE_CHECKING:
    from stannary.crypto.interface import Algorithm
    from stannary.crypto.keys import PrivateKey

__all__ = ["KeyReport", "Keys", "generate", "group", "list_keys", "protect", "public"]

_ALGORITHMS: dict[str, Algorithm] = {
    "p256": "ecdsa-p256-sha256",
    "p384": "ecdsa-p384-sha384",
    "p521": "ecdsa-p521-sha512",
    "ed25519": "ed25519",
}
_WRAPPING = "wrapping"
_KEYRING = "keyring:"
_FORMAT = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.")

# name → (module:attribute, what it does)
_TABLE = {
    "generate": ("stannary.cli.keys:generate", "Make a key."),
    "public": ("stannary.cli.keys:public", "Print the public half of a key."),
    "protect": ("stannary.cli.keys:protect", "Give a key file a new passphrase."),
    "tls": ("stannary.cli.keys_tls:command", "Make certificates for a server and its clients."),
    "list": ("stannary.cli.keys:list_keys", "List the keys in a folder, or in the workspace."),
}


class KeyReport(msgspec.Struct, frozen=True, kw_only=True):
    """A key: `protected` is None for a public one, and for one that is not a file."""

    path: str
    algorithm: str
    keyid: str
    protected: bool | None


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints."""

    schema: str = "stannary.keys/1"
    keys: tuple[KeyReport, ...]


@click.group("keys", cls=LazyGroup, table=_TABLE)
@common_options
def group() -> None:
    """Make keys, show public halves, protect key files."""


@click.command("generate")
@click.argument("path", metavar="FILE")
@click.option("--algorithm", type=click.Choice([*_ALGORITHMS, _WRAPPING]), default="p256", help="The kind of key.  [default: p256]")
@click.option("--no-passphrase", is_flag=True, help="Write the key unprotected: whoever reads the file can use it.")
@_FORMAT
@common_options
@click.pass_context
def generate(ctx: click.Context, /, path: str, algorithm: str, no_passphrase: bool, form: str) -> int:
    """Make a key: FILE, which only you can read, and its public half beside it, as FILE with the ending .pub.

    keyring:NAME instead of FILE keeps it in the keyring of the operating system (`stannary keys public keyring:NAME`
    prints the public half). The passphrase is asked for at a terminal, or taken from STANNARY_PASSPHRASE. A key of
    the kind `wrapping` signs nothing: it encrypts the keys of an encrypted store, and has no public half.
    """
    from stannary.crypto import keys

    if algorithm == _WRAPPING:
        return _generate_wrapping(path, form, passphrase=None if no_passphrase else choose(path))
    if path.startswith(_KEYRING):
        return _generate_in_keyring(path, algorithm, form, passphrase=None if no_passphrase else choose(path))
    public_path = Path(path).with_suffix(".pub")
    for item in (Path(path), public_path):
        if os.path.lexists(item):
            msg = "is there already; a key is never overwritten"
            raise UsageError(msg, where=str(item), code="KEY005", help="name another file, or move this one away")
    passphrase = None if no_passphrase else choose(path)
    key = keys.generate(_ALGORITHMS[algorithm])
    key.write(Path(path), passphrase)
    public_path.write_bytes(key.public.pem())
    talk_of(ctx).note(f"whoever verifies needs {public_path}; nobody but you needs {path}")
    report = KeyReport(path=path, algorithm=key.public.algorithm, keyid=key.public.keyid, protected=passphrase is not None)
    _print((report,), form)
    return 0


@click.command("public")
@click.argument("key", metavar="KEY")
@click.option("-o", "--output", metavar="FILE", help="Write it to FILE.")
@_FORMAT
@common_options
def public(key: str, output: str | None, form: str) -> int:
    """Print the public half of a key, in PEM.

    KEY is a file, or env:NAME, keyring:NAME, pkcs11:..., awskms:///ID, vault:MOUNT/KEY.
    """
    from stannary.crypto.keys import PublicKey
    from stannary.crypto.providers.opening import open_signer

    found = PublicKey.of_der(open_signer(key, ask).public.spki)
    if output:
        Path(output).write_bytes(found.pem())
    if form == "json":
        _print((KeyReport(path=key, algorithm=found.algorithm, keyid=found.keyid, protected=None),), form)
    elif not output:
        click.echo(found.pem().decode(), nl=False)
    return 0


@click.command("protect")
@click.argument("path", metavar="FILE")
@click.option("--no-passphrase", is_flag=True, help="Take the passphrase away: whoever reads the file can sign.")
@click.option("--new-passphrase-env", metavar="NAME", help="Read the new passphrase from this variable.")
@_FORMAT
@common_options
def protect(path: str, no_passphrase: bool, new_passphrase_env: str | None, form: str) -> int:
    """Give a key file a new passphrase. The old one is asked for, or taken from STANNARY_PASSPHRASE or where `init` keeps it."""
    from stannary.crypto.keys import PrivateKey
    from stannary.crypto.providers.file import open_signer, open_wrapper
    from stannary.crypto.wrapping import WrappingKey

    wraps = Path(path).is_file() and b"WRAPPING KEY" in Path(path).read_bytes()[: 1 << 16]
    key = open_wrapper(path, ask) if wraps else _of_workspace(path) or open_signer(path, ask)
    assert isinstance(key, PrivateKey | WrappingKey)  # noqa: S101 - a file holds nothing else
    passphrase = None if no_passphrase else _new_passphrase(path, new_passphrase_env)
    target = Path(path)
    descriptor, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    Path(scratch).unlink()  # `write` makes files only, and only for the owner
    key.write(Path(scratch), passphrase)
    Path(scratch).replace(target)
    algorithm, keyid = (_WRAPPING, key.key_id) if isinstance(key, WrappingKey) else (key.public.algorithm, key.public.keyid)
    _print((KeyReport(path=path, algorithm=algorithm, keyid=keyid, protected=passphrase is not None),), form)
    return 0


def _of_workspace(path: str) -> PrivateKey | None:
    """Return the key when its passphrase was made up by `stannary init`: nobody could type that."""
    from stannary.evidence.workspace import Workspace

    root = Path(path).resolve().parent.parent
    if not (root / "workspace.json").is_file():
        return None
    workspace = Workspace(root, passphrase=lambda: ask(path))
    return workspace.read_key(Path(path)) if workspace.settings.unlock else None


@click.command("list")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False))
@click.option("--workspace", metavar="DIR", help="The workspace whose keys are listed.  [default: found upward]")
@_FORMAT
@common_options
@click.pass_context
def list_keys(ctx: click.Context, /, folder: str | None, workspace: str | None, form: str) -> int:
    """List the keys in a folder, or in the workspace. Nothing is decrypted: a protected key is named by its public half."""
    if folder is None:
        from stannary.evidence.workspace import Workspace

        folder = str(Workspace.find(workspace).root / "keys")
    found: list[KeyReport] = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix.lower() in {".pem", ".pub", ".key"} and path.is_file():
            try:
                found.append(_of_file(path))
            except StannaryError as error:
                talk_of(ctx).detail(f"left out: {error}")
    _print(tuple(found), form)
    return 0


def _generate_in_keyring(name: str, algorithm: str, form: str, *, passphrase: bytes | None) -> int:
    from stannary.crypto import keys
    from stannary.crypto.providers.keyring import store

    key = keys.generate(_ALGORITHMS[algorithm])
    store(name.removeprefix(_KEYRING), key, passphrase)
    report = KeyReport(path=name, algorithm=key.public.algorithm, keyid=key.public.keyid, protected=passphrase is not None)
    _print((report,), form)
    return 0


def _generate_wrapping(path: str, form: str, *, passphrase: bytes | None) -> int:
    from stannary.crypto.providers.keyring import store
    from stannary.crypto.wrapping import WrappingKey

    key = WrappingKey.generate()
    if path.startswith(_KEYRING):
        store(path.removeprefix(_KEYRING), key, passphrase)
    else:
        key.write(Path(path), passphrase)
    _print((KeyReport(path=path, algorithm=_WRAPPING, keyid=key.key_id, protected=passphrase is not None),), form)
    return 0


def _of_file(path: Path) -> KeyReport:
    from stannary.crypto.keys import read_private, read_public
    from stannary.crypto.wrapping import read_wrapping

    content = path.read_bytes()[: 1 << 16]
    if b"WRAPPING KEY" in content:
        protected = b"ENCRYPTED" in content
        return KeyReport(
            path=str(path), algorithm=_WRAPPING, keyid="" if protected else read_wrapping(path).key_id, protected=protected
        )
    if b"PRIVATE KEY" not in content:
        key = read_public(path)
        return KeyReport(path=str(path), algorithm=key.algorithm, keyid=key.keyid, protected=None)
    if b"ENCRYPTED" in content:
        half = path.with_suffix(".pub")
        known = read_public(half) if half.is_file() else None
        return KeyReport(
            path=str(path), algorithm=known.algorithm if known else "", keyid=known.keyid if known else "", protected=True
        )
    private = read_private(path)
    return KeyReport(path=str(path), algorithm=private.public.algorithm, keyid=private.public.keyid, protected=False)


def _new_passphrase(path: str, variable: str | None) -> bytes:
    if variable is not None:
        text = os.environ.get(variable)
        if not text:
            msg = "is not set"
            raise UsageError(msg, where=variable, code="KEY003", help="put the new passphrase there")
        return text.encode()
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        msg = "there is nobody to ask for the new passphrase"
        raise UsageError(msg, where=path, code="KEY003", help="name a variable that holds it with --new-passphrase-env")
    answer: str = click.prompt(f"new passphrase of {path}", hide_input=True, confirmation_prompt=True, err=True)
    return answer.encode()


def _print(keys: tuple[KeyReport, ...], form: str) -> None:
    if form == "json":
        from stannary.report.json_ import dump

        click.echo(dump(Keys(keys=keys)), nl=False)
        return
    from stannary.report.escape import visible

    words = {None: "public", True: "protected", False: "not protected"}
    for key in keys:
        click.echo(f"{key.keyid[:16] or '?':<16}  {key.algorithm or '?':<18} {words[key.protected]:<14} {visible(key.path)}")
