"""The passphrase of a workspace that nobody was there to choose: made up, and kept with the user instead of with the keys.

    $XDG_CONFIG_HOME/stannary/passphrases/ID     of the user alone (0600); ID stands in workspace.json as `unlock`

Keys lie in the project's folder, which is copied, packed and mounted; a passphrase does not travel with it. Whoever has the
folder alone has no key. What is lost with the file is the keys, so it is said where it is.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from stannary.core.errors import UsageError

__all__ = ["MadeUp", "kept_passphrase", "make_up", "place_of"]

_ID = re.compile(r"[0-9a-f]{32}")


class MadeUp:
    """A passphrase that was made up: its id, its text and the file that keeps it."""

    def __init__(self, name: str, passphrase: bytes, path: Path) -> None:
        self.name = name
        self.passphrase = passphrase
        self.path = path


def place_of(name: str) -> Path:
    """Return the file of an id. It may come from a folder of somebody else's: raises UsageError for what is no id."""
    if not _ID.fullmatch(name):
        msg = f"`unlock` is 32 hexadecimal digits, and not {name[:60]!r}"
        raise UsageError(msg, where="workspace.json", code="WSP002", help="restore workspace.json from a backup")
    home = os.environ.get("XDG_CONFIG_HOME")
    folder = Path(home) if home and Path(home).is_absolute() else Path.home() / ".config"
    return folder / "stannary" / "passphrases" / name


def make_up() -> MadeUp:
    """Make a passphrase and keep it. Raises UsageError when it cannot be kept: then nobody could use the keys."""
    name, text = secrets.token_hex(16), secrets.token_urlsafe(32)
    try:
        path = place_of(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody's home
        msg = f"no passphrase was given, and one that is made up cannot be kept: {error}"
        helped = "set STANNARY_PASSPHRASE, run it in a terminal, or say --no-passphrase"
        raise UsageError(msg, where="init", code="KEY003", help=helped) from error
    return MadeUp(name, text.encode(), path)


def kept_passphrase(name: str) -> bytes | None:
    """Return the passphrase of an id, None when it is not kept here. Raises UsageError for what is no id or cannot be read."""
    path = place_of(name)
    try:
        return path.read_bytes().strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UsageError(msg, where=str(path), code="KEY003", help="set STANNARY_PASSPHRASE, or make it readable") from error
