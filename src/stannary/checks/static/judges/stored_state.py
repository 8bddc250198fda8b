"""What pickled dictionaries and configurations tell a library to import, to evaluate or to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.shell import HOSTILE, classify
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["evaluated", "judge"]

_CALLED = re.compile(r"([A-Za-z_][\w.]*)\s*\(")
_SPECIAL = re.compile(
    r"\b__(?:import|builtins|globals|class|subclasses|mro|base|bases|dict|code|getattribute|loader|spec|self|init)__"
)
# Built-in names and C functions that no formula, template or rule has a use for.
_PLAIN = frozenset(
    ["exec", "eval", "compile", "open", "getattr", "setattr", "globals", "locals", "vars", "__import__", "breakpoint", "input"]
)
_NATIVE = frozenset(["system", "popen", "execl", "execlp", "execv", "execve", "execvp", "dlopen", "fork", "posix_spawn", "socket"])
_COMMANDS = frozenset({"program_name", "command", "cmd", "script", "_ezpickle_args", "_ezpickle_kwargs"})
_WORDS = re.compile(r"[;&|`$<>\n]")


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one file."""
    for fact in facts:
        if fact.kind == "state.target":
            level = danger_of(str(fact.data["name"]))
            if level == "dangerous":
                yield Hit("PKL038", fact)
            elif level == "loads" or (level == "unknown" and fact.data["key"] == "_instantiator"):
                yield Hit("PKL038", fact, None, None, "medium")
        elif fact.kind == "state.evaluated" and (wrong := evaluated(str(fact.data["key"]), str(fact.data["text"]))):
            yield Hit("PKL039", fact, f"{fact.data['key']}: {wrong}")


def evaluated(key: str, text: str) -> str:
    """Return what text under a key does that its library has no use for; empty when it is plain."""
    if key in _COMMANDS:
        found = classify(text)
        if found.kind in HOSTILE:
            return f"{found.kind}: {found.shown}"
        if key == "program_name" and _WORDS.search(text):
            return f"more than the name of a program: {text[:120]}"
    for match in _CALLED.finditer(text):
        name = match[1]
        if danger_of(name) == "dangerous" or ("." not in name and name in _PLAIN | _NATIVE):
            return f"calls {name}: {text[max(0, match.start() - 20) : match.end() + 80]}"
    special = _SPECIAL.search(text)
    return f"reaches {special[0]}: {text[:120]}" if special else ""
