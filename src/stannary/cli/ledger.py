"""`stannary ledger`: the log's head, proofs from it, and what holds it to its word."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stannary.cli.group import LazyGroup, common_options, talk_of
from stannary.core.errors import StannaryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stannary.cli.talk import Talk
    from stannary.crypto.note import Checkpoint, VerifierKey
    from stannary.evidence.ledger import Ledger
    from stannary.evidence.ledger.log_keys import LogKeys
    from stannary.evidence.workspace import Workspace

__all__ = ["Audit", "Deviation", "Head", "Proof", "command", "open_ledger", "show", "workspace_option"]


class Head(msgspec.Struct, frozen=True):
    """The head of a log: `key` is its verifier key, `root` hex, `note` the signed checkpoint; `since` what it was held against."""

    schema: str
    origin: str
    size: int
    root: str
    key: str
    note: str
    since: int | None = None
    witnesses: tuple[str, ...] = ()


class Proof(msgspec.Struct, frozen=True):
    """An entry and what shows that it is in the log: `record` is text, hashes are hex, `checkpoint` is a signed note."""

    schema: str
    index: int
    leaf: str
    size: int
    root: str
    proof: tuple[str, ...]
    checkpoint: str
    record: str


class Deviation(msgspec.Struct, frozen=True):
    """Something that is not as the signed head says."""

    code: str
    message: str
    index: int | None = None


class Audit(msgspec.Struct, frozen=True):
    """What an audit read, and every deviation."""

    schema: str
    origin: str
    size: int
    root: str
    entries: int
    nodes: int
    deviations: tuple[Deviation, ...]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `verify`."""

    workspace: str | None
    since: str | None
    proof: str | None
    record: str | None
    log: str | None
    keys: str | None
    witnesses: tuple[str, ...]
    quorum: int | None
    form: str


_TABLE = {
    "head": ("stannary.cli.ledger:head_", "Print the signed head."),
    "prove": ("stannary.cli.ledger:prove_", "Write the proof that an entry is in the log."),
    "verify": ("stannary.cli.ledger:verify_", "Hold the log, or a proof from it, against what was signed."),
    "audit": ("stannary.cli.ledger:audit_", "Hash everything again and report every deviation."),
    "export": ("stannary.cli.ledger:export_", "Write the log as static files for any tlog-tiles reader."),
    "keys": ("stannary.cli.ledger_keys:keys_", "Show the keys of the log, or follow it to a new one."),
    "rotate": ("stannary.cli.ledger_keys:rotate_", "Hand the log over to a new key."),
    "move": ("stannary.cli.ledger_move:command", "Take the ledger into a database, or back."),
    "witness": ("stannary.cli.ledger_witness:command", "Have heads cosigned, and cosign those of others."),
}


def workspace_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --workspace."""
    return click.option("--workspace", metavar="DIR", default=None, help="Use this workspace instead of the one found upward.")(
        function
    )


_format_option = click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.")


def open_ledger(workspace: Workspace, *, write: bool = False, accept: bool = False) -> Ledger:
    """Open the ledger of a workspace; for reading no private key is touched."""
    from stannary.evidence.ledger import Ledger

    if not accept:
        return workspace.ledger(write=write)
    address, origin, head = workspace.ledger_address, workspace.settings.origin, workspace.head_path
    return Ledger.open(address, None, origin=origin, verifier=workspace.log_keys, head=head, accept=True)


def show(value: msgspec.Struct, form: str, rows: dict[str, object]) -> None:
    """Print a struct as JSON, or rows as a table."""
    from stannary.report.escape import visible
    from stannary.report.json_ import dump

    if form == "json":
        click.echo(dump(value), nl=False)
        return
    width = max(map(len, rows))
    for name, text in rows.items():
        click.echo(f"{name:<{width}}  {visible(str(text))}")


@click.group("ledger", cls=LazyGroup, table=_TABLE)
@common_options
def command() -> None:
    """Prove what is in the ledger, and that nothing of it was changed."""


@click.command("head")
@workspace_option
@click.option("--format", "form", type=click.Choice(["table", "json", "checkpoint"]), default="table", help="How to print.")
@click.option("--accept", is_flag=True, help="Remember this head when the file that remembers one is lost. Verify it first.")
@common_options
def head_(workspace: str | None, form: str, accept: bool) -> int:
    """Print the signed head: keep it elsewhere, and `verify --since` it later."""
    from stannary.evidence.workspace import Workspace

    found = Workspace.find(workspace)
    with open_ledger(found, accept=accept) as ledger:
        if form == "checkpoint":
            click.echo(ledger.head_note(), nl=False)
        else:
            _show_head(ledger, form, ledger.head())
    return 0


@click.command("prove")
@click.argument("what", metavar="INDEX|ID")
@workspace_option
@click.option("--format", "form", type=click.Choice(["proof", "json"]), default="proof", help="A .tlog-proof file, or JSON.")
@click.option("-o", "--output", metavar="FILE", default=None, help="Write it to a file.")
@click.option("--record", metavar="FILE", default=None, help="Write the entry itself, as it was logged, to a file.")
@click.option("--size", type=click.IntRange(1), default=None, help="Prove it under the cosigned checkpoint of so many entries.")
@common_options
def prove_(what: str, workspace: str | None, form: str, output: str | None, record: str | None, size: int | None) -> int:
    """Write the proof that an entry (its index, or the id of what it holds) is in the log.

    With the entry (--record) and the log's key it is verified offline: `stannary ledger verify --proof`.
    """
    from stannary.cli.output import write_file
    from stannary.crypto.proof_file import encode_proof
    from stannary.evidence.workspace import Workspace
    from stannary.report.json_ import dump

    with open_ledger(Workspace.find(workspace)) as ledger:
        index = _index(ledger, what)
        receipt = ledger.prove(index, size)
        content = ledger.read(index).record
    if form == "json":
        text = dump(Proof(schema="stannary.ledger-proof/1", **msgspec.structs.asdict(receipt), record=content.decode()))
    else:
        text = encode_proof(receipt.index, [bytes.fromhex(item) for item in receipt.proof], receipt.checkpoint)
    if record:
        write_file(record, content.decode())
    if output:
        write_file(output, text)
    else:
        click.echo(text, nl=False)
    return 0


@click.command("verify")
@workspace_option
@click.option("--since", metavar="FILE", default=None, help="A checkpoint of this log that was kept elsewhere.")
@click.option(
    "--proof", metavar="FILE", default=None, help="A proof to verify offline; needs --record, and --log outside a workspace."
)
@click.option("--record", metavar="FILE", default=None, help="The entry that the proof is of.")
@click.option("--log", metavar="KEY", default=None, help="The verifier key of the log, or a file with it.")
@click.option(
    "--keys",
    metavar="FILE",
    default=None,
    help="The keys of a log that was handed over: what `ledger keys --format json` writes.",
)
@click.option(
    "--witness", "witnesses", metavar="KEY", multiple=True, help="The verifier key of a witness, or a file of them; repeatable."
)
@click.option(
    "--quorum", type=click.IntRange(1), default=None, help="How many of the witnesses have to have signed (default: all)."
)
@_format_option
@common_options
@click.pass_context
def verify_(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Verify the head (its signature, the stored tree, the head remembered) and what else is given.

    With --proof and --record: a proof, offline, without the ledger. Exit code 1 when anything does not hold.

    A ledger that was put back to an earlier time together with the file that remembers its head shows only to somebody outside:
    to who kept a checkpoint (--since), or to a witness. A warning says so where there is neither.
    """
    from stannary.evidence.ledger.witness import read_keys
    from stannary.evidence.workspace import Workspace

    asked = _Asked(**given)
    cosigners = read_keys(asked.witnesses)
    _fits(asked)
    if any(given is not None for given in (asked.proof, asked.record, asked.log, asked.keys)):
        return _verify_offline(asked, cosigners)
    with open_ledger(Workspace.find(asked.workspace)) as ledger:
        old = None if asked.since is None else _text(asked.since)
        with _about(asked.since):
            head = ledger.head() if old is None else ledger.verify_since(old)
        if cosigners:
            head = _require(ledger.cosigned() or ledger.head_note(), ledger.keys, cosigners, asked.quorum)
        elif old is None:
            _say_who_watches(talk_of(ctx), ledger, head)
        names = tuple(key.name for key in cosigners)
        _show_head(ledger, asked.form, head, since=None if old is None else _size_of(old), witnesses=names)
    return 0


def _say_who_watches(talk: Talk, ledger: Ledger, head: Checkpoint) -> None:
    from stannary.cli.ledger_watch import HELP, UNWATCHED, watched

    seen = watched(ledger)
    if seen is None:
        talk.warning(UNWATCHED, HELP)
    else:
        talk.note(f"{', '.join(seen.names)} cosigned {seen.size:,} of {head.size:,} entries; --witness KEY verifies that")


@click.command("audit")
@workspace_option
@_format_option
@click.option(
    "--deep", is_flag=True, help="Have the database look for every row in every index as well: takes longer than all else."
)
@common_options
@click.pass_context
def audit_(ctx: click.Context, workspace: str | None, form: str, deep: bool) -> int:
    """Hash every entry and node again, and compare every column with its record.

    Every deviation is reported, not only the first. Exit code 1 when there is one.
    """
    from stannary.evidence.ledger import audit_file
    from stannary.evidence.workspace import Workspace

    place = Workspace.find(workspace)
    report = audit_file(place.ledger_address, place.log_keys, place.head_path, deep=deep)
    found = tuple(Deviation(item.code, item.message, item.index) for item in report.deviations)
    rows: dict[str, object] = {"origin": report.origin, "entries": f"{report.entries:,} of {report.size:,}", "root": report.root}
    shown = Audit("stannary.ledger-audit/1", report.origin, report.size, report.root, report.entries, report.nodes, found)
    show(shown, form, rows)
    if form == "table":
        for item in found:
            click.echo(f"{item.code}  {item.message}")
    told = f"{len(found)} deviation{'s' if len(found) > 1 else ''} from what was signed"
    talk_of(ctx).verdict(told if found else "the ledger is what was signed")
    return 1 if found else 0


@click.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@workspace_option
@common_options
@click.pass_context
def export_(ctx: click.Context, folder: str, workspace: str | None) -> int:
    """Write the log as static files (C2SP tlog-tiles, with entry bundles), or bring an export up to date."""
    from stannary.evidence.workspace import Workspace

    with open_ledger(Workspace.find(workspace)) as ledger:
        head = ledger.export_tiles(folder)
    talk_of(ctx).note(f"{head.size:,} entries of {head.origin} are in {folder}")
    return 0


def _show_head(ledger: Ledger, form: str, head: Checkpoint, since: int | None = None, witnesses: tuple[str, ...] = ()) -> None:
    shown = Head(
        "stannary.ledger-head/1", head.origin, head.size, head.root.hex(), str(ledger.key), ledger.head_note(), since, witnesses
    )
    rows: dict[str, object] = {"origin": shown.origin, "entries": f"{shown.size:,}", "root": shown.root, "key": shown.key}
    if since is not None:
        rows["since"] = f"continues the checkpoint of {since:,} entries"
    if witnesses:
        rows["witnesses"] = ", ".join(witnesses)
    show(shown, form, rows)


def _index(ledger: Ledger, what: str) -> int:
    if what.isascii() and what.isdigit():
        return int(what)
    found = ledger.find(id=what if what.startswith("sha256:") else f"sha256:{what}")
    if not found:
        msg = "there is no entry of this index or id"
        raise UsageError(msg, where=what[:80], code="LED018", help="`stannary evidence list` shows what there is")
    return found[0].index


def _fits(asked: _Asked) -> None:
    """Refuse what would not be looked at: who says it takes it for verified. Raises UsageError."""
    if asked.quorum is not None and not asked.witnesses:
        msg = "says how many witnesses have to have signed, and none is named"
        raise UsageError(msg, where="--quorum", code="USE012", help="--witness KEY names one; repeatable")
    if asked.since is not None and (asked.proof is not None or asked.record is not None):
        msg = "a proof is verified without the ledger, and an older head with it"
        raise UsageError(msg, where="--since", code="USE012", help="verify them one after the other")


def _verify_offline(asked: _Asked, cosigners: list[VerifierKey]) -> int:
    from stannary.evidence.ledger import Receipt, verify
    from stannary.evidence.ledger.log_keys import LogKeys, read_handovers
    from stannary.evidence.ledger.witness import read_key
    from stannary.evidence.workspace import Workspace

    if asked.proof is None or asked.record is None:
        msg = "a proof is verified with --proof FILE and --record FILE"
        raise UsageError(msg, code="USE012", help="`stannary ledger prove ID -o FILE --record FILE` writes both")
    keys = LogKeys(read_key(asked.log)) if asked.log is not None else Workspace.find(asked.workspace).log_keys
    if asked.keys is not None:
        with _about(asked.keys):
            keys = LogKeys.following(keys.current, read_handovers(asked.keys))
    content = _bytes(asked.record)
    with _about(asked.proof):
        receipt = Receipt.of_proof(_text(asked.proof), content)
        head = verify(content, receipt, keys)
    if cosigners:
        _require(receipt.checkpoint, keys, cosigners, asked.quorum)
    names = tuple(item.name for item in cosigners)
    shown = Head(
        "stannary.ledger-head/1", head.origin, head.size, head.root.hex(), str(keys.current), receipt.checkpoint, None, names
    )
    rows: dict[str, object] = {"origin": head.origin, "entry": f"{receipt.index} of {head.size:,}", "root": shown.root}
    show(shown, asked.form, rows | ({"witnesses": ", ".join(names)} if names else {}))
    return 0


def _require(note: str, log: LogKeys, cosigners: list[VerifierKey], quorum: int | None) -> Checkpoint:
    from stannary.core.clock import system_clock
    from stannary.evidence.ledger.witness import Quorum

    return Quorum(tuple(cosigners), quorum or len(cosigners)).require(note, log, system_clock())


@contextlib.contextmanager
def _about(path: str | None) -> Iterator[None]:
    """Say which file it was that did not hold."""
    try:
        yield
    except StannaryError as error:
        error.where = error.where or path
        raise


def _size_of(note: str) -> int:
    from stannary.crypto.note import Checkpoint, parse_note

    return Checkpoint.parse(parse_note(note).text).size


def _text(path: str) -> str:
    return _bytes(path).decode("utf-8", "replace")


def _bytes(path: str) -> bytes:
    from stannary.evidence.ledger.entry import LARGEST_RECORD

    with Path(path).open("rb") as file:
        return file.read(LARGEST_RECORD + 1)
