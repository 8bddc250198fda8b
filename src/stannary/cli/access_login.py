"""`stannary access login|logout`: a token of a server, for whoever sits here, kept in the user's own folder.

    $XDG_CONFIG_HOME/stannary/tokens.json     of the user alone (0600): server → token

`STANNARY_TOKEN` outranks it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
import msgspec

from stannary.cli.group import common_options, talk_of
from stannary.cli.signing_key import is_offline
from stannary.core.errors import BackendError, InputError, PolicyDenied, StannaryError, UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["login", "logout", "stored_token", "token_file"]

_DONE = (200, 201)


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a server, with the id by which it is ended."""

    token: str
    id: str
    account: str
    expires: str


@click.command("login")
@click.option("--server", metavar="URL", envvar="STANNARY_SERVER", required=True, help="The server: https://…")
@click.option("--issuer", metavar="URL", help="The identity provider, where the server takes several.")
@common_options
@click.pass_context
def login(ctx: click.Context, server: str, issuer: str | None) -> int:
    """Log in to a server: confirm in a browser, at your identity provider, what is shown here.

    The token is good for half a day, and is kept in your own folder, readable by you alone.
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
        kept = _Kept(token=answer.document["secret"], id=found["id"], account=found["account"], expires=found["expires"])
    except (KeyError, TypeError) as error:
        msg = "answers with something that is no token"
        raise BackendError(msg, where=base, code="SRV005") from error
    _write({**_read(), base: kept})
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
    known = _read()
    kept = known.pop(base, None)
    if kept is None:
        talk_of(ctx).note(f"there is no token of {inline(base)} here")
        return 0
    _write(known)  # first: it is forgotten also when the server cannot be asked
    where = f"{base}/api/v1/access/tokens/{kept.id}"
    try:
        status = send_json(where, {}, {"Authorization": f"Bearer {kept.token}"}, "DELETE").status
    except StannaryError as error:
        msg = f"the token is forgotten here, and holds until {kept.expires[:16]}: {error.message}"
        raise BackendError(msg, where=base, code="SRV005", help=f"stannary access token revoke {kept.id}") from error
    told = "the token holds no more" if status in _DONE else "the token held no more"
    talk_of(ctx).note(f"{told}, and is forgotten")
    return 0


def stored_token(server: str) -> str:
    """Return the token for a server: STANNARY_TOKEN, or the one of a login; nothing when there is none."""
    kept = _read().get(_address(server))
    return os.environ.get("STANNARY_TOKEN") or (kept.token if kept is not None else "")


def token_file() -> Path:
    """Return where tokens are kept."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "stannary" / "tokens.json"


def _address(server: str) -> str:
    from stannary.crypto.discovery import check_address

    if is_offline():
        msg = "no socket may be opened"
        raise UsageError(msg, where="--server", code="USE012", help="leave out --offline, and see `stannary config show`")
    parts = urlsplit(check_address(server, "server"))
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


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


def _read() -> dict[str, _Kept]:
    path = token_file()
    try:
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            msg = "can be read by others than you"
            raise UsageError(msg, where=str(path), code="ACC023", help=f"chmod 600 {path}, and end the tokens in it")
        return msgspec.json.decode(content, type=dict[str, _Kept])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        msg = "is no file of tokens"
        raise InputError(msg, where=str(path), code="ACC023", help="delete it, and log in again") from error


def _write(known: dict[str, Any]) -> None:
    """Replace the file as a whole. It is of the user alone from its first byte on: `mkstemp` makes it so."""
    path = token_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=".tokens-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(known))
        Path(scratch).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(scratch).unlink()
        raise
