"""The policies that are shipped, and how a name in `extends` becomes a policy."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from stannary.core.errors import InputError
from stannary.policy.language import parse
from stannary.policy.model import Policy

__all__ = ["SHIPPED", "load", "shipped_text"]

SHIPPED = ("baseline", "production", "high-risk")
_DEEPEST = 10

# Returns the text of a policy file, and the name it goes by: (name as written, the file it is written in) → both.
ReadFile = Callable[[str, str], tuple[str, str]]


def shipped_text(name: str) -> str:
    """Return the YAML of a shipped policy."""
    return resources.files("stannary.policy").joinpath("data", f"{name}.yaml").read_text("utf-8")


def load(named: str, read: ReadFile, kinds: frozenset[str], *, parent: str = "", trail: tuple[str, ...] = ()) -> Policy:
    """Return the policy of a name: `production`, `FILE`, `FILE#stage`. Raises UsageError, or a group of InputErrors.

    Args:
        named: a shipped policy, or a file; the part after `#` is a stage of it.
        read: returns the text of a file.
        kinds: the kinds of evidence there are.
        parent: the file in which the name stands.
        trail: the policies that led here, to notice a circle.
    """
    name, _, stage = named.partition("#")
    if name in SHIPPED:
        text, where = shipped_text(name), name
    else:
        text, where = read(name, parent)
    if where in trail or len(trail) > _DEEPEST:
        msg = f"the policies {', '.join((*trail, where))} extend each other"
        raise InputError(msg, where=where, code="POL002")

    def resolve(other: str) -> Policy:
        return load(other, read, kinds, parent=where, trail=(*trail, where))

    return parse(text, where, resolve, stage, kinds)
