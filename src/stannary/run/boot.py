"""Start of a worker that is a fresh interpreter (`run.fresh`, or level `bwrap`): settings by pipe, then `worker.serve`."""

from __future__ import annotations

import mmap
import os
import sys

import msgspec

from stannary.run.interface import Setup
from stannary.run.jail import Jail
from stannary.run.worker import HEADER, die_with, serve

__all__ = ["Settings", "main"]


class Settings(msgspec.Struct, frozen=True):
    """What a forked worker would have inherited."""

    setup: Setup
    jail: Jail | None


def main() -> None:
    """Read `inbox outbox page` descriptor numbers and the parent to end with (0 for none) from the arguments, and serve."""
    inbox, outbox, page, parent = map(int, sys.argv[1:5])
    if parent:
        die_with(parent)
    length = HEADER.unpack(_exactly(inbox, HEADER.size))[2]
    settings = msgspec.msgpack.decode(_exactly(inbox, length), type=Settings)
    shared = mmap.mmap(page, mmap.PAGESIZE)
    serve(inbox, outbox, shared, settings.setup, settings.jail)


def _exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = os.read(descriptor, count - len(data))
        if not chunk:
            os._exit(1)
        data += chunk
    return data
