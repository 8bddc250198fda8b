"""`stannary keys tls`: an authority of one's own, certificates for listeners and for clients."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stannary.cli.group import common_options, talk_of
from stannary.cli.passphrase import ask, choose
from stannary.core.errors import UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.crypto.tls import Issued

__all__ = ["command"]


@click.command("tls")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False))
@click.option("--host", "hosts", metavar="NAME", multiple=True, help="A name or address of the server; repeatable.  [localhost]")
@click.option("--client", "clients", metavar="NAME", multiple=True, help="Issue a certificate for this client; repeatable.")
@click.option("--no-passphrase", is_flag=True, help="Write the authority's key unprotected.")
@common_options
@click.pass_context
def command(ctx: click.Context, folder: str, hosts: tuple[str, ...], clients: tuple[str, ...], no_passphrase: bool) -> int:
    """Make certificates in DIR: ca.pem, which those who connect have to trust, and server.pem with its key, for `stannary serve`.

    An authority that is in DIR already issues more: with --client alone, certificates for clients. The keys of servers and
    clients are not protected by a passphrase, for they are read when nobody is there; only you can read the files.
    """
    from stannary.crypto import tls

    place, now = Path(folder), datetime.now(UTC)
    wanted = list(hosts) or ([] if clients else ["localhost", "127.0.0.1", "::1"])
    names = [*(["server"] if wanted else []), *clients]
    _refuse(place, names)
    issuer = _authority(place, now, no_passphrase=no_passphrase)
    if wanted:
        _write(place, "server", tls.listener(issuer, wanted, now))
    for name in clients:
        _write(place, name, tls.client(issuer, name, now))
    talk = talk_of(ctx)
    for name in names:
        click.echo(str(place / f"{name}.pem"))
    where = inline(str(place))
    if wanted:
        talk.note(f"stannary serve --tls-certificate {where}/server.pem --tls-key {where}/server.key")
    if clients:
        talk.note(f"--tls-clients {where}/ca.pem takes nobody without such a certificate")
    return 0


def _authority(place: Path, now: datetime, *, no_passphrase: bool) -> Issued:
    from stannary.crypto import tls
    from stannary.crypto.keys import read_private

    certificate, key = place / "ca.pem", place / "ca.key"
    if not certificate.exists() and not key.exists():
        made, passphrase = tls.authority("stannary local authority", now), None if no_passphrase else choose(str(key))
        place.mkdir(parents=True, exist_ok=True)
        made.key.write(key, passphrase)
        certificate.write_bytes(made.pem)
        return made
    for path in (certificate, key):
        if not path.exists():
            msg = "is not there, and the other half of the authority is"
            raise UsageError(msg, where=str(path), code="KEY022", help="put it back from a copy, or name another folder")
    try:
        found = read_private(key)
    except UsageError as error:
        if error.code != "KEY003":
            raise
        found = read_private(key, ask(str(key)))
    return tls.read_authority(certificate.read_bytes(), found, str(certificate))


def _refuse(place: Path, names: list[str]) -> None:
    for name in names:
        if name in ("ca", "") or Path(name).name != name or name.startswith(".") or names.count(name) > 1:
            msg = f"is no name for a certificate here: {name[:80]!r}"
            raise UsageError(msg, code="KEY022", help="a name without slashes, other than ca and server")
        for path in (place / f"{name}.pem", place / f"{name}.key"):
            if path.exists():
                msg = "is there already; a key is never overwritten"
                raise UsageError(msg, where=str(path), code="KEY005", help="name another folder, or move this one away")


def _write(place: Path, name: str, issued: Issued) -> None:
    issued.key.write(place / f"{name}.key", None)
    (place / f"{name}.pem").write_bytes(issued.pem)
