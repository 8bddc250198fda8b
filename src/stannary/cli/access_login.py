"""`stannary access login|logout`: a token of a server, for whoever sits here, kept where every command finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from stannary.access.kept_tokens import KeptToken, read_tokens, server_address, write_tokens
from stannary.cli.group import common_options, talk_of
from stannary.cli.signing_key import is_offline
from stannary.core.errors import BackendError, PolicyDenied, StannaryError, UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["login", "logout"]

_DONE = (200, 201)


@click.command("login")
@click.option("--server", metavar="URL", envvar="STANNARY_SERVER", required=True, help="The server: https://…")
@click.option("--issuer", metavar="URL", help="The identity provider, where the server takes several.")
@common_options
@click.pass_context
def login(ctx: click.Context, server: str, issuer: str | None) -> int:
    """Log in to a server: confirm in a browser, at your identity provider, what is shown here.

    The token is good for half a day, and is kept in your own folder, readable by you alone. Commands that ask that server use it,
    unless STANNARY_TOKEN has another one.
    """
    from stannary.access import device_flow
    from stannary.crypto.discovery import send_json

    base = _address(server)
    provider = _provider(base, issuer)
    device = device_flow.begin(provider["issuer"], provider["client"], provider["scopes"])
    talk = talk_of(ctx)
    talk.verdict(f"go to {inline(device.complete or device.address)}\nand confirm the code {inline(device.shown)}")
    answer = send_json(f"{base}/api/v1/access/exchange", {"token": device_flow.wait(device)})
    if answer.status not in _DONE:
        msg = "the server does not know whom the identity provider names"
        raise PolicyDenied(msg, where=base, code="ACC001", help="an admin adds you: stannary access user add --issuer --subject")
    try:
        found = answer.document["token"]
        kept = KeptToken(token=answer.document["secret"], id=found["id"], account=found["account"], expires=found["expires"])
    except (KeyError, TypeError) as error:
        msg = "answers with something that is no token"
        raise BackendError(msg, where=base, code="SRV005") from error
    write_tokens({**read_tokens(), base: kept})
    talk.note(f"logged in as {inline(kept.account)}, until {inline(kept.expires[:16])}")
    return 0


@click.command("logout")
@click.option("--server", metavar="URL", envvar="STANNARY_SERVER", required=True, help="The server: https://…")
@common_options
@click.pass_context
def logout(ctx: click.Context, server: str) -> int:
    """End the token of a server, and forget it."""
    from stannary.crypto.discovery import send_json

    base = _address(server)
    known = read_tokens()
    kept = known.pop(base, None)
    if kept is None:
        talk_of(ctx).note(f"there is no token of {inline(base)} here")
        return 0
    write_tokens(known)  # first: it is forgotten also when the server cannot be asked
    where = f"{base}/api/v1/access/tokens/{kept.id}"
    try:
        status = send_json(where, {}, {"Authorization": f"Bearer {kept.token}"}, "DELETE").status
    except StannaryError as error:
        msg = f"the token is forgotten here, and holds until {kept.expires[:16]}: {error.message}"
        raise BackendError(msg, where=base, code="SRV005", help=f"stannary access token revoke {kept.id}") from error
    told = "the token holds no more" if status in _DONE else "the token held no more"
    talk_of(ctx).note(f"{told}, and is forgotten")
    return 0


def _address(server: str) -> str:
    from stannary.crypto.discovery import check_address

    if is_offline():
        msg = "no socket may be opened"
        raise UsageError(msg, where="--server", code="USE012", help="leave out --offline, and see `stannary config show`")
    return server_address(check_address(server_address(server), "server"))


def _provider(base: str, issuer: str | None) -> Mapping[str, str]:
    from stannary.crypto.discovery import fetch

    content = fetch(f"{base}/api/v1/access/providers", "the server")
    try:
        found = msgspec.json.decode(content, type=dict[str, list[dict[str, str]]])["providers"]
        usable = [item for item in found if issuer in (None, item["issuer"]) and {"client", "scopes"} <= set(item)]
    except (msgspec.MsgspecError, KeyError) as error:
        msg = "is no server of stannary"
        raise BackendError(msg, where=base, code="SRV005") from error
    if len(usable) != 1:
        several = ", ".join(item["issuer"] for item in usable)
        msg = f"takes several identity providers: {several}" if usable else "takes no such identity provider"
        help_ = "--issuer URL" if usable else "stannary access federate people; or issue a token, and set STANNARY_TOKEN"
        raise UsageError(msg, where=base, code="ACC020", help=help_)
    return usable[0]
