"""The key that a command was told to sign with, and whether a service may be asked for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stannary.cli.passphrase import ask
from stannary.core.errors import UsageError

if TYPE_CHECKING:
    from stannary.crypto.interface import Signer

__all__ = ["is_offline", "open_key"]


def is_offline() -> bool:
    """Tell whether the command that runs may open no socket: by its flag `--offline`, or by the configuration."""
    from stannary.cli.config import load
    from stannary.cli.group import flags_of

    ctx = click.get_current_context()
    flags = {**flags_of(ctx), "offline": ctx.params.get("offline")}
    return bool(load(ctx.find_root().meta.get("stannary.config")).with_flags(flags)["offline"])


def open_key(address: str) -> Signer:
    """Open the key at an address. Raises UsageError, also for one that no socket may be opened for, InputError or BackendError."""
    from stannary.crypto.providers.opening import is_local, open_signer

    if not is_local(address) and is_offline():
        msg = "is a key in a service, and no socket may be opened"
        raise UsageError(msg, where=address, code="KEY017", help="name a key that is here, or leave out --offline")
    return open_signer(address, ask)
