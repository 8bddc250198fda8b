"""`stannary attest TARGET --kind KIND`: a signed statement by a person or a pipeline."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from stannary.cli.group import common_options, talk_of
from stannary.cli.signing_key import open_key
from stannary.cli.workspace import format_option, open_workspace, subject_at, workspace_option, write_json
from stannary.core.clock import system_clock
from stannary.core.errors import InputError, UsageError, named_by_caller
from stannary.core.evidence import Resource
from stannary.core.model import SEVERITIES, Json
from stannary.core.strict_json import strict_json
from stannary.crypto import dsse
from stannary.crypto.interface import Signer
from stannary.evidence.predicates.ours import EDGES
from stannary.evidence.predicates.table import KINDS
from stannary.evidence.workspace import Workspace
from stannary.policy.model import duration
from stannary.report.documents import RecordedDocument
from stannary.report.escape import inline

__all__ = ["approval_of", "command"]

_LARGEST = 64 << 20
# Kind → what the options say, by the name of the field; the first ones have to be there.
_FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "statement": (("topic", "statement"), ("author", "decision")),
    "waiver": (("rule", "reason", "owner", "expires"), ("file",)),
    "revocation": (("reason", "owner"), ("lifted",)),
    "incident": (("id", "title", "severity", "state"), ("detail",)),
    "response-action": (("incident", "action", "outcome", "actor"), ("detail",)),
    "lineage": (("edge",), ()),
}


@click.command("attest")
@click.argument("target")
@click.option("--kind", metavar="KIND", default="statement", show_default=True, help="`stannary evidence kinds` lists them.")
@click.option("--predicate", metavar="FILE", help="The predicate as JSON (- for stdin), instead of the options below.")
@click.option("--key", metavar="KEY", help="Sign with this key (as `stannary sign` takes it), not with the workspace's.")
@click.option("-o", "--output", metavar="FILE", help="Write the signed envelope to FILE, for another's --bundle; log nothing.")
@click.option("--bundle", metavar="FILE", help="A DSSE envelope that somebody else signed: verify it and log it as it is.")
@click.option("--expires", metavar="TIME", help="When it ends: 30d, 12h, or a date.")
@click.option("--topic", help="statement: what about (approval, review, impact-assessment, ...).")
@click.option("--statement", help="statement: what is stated.")
@click.option("--decision", type=click.Choice(["approve", "reject"]), help="statement: for or against.")
@click.option("--author", help="statement: who states it.  [default: the signing key's identity]")
@click.option("--rule", help="waiver: the rule of a scan, or the requirement of a policy.")
@click.option("--file", help="waiver: only in this file of the artifact.")
@click.option("--reason", help="waiver, revocation: why.")
@click.option("--owner", help="waiver, revocation: who answers for it.")
@click.option("--lifted", is_flag=True, default=None, help="revocation: take an earlier one back.")
@click.option("--edge", multiple=True, metavar="RELATION=TARGET", help=f"lineage: {', '.join(EDGES)}; repeatable.")
@click.option("--id", help="incident: its id.")
@click.option("--title", help="incident: what it is.")
@click.option("--severity", type=click.Choice(SEVERITIES), help="incident: how bad it is.")
@click.option("--state", type=click.Choice(["open", "contained", "closed"]), help="incident: its state.")
@click.option("--incident", help="response-action: the id of the incident.")
@click.option("--action", help="response-action: what was done.")
@click.option("--outcome", type=click.Choice(["passed", "failed", "incomplete", "error"]), help="response-action: how it went.")
@click.option("--actor", help="response-action: who or what did it.")
@click.option("--detail", help="incident, response-action: more of it.")
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """State something about TARGET (a path, sha256:…, or registry:NAME@ALIAS): signed, and logged in the workspace.

    \b
    stannary attest model/ --topic approval --decision approve --statement "tested on the Q3 set" --expires 90d
    stannary attest model/ --kind waiver --rule PKL050 --reason "our own class" --owner ml@example.com --expires 60d
    stannary attest model/ --kind lineage --edge fine-tuned-from=base/ --edge trained-from=data.parquet
    stannary attest model/ --topic approval --decision approve --statement "seen" --key ann.pem -o approval.dsse.json
    stannary attest model/ --bundle approval.dsse.json
    """  # noqa: D301 - \b is click's
    from stannary.evidence.chain import Chain

    kind = given["kind"]
    if kind not in KINDS:
        import difflib

        near = difflib.get_close_matches(kind, KINDS, 1)
        hint = f"did you mean {near[0]}?" if near else "`stannary evidence kinds` lists them"
        msg = f"there is no kind of evidence {kind!r}"
        raise UsageError(msg, where="--kind", code="EVD009", help=hint)
    subject = given["subject"] = subject_at(given["target"], given["workspace"])
    if given["output"]:
        _write(subject, kind, given)
        talk_of(ctx).note(f"wrote {inline(given['output'])}; whoever keeps the ledger logs it: attest TARGET --bundle")
        return 0
    workspace = open_workspace(given["workspace"])
    chain = Chain(workspace, write=True)
    if given["bundle"]:
        _alone(given, "bundle", "key", "predicate", "expires")
        recorded = _logged_bundle(chain, given["bundle"], subject)
    else:
        signer = _signer(given)
        with _callers("EVD002"):
            recorded = chain.state(subject, kind, _predicate(kind, given, workspace.clock(), _name(signer, workspace)), signer)
    if given["form"] == "json":
        write_json(RecordedDocument(id=str(recorded.id), subject=str(recorded.subject), index=recorded.receipt.index))
    else:
        click.echo(str(recorded.id))
    talk_of(ctx).note(f"recorded {kind} about {inline(given['target'])} as entry {recorded.receipt.index}")
    return 0


def approval_of(subject: Resource, given: dict[str, Any], signer: Signer) -> dsse.Envelope:
    """Return a signed approval, or rejection, of a subject; `given` has `statement`, `decision` and `expires`."""
    from stannary.evidence.chain import signed_statement

    fields = dict.fromkeys(("author", "predicate", "edge")) | {"topic": "approval"} | given
    others = {name: fields.get(name) for row in _FIELDS.values() for part in row for name in part}
    with _callers("EVD002"):
        predicate = _predicate("statement", {**others, **fields}, system_clock(), _name(signer, None))
    return signed_statement(subject, "statement", predicate, signer)


def _signer(given: dict[str, Any]) -> Signer:
    """Return the key that is named, or the workspace's."""
    if given["key"]:
        return open_key(given["key"])
    return open_workspace(given["workspace"]).signer


def _name(signer: Signer, workspace: Workspace | None) -> str:
    """Return who the signer is to the workspace, or the beginning of the key's id."""
    key = signer.public.keyid
    known = workspace.trust.keys if workspace else ()
    return next((row.identity for row in known if row.keyid == key), key[:16])


def _write(subject: Resource, kind: str, given: dict[str, Any]) -> None:
    """Sign the statement into a file; with a key of one's own it needs no workspace."""
    from stannary.evidence.chain import signed_statement

    if given["bundle"]:
        msg = "is signed already"
        raise UsageError(msg, where="--bundle", code="EVD010", help="leave --output out to log it")
    signer = _signer(given)
    workspace = None if given["key"] else open_workspace(given["workspace"])
    with _callers("EVD002"):
        envelope = signed_statement(subject, kind, _predicate(kind, given, system_clock(), _name(signer, workspace)), signer)
    Path(given["output"]).write_bytes(dsse.encode(envelope) + b"\n")


def _alone(given: dict[str, Any], whole: str, *more: str) -> None:
    """Refuse what would not be looked at beside --bundle or --predicate: an expiry that is not in the envelope ends nothing."""
    others = ({name for fields in _FIELDS.values() for part in fields for name in part} - {"expires"}) | set(more)
    problems = [
        UsageError(f"changes nothing of what --{whole} says", where=f"--{name}", code="EVD010", help="leave one of them out")
        for name in sorted(others)
        if given.get(name)
    ]
    if problems:
        msg = "attest"
        raise ExceptionGroup(msg, problems)


def _logged_bundle(chain: Any, file: str, subject: Any) -> Any:  # noqa: ANN401 - Chain, Resource, Recorded; imported on use
    from stannary.evidence.statement import subject_of_resource

    with named_by_caller():  # a file that is no envelope
        envelope = dsse.decode(_read(file), file)
    return chain.log([envelope], subject=subject_of_resource(subject))[0]


@contextlib.contextmanager
def _callers(code: str) -> Iterator[None]:
    """Say that a predicate that is none is the caller's fault: nothing here could have been analysed and was not."""
    try:
        yield
    except InputError as error:
        if error.code != code:
            raise
        raise UsageError(error.message, where=error.where, code=error.code, help=error.help) from error


def _predicate(kind: str, given: dict[str, Any], now: datetime, author: str) -> dict[str, Json]:
    expires = _time(given["expires"], now) if given["expires"] else None
    if given["predicate"]:
        _alone(given, "predicate")
        with _callers("EVD001"):
            built = _json(given["predicate"])
    elif kind in _FIELDS:
        built = _from_options(kind, given, author)
    else:
        msg = f"a predicate of kind {kind} is given as JSON"
        raise UsageError(msg, where="--predicate", code="EVD010", help=f"stannary schema {kind}")
    if KINDS[kind].is_ours:
        built.setdefault("finishedOn", now.isoformat())
        if expires is not None:
            built["expiresOn"] = expires.isoformat()
    elif expires is not None:
        msg = f"a predicate of kind {kind} has no expiry of its own"
        raise UsageError(msg, where="--expires", code="EVD010", help="the policy's `max_age` ends it")
    return built


def _from_options(kind: str, given: dict[str, Any], author: str) -> dict[str, Json]:
    needed, optional = _FIELDS[kind]
    missing = [f"--{name}" for name in needed if not given[name]]
    others = {name for fields in _FIELDS.values() for name in (*fields[0], *fields[1])} - {*needed, *optional, "expires"}
    foreign = [f"--{name}" for name in sorted(others) if given[name]]
    problems = [UsageError(f"{kind} needs {name}", code="EVD010", help="stannary attest --help") for name in missing]
    problems += [
        UsageError(f"{name} says nothing about a {kind}", code="EVD010", help="stannary attest --help") for name in foreign
    ]
    if problems:
        msg = "attest"
        raise ExceptionGroup(msg, problems)
    built: dict[str, Json] = {name: given[name] for name in (*needed, *optional) if given[name] and name not in ("expires", "edge")}
    if kind == "statement" and "author" not in built:
        built["author"] = author
    if kind == "lineage":
        built["edges"] = [_edge(text, given["subject"]) for text in given["edge"]]
    return built


def _edge(text: str, made: Resource) -> dict[str, Json]:
    relation, equals, target = text.partition("=")
    if relation not in EDGES or not equals or not target:
        msg = f"is RELATION=TARGET with one of {', '.join(EDGES)}; got {text[:80]!r}"
        raise UsageError(msg, where="--edge", code="EVD010")
    resource = subject_at(target)
    if resource.digest == made.digest:
        msg = f"leads from the TARGET to itself: {text[:80]}"
        raise UsageError(msg, where="--edge", code="EVD010", help="name what it was made from")
    found: dict[str, Json] = {"relation": relation, "resource": msgspec.to_builtins(resource)}
    return found


def _time(text: str, now: datetime) -> datetime:
    """Return the end that `30d` or a date means; it has to lie ahead."""
    try:
        end = now + duration(text) if text[-1:].isalpha() and text[:-1].isdigit() else datetime.fromisoformat(text)
    except (ValueError, KeyError, OverflowError):
        msg = f"is a time such as 30d or 12h, or a date such as 2027-06-30; got {text[:40]!r}"
        raise UsageError(msg, where="--expires", code="EVD010") from None
    end = end.replace(tzinfo=now.tzinfo) if end.tzinfo is None else end
    if end <= now:
        msg = f"has passed already: {end:%Y-%m-%d %H:%M}"
        raise UsageError(msg, where="--expires", code="EVD010")
    return end


def _json(file: str) -> dict[str, Json]:
    try:
        found = strict_json(_read(file))
    except (ValueError, RecursionError) as error:
        msg = f"is not JSON: {error}"
        raise InputError(msg, where=file, code="EVD002") from error
    if not isinstance(found, dict):
        msg = "is not a JSON object"
        raise InputError(msg, where=file, code="EVD002")
    return found


def _read(file: str) -> bytes:
    if file == "-":
        content = sys.stdin.buffer.read(_LARGEST + 1)
    else:
        with Path(file).open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        msg = f"is larger than {_LARGEST:,} bytes"
        raise InputError(msg, where=file, code="EVD001")
    return content
