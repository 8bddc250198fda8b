"""`--server`: what `stannary registry` does with a registry that a server keeps, over its API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stannary.cli import exits
from stannary.cli.workspace import write_json
from stannary.core.errors import BackendError, UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.cli.talk import Talk
    from stannary.registry.client import Client
    from stannary.registry.compare import Difference
    from stannary.registry.names import Name, Reference

__all__ = [
    "approve_there",
    "client_of",
    "diff_there",
    "list_there",
    "policy_there",
    "quarantine_there",
    "server_option",
    "show_there",
    "tell_there",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def server_option(command: _Function) -> _Function:
    """Add `--server URL`."""
    return click.option(
        "--server",
        metavar="URL",
        envvar="STANNARY_SERVER",
        help="Ask this server, with the token in STANNARY_TOKEN or of `access login`, not a workspace.",
    )(command)


def client_of(server: str | None, workspace: str | None) -> Client | None:
    """Return the server that was named, or None for a workspace. Raises UsageError when both are."""
    if not server:
        return None
    if workspace:
        msg = "a server and a workspace are named, and only one can be asked"
        raise UsageError(msg, where="--server", code="USE014", help="leave out --workspace, or unset STANNARY_SERVER")
    from stannary.access.kept_tokens import token_for
    from stannary.registry.client import Client

    return Client(server, token_for(server))


def list_there(client: Client, name: Name | None, kind: str, form: str) -> int:
    """Print the names there are, or the versions of one."""
    from stannary.report.registry import ModelsDocument, VersionsDocument, model_lines, version_lines

    if name is None:
        models = client.models(kind=kind)
        if form == "json":
            write_json(ModelsDocument(models=tuple(models)))
        else:
            click.echo("\n".join(model_lines(models)), nl=bool(models))
        return exits.CLEAN
    found = client.listed(name)
    if form == "json":
        write_json(VersionsDocument(name=str(name), versions=found.versions, aliases=found.aliases, moves=found.moves))
    else:
        click.echo("\n".join(version_lines(found.versions)))
    return exits.CLEAN


def show_there(client: Client, reference: Reference, form: str, *, files: bool) -> int:
    """Print a version."""
    from stannary.report.registry import FileRow, VersionDocument, version_text

    version, known = client.show(reference)
    rows = tuple(FileRow(file.path, file.size, file.sha256) for file in known)
    if form == "json":
        write_json(VersionDocument(version=version, files=rows))
        return exits.CLEAN
    click.echo(version_text(version))
    for row in rows if files else ():
        click.echo(f"{row.sha256}  {inline(row.path)}")
    return exits.CLEAN


def quarantine_there(client: Client, target: str, reason: str, *, lifted: bool, talk: Talk) -> int:
    """Quarantine what a digest or version is, or lift that; say what it was in service as."""
    from stannary.evidence.subject import named_digest
    from stannary.registry.names import parse

    digest = named_digest(target)
    wanted = str(digest) if digest is not None else client.show(parse(target))[0].digest
    concerned = client.quarantine(wanted, reason, lifted=lifted)
    talk.note(f"{wanted} {'may be used again' if lifted else 'cannot be had any more'}")
    for version in concerned:
        talk.note(f"it is {inline(str(version))}{inline(''.join(f' @{alias}' for alias in version.aliases))}")
    return exits.CLEAN


def diff_there(client: Client, first: Reference, second: Reference) -> Difference:
    """Return what is different between two versions, which a server compares within one name. Raises UsageError."""
    if first.name != second.name:
        msg = f"compares versions of one name, and these are of {first.name} and {second.name}"
        raise UsageError(msg, where="--server", code="USE015", help="pull both, and compare the folders")
    one, two = (client.show(reference)[0] for reference in (first, second))
    return client.compare(first.name, one.number, two.number)


def policy_there(policy: str) -> tuple[dict[str, str], str]:
    """Return a policy as a server takes it, with all that it inherits, and its name. Raises UsageError.

    A module in Rego goes as it is, under the name of its file: the server evaluates it, so no engine is needed here.
    """
    import re

    import msgspec

    from stannary.cli.policies import read_module, read_policy
    from stannary.policy.model import Policy

    if policy.endswith(".rego"):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", PurePath(policy).name)[-100:]
        return {"policy": read_module(policy), "name": name}, name
    found = None if policy.startswith("opa+") else read_policy(policy)
    if not isinstance(found, Policy):
        msg = "names a server of OPA, and a server of stannary asks no other one"
        raise UsageError(msg, where=policy, code="USE015", help="give the .rego file, which it evaluates itself")
    return {"policy": msgspec.json.encode(found).decode()}, found.name


def approve_there(client: Client, version: str, given: dict[str, Any], talk: Talk) -> int:
    """Sign an approval here, with a key of one's own, and have the server log it."""
    from stannary.cli.attest import approval_of
    from stannary.cli.signing_key import open_key
    from stannary.core.model import Digest
    from stannary.evidence.statement import subject_resource
    from stannary.registry.names import parse
    from stannary.report.documents import RecordedDocument

    if not given["key"]:
        msg = "an approval for a server is signed here, with a key of your own that it trusts"
        raise UsageError(
            msg,
            where="--key",
            code="USE015",
            help="stannary keys generate ann.pem; the server's owner: stannary trust add ann ann.pub",
        )
    found = client.show(parse(version))[0]
    envelope = approval_of(subject_resource(Digest.parse(found.digest), str(found.name)), given, open_key(given["key"]))
    recorded = client.state(envelope)
    if given["form"] == "json":
        write_json(RecordedDocument(id=recorded.id, subject=recorded.subject, index=recorded.index))
    else:
        click.echo(recorded.id)
    talk.note(f"recorded statement about {inline(str(found))} as entry {recorded.index}")
    return exits.CLEAN


def tell_there(document: dict[str, Any], form: str, talk: Talk) -> int:
    """Print what a server decided about an alias; return the exit code."""
    import msgspec

    from stannary.cli.evidence_remote import next_there
    from stannary.report.registry import PromotionDocument

    try:
        found = msgspec.convert(document, PromotionDocument)
    except msgspec.ValidationError as error:
        msg = f"the server's answer cannot be read: {error}"
        raise BackendError(msg, code="CLI004", help="is it a stannary of this version?") from error
    if form == "json":
        write_json(found)
    else:
        for row in found.reasons:
            click.echo(f"{'passed' if row.ok else 'denied'}  {inline(row.rule)}  {inline(row.message)}")
            if row.help and not row.ok:
                click.echo(f"        {inline(next_there(row.help, f'registry:{found.name}:{found.number}'))}")
    where = inline(f"{found.name}@{found.alias}")
    for number in found.tried:
        talk.note(f"passed over :{number}, which may not be in service now")
    if found.moved:
        talk.verdict(f"{where} is at :{found.number}{f', before :{found.before}' if found.before else ''}")
        return exits.CLEAN
    talk.verdict(f"{where} stays {f'at :{found.before}' if found.before else 'unset'}: :{found.number} was denied")
    return exits.DENIED
