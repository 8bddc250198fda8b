"""Names: `namespace/name`, with `:3` for a version or `@production` for an alias; `registry:` before it where paths stand too."""

from __future__ import annotations

import re

import msgspec

from stannary.core.errors import UsageError

__all__ = ["DEFAULT", "Name", "Reference", "parse", "parse_model"]

DEFAULT = "default"
_PART = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")
_ALIAS = re.compile(r"[a-z](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_HELP = "[NAMESPACE/]NAME, then :VERSION or @ALIAS; small letters, digits, and . _ - within"


class Name(msgspec.Struct, frozen=True, order=True):
    """The name of a model or dataset."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return self.name if self.namespace == DEFAULT else f"{self.namespace}/{self.name}"


class Reference(msgspec.Struct, frozen=True):
    """A name with a version or an alias; `number` 0 and `alias` empty: neither was said."""

    name: Name
    number: int = 0
    alias: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}" if self.alias else f"{self.name}:{self.number}" if self.number else str(self.name)


def parse(text: str) -> Reference:
    """Read a reference. Raises UsageError."""
    rest = text.removeprefix("registry:")
    rest, at, alias = rest.partition("@")
    rest, colon, number = rest.partition(":")
    namespace, slash, name = rest.rpartition("/")
    namespace = namespace if slash else DEFAULT
    bad = not (_PART.fullmatch(name) and _PART.fullmatch(namespace)) or ".." in rest
    bad = bad or bool(at and colon) or bool(at and not _ALIAS.fullmatch(alias))
    bad = bad or bool(colon and not re.fullmatch(r"[1-9][0-9]{0,8}", number))
    if bad:
        msg = f"is no name in a registry: {text[:120]!r}"
        raise UsageError(msg, code="REG001", help=_HELP)
    return Reference(Name(namespace, name), int(number) if number else 0, alias)


def parse_model(text: str) -> Name:
    """Read a name without a version or alias. Raises UsageError."""
    found = parse(text)
    if found.number or found.alias:
        msg = f"names one version, where a model is meant: {text[:120]!r}"
        raise UsageError(msg, code="REG001", help=f"leave out what follows {found.name}")
    return found.name
