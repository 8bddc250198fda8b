"""Command lines given in configuration and text: how bad each is where it stands."""

from __future__ import annotations

from collections.abc import Iterator

from stannary.checks.static.judges.shell import HOSTILE, classify
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["command_hit"]


def command_hit(fact: Fact, command: str, rule: str, *, executed: bool = True) -> Iterator[Hit]:
    """Yield a finding for a command that a tool runs; ordinary ones are not worth one.

    `executed`: the tool runs it without being asked for it by name.
    """
    found = classify(command)
    if found.kind in HOSTILE:
        yield Hit(
            rule,
            fact,
            f"{fact.data.get('path') or fact.data.get('key') or 'command'}: {found.kind}: {found.shown}",
            None,
            "critical" if found.kind == "reverse-shell" else "high",
        )
    elif found.kind == "installer":
        yield Hit(
            rule, fact, f"{fact.data.get('path') or 'command'}: an installer is piped into a shell: {found.shown}", None, "info"
        )
    elif executed and found.kind == "other":
        yield Hit(rule, fact, f"{fact.data.get('path') or fact.data.get('key') or 'command'}: runs {found.shown}", None, "info")
