"""`stannary verify TARGET`: whether a model is what somebody trusted signed."""

from __future__ import annotations

import gc
from datetime import UTC
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stannary.cli import exits
from stannary.cli.group import common_options, talk_of
from stannary.cli.progress import progress_bar
from stannary.cli.sign import local
from stannary.core.errors import UsageError, named_by_caller

if TYPE_CHECKING:
    from stannary.evidence.oms.interface import Trust
    from stannary.evidence.oms.verify import Verification

# A file that cannot be read is not verified: whoever accepts a part, and so 3, has not accepted that.
_CODES = {"verified": exits.CLEAN, "partial": exits.INCOMPLETE, "refused": exits.DENIED}
_KEYLESS = ("identity", "issuer", "trust_config", "trusted_root", "root_key", "revocations")

__all__ = ["Signer", "VerifyReport", "Wrong", "command"]


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it was signed."""

    code: str
    kind: str
    path: str
    message: str


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed: always a key; with a certificate its subject and issuer."""

    method: str
    keyid: str
    algorithm: str
    subject: str = ""
    issuer: str = ""
    valid_until: str = ""
    signed_at: str = ""


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints. `outcome` is verified, partial (with `--only`) or refused."""

    schema: str = "stannary.verify/1"
    target: str
    signature: str
    outcome: str
    model: str
    signer: Signer
    checked: int
    signed: int
    unsigned: int
    left_out: tuple[str, ...] = ()
    bytes: int
    root: str
    artifact: str | None
    problems: tuple[Wrong, ...]


@click.command("verify")
@click.argument("target", metavar="TARGET")
@click.option("--signature", metavar="FILE", help="The signature.  [default: TARGET.sig]")
@click.option("--key", metavar="FILE", help="The public key that is trusted (PEM).  [default: the keys the workspace trusts]")
@click.option("--certificate-chain", metavar="FILE", multiple=True, help="Certificates of the authorities trusted; repeatable.")
@click.option("--identity", metavar="NAME", help="Who has to have signed, for a keyless signature: an address, a URI or a user.")
@click.option("--issuer", metavar="URL", help="The identity provider that vouched for --identity.")
@click.option(
    "--trust-config", metavar="FILE", help="Whose authorities and logs count (ClientTrustConfig).  [default: the workspace's]"
)
@click.option("--trusted-root", metavar="FILE", help="The same as TrustedRoot; `sigstore.dev` for the public instance.")
@click.option(
    "--root-key", metavar="FILE", help="The root key (public) that has to have signed --trusted-root (trusted_root.dsse.json)."
)
@click.option("--revocations", metavar="FILE", multiple=True, help="A signed list of what was revoked; repeatable.")
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="When it was signed, where you know that: certificates count as of then.",
)
@click.option("--only", metavar="GLOB", multiple=True, help="Verify these files alone; the outcome is partial. Repeatable.")
@click.option("--ignore", metavar="PATH", multiple=True, help="Accept unsigned files at this path, or below; repeatable.")
@click.option("--ignore-unsigned", is_flag=True, help="Accept any unsigned file.")
@click.option("--workspace", metavar="DIR", help="The workspace whose trusted keys count.  [default: found upward]")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Verify a model: that it is, file by file, what somebody you trust signed.

    Exits 0 when all of it is, 1 when the signature does not hold or a file differs, 3 when only a part was asked for.
    Signatures of model_signing, old ones too, are read. With --identity and --issuer it is a keyless signature (a Sigstore
    bundle, of a model or of any one file) that is verified, offline.
    """
    from stannary.evidence.oms.api import default_signature
    from stannary.evidence.oms.verify import VerifyOptions, examine_model

    talk = talk_of(ctx)
    target = local(given["target"])
    signature = given["signature"] or default_signature(target)
    with named_by_caller():  # a file that is no trust root: 2, and not the 3 of a partial verification
        trust = _trust(given)
    if given["identity"]:
        from stannary.cli.keyless import file_report

        report = file_report(target, signature, trust)
        if report is not None:  # a file, and not a model
            _print(report, given["form"])
            return exits.CLEAN
    gc.disable()  # a million small tuples and no cycle among them; the process ends soon
    with progress_bar(talk, "verifying") as on_progress:
        options = VerifyOptions(
            only=given["only"], ignore=given["ignore"], ignore_unsigned=given["ignore_unsigned"], on_progress=on_progress
        )
        found = examine_model(target, signature, trust, options)
    _print(_report(target, signature, found), given["form"])
    talk.errors([difference.error for difference in found.differences])
    return _CODES[found.outcome]


def _trust(given: dict[str, Any]) -> Trust:
    from stannary.evidence.oms.api import trust_of
    from stannary.evidence.oms.key import KeyTrust

    keyless = [name for name in _KEYLESS if given[name]]
    if keyless and given["at"]:
        msg = "--at is for certificates: when a keyless signature was made stands in it, and is verified"
        raise UsageError(msg, code="SIG018", help="leave it out")
    if keyless and not given["key"] and not given["certificate_chain"]:
        from stannary.cli.keyless import sigstore_trust

        return sigstore_trust(given)
    if keyless:
        msg = f"--{keyless[0].replace('_', '-')} is for keyless signatures, --key and --certificate-chain for others"
        raise UsageError(msg, code="SIG018", help="say one of them")
    if given["key"] or given["certificate_chain"]:
        at = given["at"].replace(tzinfo=UTC) if given["at"] else None
        return trust_of(given["key"], given["certificate_chain"], at=at)
    from stannary.crypto.keys import PublicKey
    from stannary.evidence.workspace import Workspace

    try:
        trusted = Workspace.find(given["workspace"]).trust
    except UsageError as error:
        if given["workspace"] is not None:
            raise
        msg = "nothing was named that is trusted, and there is no workspace that says whom to trust"
        raise UsageError(msg, code="SIG018", help="--key PUBLIC.pem, or --certificate-chain CA.pem") from error
    return KeyTrust(*(PublicKey.of_pem(row.pem.encode(), row.identity) for row in trusted.keys))


def _report(target: str, signature: str, found: Verification) -> VerifyReport:
    return VerifyReport(
        target=target,
        signature=signature,
        outcome=found.outcome,
        model=found.manifest.name,
        signer=msgspec.convert(msgspec.to_builtins(found.signer), Signer),
        checked=found.checked,
        signed=len(found.manifest.paths),
        unsigned=found.unsigned,
        left_out=found.left_out,
        bytes=found.size,
        root=f"sha256:{found.manifest.root}",
        artifact=str(found.artifact) if found.artifact else None,
        problems=tuple(Wrong(code=item.code, kind=item.kind, path=item.path, message=item.message) for item in found.differences),
    )


def _print(report: VerifyReport, form: str) -> None:
    if form == "json":
        from stannary.report.json_ import dump

        click.echo(dump(report), nl=False)
        return
    from stannary.report.escape import visible
    from stannary.report.wording import counted, human_size

    counts = f"{report.checked:,} of {counted(report.signed, 'signed file')}, {human_size(report.bytes)}"
    who = f"{report.signer.subject or report.signer.keyid[:16]} ({report.signer.algorithm})"
    rows = [(report.outcome, f"{report.model or report.target}: {counts}"), ("signed by", who)]
    if report.signer.issuer:
        when = f"signed {report.signer.signed_at}" if report.signer.signed_at else f"valid until {report.signer.valid_until}"
        rows.append(("issued by", f"{report.signer.issuer}, {when}"))
    if report.artifact:
        rows.append(("artifact", report.artifact))
    if report.unsigned and report.outcome != "refused":
        rows.append(("unsigned", f"{counted(report.unsigned, 'file')} that no signature covers, accepted as asked"))
    if report.left_out and report.outcome != "refused":
        more = f" and {len(report.left_out) - 5} more" if len(report.left_out) > 5 else ""  # noqa: PLR2004 - what a line has room for
        rows.append(("left out", f"{', '.join(report.left_out[:5])}{more}: not signed, and not looked at"))
    for name, text in rows:
        click.echo(f"{name:<10} {visible(text)}")
