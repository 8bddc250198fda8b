"""An operation of the API: where it is, what goes in and comes out, the function that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from stannary.core.errors import UsageError
from stannary.registry.names import Name, Reference, parse

if TYPE_CHECKING:
    from stannary.registry.registry import Registry
    from stannary.server.site import Site

__all__ = ["Call", "Operation", "Parameter", "Principal", "Reply"]


class Principal(Protocol):
    """Who calls, as `access/` knows them."""

    @property
    def id(self) -> str:
        """Return the name that stands in the ledger: `user:ann`, `service:ci`."""
        ...


class Parameter(msgspec.Struct, frozen=True):
    """A parameter of a query: its name, its type (`str`, `int`, `bool`, or `list` for texts of any number), what it means."""

    name: str
    type: type
    text: str
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is more than a document of status 200. `body` is a struct, bytes, or chunks of them."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    media_type: str = "application/json"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What an operation gets. `body` is the struct it asked for, or a reader of the bytes that are sent."""

    site: Any  # Site; typed by `place`
    principal: Any  # Principal
    registry: Any  # Registry
    path: Mapping[str, str]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any = None
    range: tuple[int, int | None] | None = None

    @property
    def place(self) -> Site:
        """Return the site that is served."""
        found: Site = self.site
        return found

    @property
    def store(self) -> Registry:
        """Return the registry as the caller sees it."""
        found: Registry = self.registry
        return found

    @property
    def name(self) -> Name:
        """Return the name in the path. Raises UsageError for what is none."""
        return self.reference().name

    def reference(self, number: int = 0, alias: str = "") -> Reference:
        """Return what the path names, with a version or alias. Raises UsageError for what is none."""
        end = f"@{alias}" if alias else f":{number}" if number else ""
        return parse(f"{self.path['namespace']}/{self.path['name']}{end}")

    def ruled(self, *, any_alias: bool = False) -> tuple[Name, str]:
        """Return what a protection or freeze is of: a name, or `*` for every one of a namespace, and an alias.

        Args:
            any_alias: `*` is taken for every alias, too.

        Raises UsageError for what is neither.
        """
        name, alias = self.path["name"], self.path["alias"]
        text = f"{self.path['namespace']}/{'any' if name == '*' else name}@{'any' if any_alias and alias == '*' else alias}"
        found = parse(text).name
        return Name(found.namespace, "*") if name == "*" else found, alias

    def number(self) -> int:
        """Return the version in the path. Raises UsageError when it is no number, as 0 is."""
        text = self.path["number"]
        if not (text.isascii() and text.isdigit() and len(text) < 10 and text[0] != "0"):  # noqa: PLR2004 - digits of the largest
            msg = f"is no version: {text[:40]!r}"
            raise UsageError(msg, where="number", code="API002", help="a version is a number, from 1")
        return int(text)


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table that the API is made of.

    Args:
        id: the name of the operation, unique.
        method: of HTTP.
        path: below `/api/v1`; parameters in braces, one that ends in `:path` takes slashes.
        run: the function.
        summary: a sentence for the description.
        tag: the group it stands in.
        body: the struct that is read from JSON; bytes for any content, streamed.
        reply: the struct that is answered with; None for no content; str or bytes for those.
        status: of a success.
        query: its parameters.
        quick: runs at once, in the event loop: never waits for a disk or another process.
        open: needs no credentials.
        kept: the answer to a request with an `Idempotency-Key` may be stored: there is no secret in what is sent or answered.
        errors: statuses that it may answer with, besides those that any may.
    """

    id: str
    method: str
    path: str
    run: Callable[[Call], Any]
    summary: str
    tag: str
    body: Any = None
    reply: Any = None
    status: int = 200
    query: tuple[Parameter, ...] = ()
    quick: bool = False
    open: bool = False
    kept: bool = True
    errors: tuple[int, ...] = ()
    media_type: str = "application/json"
