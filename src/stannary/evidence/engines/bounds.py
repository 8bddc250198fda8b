"""How long and on how much memory an engine may work on one decision."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MOST_ANSWERED", "OWN", "SENT", "Bounds"]

MOST_ANSWERED = 16 << 20  # bytes


class Bounds(NamedTuple):
    """What an engine may.

    Args:
        seconds: for all questions of a decision together.
        memory: bytes, beyond what an engine has when it is loaded.
        reach: it may ask the network and see this process's environment, if it is one that can.
    """

    seconds: float
    memory: int
    reach: bool = False


OWN = Bounds(120.0, 4 << 30, reach=True)  # a file of whoever runs the program
SENT = Bounds(20.0, 512 << 20)  # a module that somebody else wrote: kept in a registry, or sent to a server
