"""`stannary sign TARGET`: an OpenSSF model signature, written beside the model."""

from __future__ import annotations

import gc
import re
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stannary.cli.group import common_options, talk_of
from stannary.cli.progress import progress_bar
from stannary.cli.signing_key import is_offline, open_key
from stannary.core.errors import UsageError, named_by_caller

__all__ = ["SignReport", "command", "local"]

if TYPE_CHECKING:
    from stannary.cli.talk import Talk
    from stannary.crypto.interface import Signer
    from stannary.evidence.oms.interface import Material
    from stannary.evidence.oms.sign import Signed

    _Type = click.ParamType[int]
else:
    _Type = click.ParamType  # generic since click 8.2

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class SignReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `--format json` prints. `root` is the OMS root digest; `artifact` the identity, if all of it is signed."""

    schema: str = "stannary.sign/1"
    target: str
    signature: str
    model: str
    method: str
    keyid: str
    algorithm: str
    files: int
    bytes: int
    cached: int
    root: str
    artifact: str | None
    identity: str = ""
    issuer: str = ""


class Size(_Type):
    """A number of bytes: 4096, 64K, 1M, 1MiB, 2G (powers of 1024)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Return the bytes. Fails with click's usage error."""
        match = re.fullmatch(r"(\d{1,15})\s*([kmg]?)(i?b)?", str(value).strip().lower())
        if match is None or int(match[1]) == 0:
            self.fail(f"{value!r} is no size, such as 1M", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.command("sign")
@click.argument("target", metavar="TARGET")
@click.option(
    "--key",
    metavar="KEY",
    help="A key file, or env:NAME, keyring:NAME, pkcs11:..., awskms:///ID, vault:MOUNT/KEY.  [default: the workspace's key]",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write the signature.  [default: TARGET.sig]")
@click.option("--certificate", metavar="FILE", help="The X.509 certificate of the key (PEM): its chain is verified, not the key.")
@click.option("--certificate-chain", metavar="FILE", multiple=True, help="Certificates between it and the root; repeatable.")
@click.option(
    "--keyless", is_flag=True, help="Sign as the identity of a token, with the workspace's authority (`stannary trust init`)."
)
@click.option(
    "--identity-token",
    metavar="FILE",
    help="An OIDC identity token (- for stdin), for --keyless.  [default: $STANNARY_ID_TOKEN, or the pipeline's]",
)
@click.option("--nonce", metavar="TEXT", help="The nonce that the token has to carry, for --keyless.")
@click.option("--ignore", metavar="PATH", multiple=True, help="Do not sign this path of the model, or what is below; repeatable.")
@click.option("--git", is_flag=True, help="Sign .git, .github, .gitattributes and .gitignore at the top as well.")
@click.option("--links/--no-links", default=True, help="Sign files behind links within the model.  [default: yes]")
@click.option("--shard-size", type=Size(), metavar="SIZE", help="Sign ranges of that size, so that parts can be verified alone.")
@click.option("--cache/--no-cache", default=True, help="Hash only files that changed since they were last signed.  [default: yes]")
@click.option("--record", is_flag=True, help="Log in the workspace that the model was signed: evidence of kind model-signature.")
@click.option("--workspace", metavar="DIR", help="The workspace whose key signs.  [default: found upward]")
@click.option("--offline", is_flag=True, default=None, help="Open no socket: keys that are elsewhere cannot sign.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", help="How to print.")
@common_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> int:  # noqa: ANN401 - click passes each option
    """Sign a model: every file by name and content.

    The signature is an OpenSSF Model Signing bundle: `stannary verify` and `model_signing verify` read it.
    """
    from stannary.evidence.oms.api import default_signature
    from stannary.evidence.oms.cache import DigestCache
    from stannary.evidence.oms.sign import SignOptions, sign_model, write_signature

    talk = talk_of(ctx)
    target = local(given["target"])
    output = given["output"] or default_signature(target)
    with named_by_caller():
        material = _material(given)
    gc.disable()  # a million small tuples and no cycle among them; the process ends soon
    with progress_bar(talk, "signing") as on_progress:
        options = SignOptions(
            ignore=given["ignore"],
            signature=output,
            git=given["git"],
            links=given["links"],
            shard_size=given["shard_size"],
            cache=DigestCache.of_user() if given["cache"] else None,
            on_progress=on_progress,
        )
        signed = sign_model(target, material, options)
    write_signature(output, signed.bundle)
    if given["record"]:
        _record(signed, given["workspace"], talk)
    report = SignReport(
        target=target,
        signature=output,
        model=signed.name,
        method=signed.bundle.verification_material.method,
        keyid=material.public.keyid,
        algorithm=material.public.algorithm,
        files=signed.files,
        bytes=signed.size,
        cached=signed.cached,
        root=f"sha256:{signed.root}",
        artifact=str(signed.artifact) if signed.artifact else None,
        identity=material.identity,
        issuer=material.issuer,
    )
    _print(report, given["form"])
    return 0


def local(target: str) -> str:
    """Return a target that is a path here. Raises UsageError for an address, and when there is nothing."""
    import os

    if re.match(r"[a-z][a-z0-9+]+:", target) and not os.path.lexists(target):
        msg = "is an address; a signature is about files that lie here"
        raise UsageError(msg, where=target, code="SIG019", help="download it, and name the folder")
    return target


def _material(given: dict[str, Any]) -> Material:
    if given["keyless"] or given["identity_token"]:
        from stannary.cli.keyless import keyless_material

        return keyless_material(given, offline=is_offline())
    from stannary.evidence.oms.api import material_of

    return material_of(_signer(given["key"], given["workspace"]), given["certificate"], given["certificate_chain"])


def _signer(key: str | None, workspace: str | None) -> Signer:
    if key is not None:
        return open_key(key)
    from stannary.cli.workspace import open_workspace

    try:
        found = open_workspace(workspace)
    except UsageError as error:
        if workspace is not None:
            raise
        msg = "no key was named, and there is no workspace whose key could sign"
        raise UsageError(msg, code="SIG019", help="--key KEY.pem names one, `stannary keys generate KEY.pem` makes one") from error
    return found.signer


def _record(signed: Signed, workspace: str | None, talk: Talk) -> None:
    """Log that the model was signed. Raises InputError when only a part of it was: a part is not the artifact."""
    from stannary.cli.workspace import open_workspace
    from stannary.evidence.oms.recording import record_signature

    recorded = record_signature(open_workspace(workspace), signed)
    talk.note(f"recorded {recorded.id.hex[:12]} about {recorded.subject} as entry {recorded.receipt.index}")


def _print(report: SignReport, form: str) -> None:
    if form == "json":
        from stannary.report.json_ import dump

        click.echo(dump(report), nl=False)
        return
    from stannary.report.escape import visible
    from stannary.report.wording import counted, human_size

    cached = f", {report.cached:,} unchanged since they were hashed" if report.cached else ""
    rows = [
        ("signed", f"{report.model}: {counted(report.files, 'file')}, {human_size(report.bytes)}{cached}"),
        ("key", f"{report.keyid[:16]} ({report.algorithm})"),
        *([("as", f"{report.identity}, by the word of {report.issuer}")] if report.identity else []),
        ("artifact", report.artifact or "no identity: parts are left out, or files are in shards"),
        ("signature", report.signature),
    ]
    for name, text in rows:
        click.echo(f"{name:<10} {visible(text)}")
