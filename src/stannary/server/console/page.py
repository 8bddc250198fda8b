"""A page of the console: where it is, the function that makes it, what that returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stannary.server.operations import Call

__all__ = ["Go", "Page", "Shown"]


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows: `data` goes into the template, and is the JSON twin."""

    template: str
    title: str
    data: Any
    status: int = 200


class Go(msgspec.Struct, frozen=True):
    """Where to go on after something was done; a path of ours."""

    where: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table that the console is made of. The path ends in a word or a number, so that `.json` can follow it."""

    id: str
    path: str
    run: Callable[[Call], Shown | Go]
    method: str = "GET"
