"""Tokens of servers for whoever sits here, by `stannary access login`: in the user's own folder, and used by every command.

$XDG_CONFIG_HOME/stannary/tokens.json     of the user alone (0600): server → token
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from stannary.core.errors import InputError, UsageError

__all__ = ["KeptToken", "read_tokens", "server_address", "token_file", "token_for", "write_tokens"]


class KeptToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a server, with the id by which it is ended."""

    token: str
    id: str
    account: str
    expires: str


def token_for(server: str) -> str:
    """Return the token for a server: `STANNARY_TOKEN`, else the one of a login; nothing where there is none."""
    given = os.environ.get("STANNARY_TOKEN")
    if given:
        return given
    kept = read_tokens().get(server_address(server))
    return kept.token if kept is not None else ""


def server_address(server: str) -> str:
    """Return the address of a server as tokens are kept by it: https where no scheme is said."""
    parts = urlsplit(server if "://" in server else f"https://{server}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def token_file() -> Path:
    """Return where tokens are kept."""
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "stannary" / "tokens.json"


def read_tokens() -> dict[str, KeptToken]:
    """Return the tokens by server. Raises UsageError for a file that others can read, InputError for one that is none."""
    path = token_file()
    try:
        content = path.read_bytes()
        if path.stat().st_mode & 0o077:
            msg = "can be read by others than you"
            raise UsageError(msg, where=str(path), code="ACC023", help=f"chmod 600 {path}, and end the tokens in it")
        return msgspec.json.decode(content, type=dict[str, KeptToken])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        msg = "is no file of tokens"
        raise InputError(msg, where=str(path), code="ACC023", help="delete it, and log in again") from error


def write_tokens(known: Mapping[str, KeptToken]) -> None:
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
