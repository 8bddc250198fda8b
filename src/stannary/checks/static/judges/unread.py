"""Imports in what was left unread, by a limit or because nothing reads it: known gadgets only, for their use is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stannary.checks.static.knowledge import load
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["gadgets_first", "judge"]

# Where the names that are swept for live, for an import whose module stands elsewhere in the stream.
_HOMES = ("posix", "builtins", "subprocess", "importlib", "runpy")


def gadgets_first(facts: Sequence[Fact]) -> list[Fact]:
    """Put what concerns known gadgets in front: there are more facts than there may be time to judge."""
    known = load()

    def later(fact: Fact) -> bool:
        module, name = fact.data.get("module"), fact.data.get("name")
        return not (isinstance(module, str) and isinstance(name, str) and known.gadget(module, name))

    return sorted(facts, key=later)


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the `unread` facts of one file."""
    known = load()
    for fact in facts:
        if fact.kind != "unread.import":
            continue
        module, name = fact.data["module"], fact.data["name"]
        for home in (module,) if module else _HOMES:
            gadget = known.gadget(home, name)
            if gadget and not known.role(home, name):
                shown = f"{module}.{name}" if module else name
                message = f"imports {shown}, which {gadget.what}, {fact.data['where']}"
                severity: Severity = "high" if module else "medium"
                yield Hit("PKL035", fact, message, {"global": shown}, severity)
                break
