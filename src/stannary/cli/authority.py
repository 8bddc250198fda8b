"""`stannary trust init|issuer|show|audit|rotate|revoke|revocations`: an authority of one's own for keyless signatures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import msgspec

from stannary.cli import exits
from stannary.cli.group import common_options, talk_of
from stannary.cli.passphrase import choose
from stannary.cli.workspace import ask_passphrase, format_option, open_workspace, workspace_option, write_json
from stannary.core.errors import IntegrityError, UsageError, named_by_caller
from stannary.evidence.keyless.audit import LoggedSignature
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.keyless.token import KINDS, Provider, public_kind
from stannary.report.escape import inline
from stannary.report.wording import counted

__all__ = ["AuditDocument", "AuthorityDocument", "audit", "init", "issuer", "revocations", "revoke", "rotate", "show"]

_ROOT_KEY = click.option("--root-key", metavar="FILE", type=click.Path(path_type=Path), help="Where the root key is kept.")
_NO_PASSPHRASE = click.option("--no-passphrase", is_flag=True, help="Leave the new keys unprotected: whoever reads them can sign.")


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A key of the authority: from when it counts and, once it was replaced, until when."""

    kind: str
    number: int
    keyid: str
    start: datetime
    end: datetime | None


class ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider whose tokens are taken."""

    url: str
    audience: str
    names: str


class RevokedRow(msgspec.Struct, frozen=True, kw_only=True):
    """What counts no longer."""

    what: str
    value: str
    issuer: str
    since: datetime | None
    reason: str


class AuthorityDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `stannary trust show --format json` prints."""

    schema: str = "stannary.authority/1"
    name: str
    root: str
    folder: str
    keys: tuple[KeyRow, ...]
    providers: tuple[ProviderRow, ...]
    revoked: tuple[RevokedRow, ...]


class AuditDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `stannary trust audit --format json` prints: `unused` are certificates with which nothing was logged."""

    schema: str = "stannary.authority-audit/1"
    signatures: tuple[LoggedSignature, ...]
    unused: tuple[str, ...]


@click.command("init")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=False))
@_ROOT_KEY
@_NO_PASSPHRASE
@click.option(
    "--origin", metavar="NAME", default="", help="Name of a workspace that is made, unique in the world.  [default: made up]"
)
@workspace_option
@common_options
@click.pass_context
def init(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Make an authority for keyless signatures: a root key, an issuing authority, a certificate log and a signature log.

    It lies in the workspace (found upward, or DIR's, which is made when there is none), and works without any network.
    Verifiers need trusted_root.json or trust_config.json, and no key. The root key is for `trust rotate` alone: keep it
    elsewhere (--root-key).
    """
    workspace = _workspace(given)
    passphrase = None if given["no_passphrase"] else choose("the authority's keys")
    made = Authority.create(workspace, passphrase=passphrase, root_key=given["root_key"])
    talk = talk_of(ctx)
    kept = given["root_key"] or made.folder / "root.pem"
    talk.note(f"made the authority {inline(made.settings.name)} in {inline(str(made.folder))}")
    talk.note(f"the root key is {inline(str(kept))}: keep it offline, it is needed for `stannary trust rotate` alone")
    talk.note("next: `stannary trust issuer URL` names an identity provider whose tokens are taken")
    click.echo(str(made.folder / "trust_config.json"))
    return 0


@click.command("issuer")
@click.argument("url", metavar="URL")
@click.option("--jwks", metavar="FILE", help="Its keys (JWKS).  [default: asked for at the issuer, over the network]")
@click.option("--audience", default="stannary", help="For whom its tokens are (`aud`).  [default: stannary]")
@click.option("--kind", type=click.Choice(KINDS), help="What in them names somebody.  [default: email; github, gitlab by the URL]")
@workspace_option
@common_options
@click.pass_context
def issuer(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Take identity tokens of an OpenID Connect issuer, or change how, or renew its keys. The change is logged.

    \b
    email       the verified e-mail address
    uri         the subject, which is a URI (SPIFFE, for one)
    user        SUBJECT!HOST-OF-THE-ISSUER
    github      the workflow, as https://github.com/OWNER/REPOSITORY/PATH@REF
    gitlab      the pipeline's configuration, likewise
    kubernetes  the service account, as https://kubernetes.io/namespaces/NAMESPACE/serviceaccounts/NAME
    """  # noqa: D301 - \b is click's
    from stannary.crypto.discovery import check_address, discover_keys

    url = check_address(given["url"])
    authority = Authority(open_workspace(given["workspace"]))
    keys = _read(given["jwks"]) if given["jwks"] else discover_keys(url)
    provider = Provider(url=url, audience=given["audience"], kind=given["kind"] or public_kind(url))
    with named_by_caller():
        authority.trust_provider(provider, keys)
    talk_of(ctx).note(f"tokens of {inline(url)} for {inline(provider.audience)} are taken; they name by {provider.kind}")
    return 0


@click.command("show")
@workspace_option
@format_option("table", "json")
@common_options
def show(workspace: str | None, form: str) -> int:
    """Show the authority: its keys and their times, identity providers, and what was revoked."""
    from stannary.evidence.keyless.change import revocations_of

    opened = open_workspace(workspace)
    found = Authority(opened)
    rows = revocations_of(opened).rows
    document = AuthorityDocument(
        name=found.settings.name,
        root=found.root_public.keyid,
        folder=str(found.folder),
        keys=tuple(
            KeyRow(kind=kind, number=row.number, keyid=found.public(kind, row.number).keyid, start=row.start, end=row.end)
            for kind in ("ca", "ct", "log")
            for row in getattr(found.settings, kind)
        ),
        providers=tuple(ProviderRow(url=row.url, audience=row.audience, names=row.kind) for row in found.settings.providers),
        revoked=tuple(
            RevokedRow(what=row.what, value=row.value, issuer=row.issuer, since=row.since, reason=row.reason) for row in rows
        ),
    )
    if form == "json":
        write_json(document)
        return 0
    click.echo(f"authority  {inline(document.name)}\nroot       {document.root[:16]}")
    for key in document.keys:
        until = f"until {key.end:%Y-%m-%d %H:%M} UTC" if key.end else "now"
        click.echo(f"{key.kind:<9}  {key.keyid[:16]}  {key.start:%Y-%m-%d %H:%M} UTC, {until}")
    for provider in document.providers:
        click.echo(f"provider   {inline(provider.url)}  audience {inline(provider.audience)}, names by {provider.names}")
    for row in document.revoked:
        since = f" since {row.since:%Y-%m-%d %H:%M} UTC" if row.since else ""
        click.echo(f"revoked    {row.what} {inline(row.value)}{since}: {inline(row.reason)}")
    return 0


@click.command("audit")
@workspace_option
@format_option("table", "json")
@common_options
@click.pass_context
def audit(ctx: click.Context, workspace: str | None, form: str) -> int:
    """List who signed with the authority, and hold it against the ledger. Exits 1 when something was not issued here.

    The signature logs and the ledger are read in full, each under its signed head. A signature whose certificate is not in
    the ledger was made by somebody else with the authority's keys: replace them (`trust rotate --overlap 0`).
    """
    from stannary.evidence.keyless.audit import audit as audit_

    found = audit_(Authority(open_workspace(workspace)))
    if form == "json":
        write_json(AuditDocument(signatures=found.signatures, unused=found.unused))
    else:
        for row in found.signatures:
            who = f"{inline(row.identity)}, by the word of {inline(row.issuer)}"
            click.echo(f"{row.log}/{row.index:<6} {row.time:%Y-%m-%d %H:%M:%S} UTC  {row.payload[:16]}  {who}")
    talk = talk_of(ctx)
    if found.unused:
        talk.note(f"{counted(len(found.unused), 'certificate')} issued with which nothing was logged")
    problems = [
        IntegrityError(
            f"was signed with a certificate that this workspace did not issue ({row.certificate[:16]})",
            where=f"log-{row.log}, entry {row.index}",
            code="TRU018",
            help="`stannary trust rotate ca --overlap 0` ends the keys that were used",
        )
        for row in found.strange
    ]
    talk.errors(problems)
    return exits.worst([exits.CLEAN, *(problem.exit_code for problem in problems)])


@click.command("rotate")
@click.argument("what", type=click.Choice(["ca", "ct", "log"]))
@click.option(
    "--overlap", metavar="DAYS", type=click.IntRange(0, 3650), default=30, help="How long the old key counts.  [default: 30]"
)
@_ROOT_KEY
@_NO_PASSPHRASE
@workspace_option
@common_options
@click.pass_context
def rotate(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Replace a key: of the issuing authority, of the certificate log, or of the signature log (which starts anew).

    What was signed while the old key counted verifies for ever. `--overlap 0` ends it now: for a key that got out. The
    trusted root is written and signed again; give it to verifiers. The change is logged.
    """
    authority = Authority(open_workspace(given["workspace"]))
    root_key = authority.root_signer(given["root_key"])
    passphrase = None if given["no_passphrase"] else choose("the new key")
    authority.replace_key(given["what"], root_key, passphrase, timedelta(days=given["overlap"]))
    number = authority.current(given["what"])
    talk_of(ctx).note(f"{given['what']} is at key {number}; the one before counts for {given['overlap']} days more")
    click.echo(str(authority.folder / "trust_config.json"))
    return 0


@click.command("revoke")
@click.argument("what", type=click.Choice(["identity", "certificate", "key"]))
@click.argument("value", metavar="NAME|FILE|SHA256")
@click.option("--issuer", default="", metavar="URL", help="identity: only as this provider names it.  [default: of any]")
@click.option("--since", metavar="TIME", help="What was signed before stands: a date, or `now`.  [default: nothing stands]")
@click.option("--reason", default="", help="Why.")
@click.option("--lift", is_flag=True, help="Take the revocation back.")
@workspace_option
@common_options
@click.pass_context
def revoke(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Revoke an identity, a certificate or a key: what it signed is refused, wherever the ledger or the list is at hand.

    A certificate or a key is named by its PEM file, by a signature that carries it, or by its SHA-256 in hex.
    """
    from stannary.evidence.keyless import change
    from stannary.evidence.sigstore.revocation import Revocation

    workspace = open_workspace(given["workspace"])
    value = given["value"] if given["what"] == "identity" else _fingerprint(given["what"], given["value"])
    row = Revocation(
        what=given["what"],
        value=value,
        issuer=given["issuer"],
        since=_time(given["since"], workspace.clock()) if given["since"] else None,
        reason=given["reason"],
    )
    if given["lift"]:
        change.reinstate(workspace, row)
    else:
        change.revoke(workspace, row)
    talk_of(ctx).note(f"{'reinstated' if given['lift'] else 'revoked'} the {row.what} {inline(value)}")
    return 0


@click.command("revocations")
@click.option("-o", "--output", metavar="FILE", help="Write it to FILE.")
@click.option("--days", type=click.IntRange(1, 3650), default=30, help="How long it is good for.  [default: 30]")
@workspace_option
@common_options
def revocations(output: str | None, days: int, workspace: str | None) -> int:
    """Write what is revoked as a signed list, for verifiers without the ledger: `stannary verify --revocations FILE`."""
    from stannary.evidence.keyless.change import export_list

    content = export_list(Authority(open_workspace(workspace)), days)
    if output:
        Path(output).write_bytes(content)
    else:
        click.echo(content, nl=False)
    return 0


def _workspace(given: dict[str, Any]) -> Any:  # noqa: ANN401 - a Workspace, imported late
    from stannary.evidence.workspace import FOLDER, Workspace

    if given["folder"] is None:
        return open_workspace(given["workspace"])
    folder = Path(given["folder"])
    if (folder / FOLDER / "workspace.json").exists():
        return open_workspace(str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    passphrase = None if given["no_passphrase"] else choose("the workspace's keys")
    made = Workspace.create(folder, passphrase=passphrase, origin=given["origin"])
    made.ledger(write=True).close()
    return Workspace.find(str(folder), passphrase=ask_passphrase)


def _fingerprint(what: str, value: str) -> str:
    """Return the SHA-256 that a certificate or a key is known by. Raises UsageError or InputError."""
    text = value.removeprefix("sha256:").lower()
    if len(text) == 64 and not text.strip("0123456789abcdef"):  # noqa: PLR2004 - SHA-256 in hex
        return text
    import hashlib

    from stannary.crypto.certificates import der_of, key_of, parse_pem
    from stannary.crypto.keys import PublicKey

    content = _read(value)
    if content.lstrip().startswith(b"{"):
        from stannary.evidence.sigstore.bundle import parse_bundle

        leaf = parse_bundle(content, value).leaf
    elif what == "key" and b"PUBLIC KEY" in content:
        return PublicKey.of_pem(content, value).keyid
    else:
        leaf = parse_pem(content, value)[0]
    return key_of(leaf).keyid if what == "key" else hashlib.sha256(der_of(leaf)).hexdigest()


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(64 << 20)
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UsageError(msg, where=path, code="USE010") from error


def _time(text: str, now: datetime) -> datetime:
    if text == "now":
        return now.replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        msg = f"is a date such as 2027-06-30 or 2027-06-30T12:00:00Z; got {text[:40]!r}"
        raise UsageError(msg, where="--since", code="EVD010") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
