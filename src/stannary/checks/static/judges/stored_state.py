"""What pickled dictionaries and configurations tell a library to import, to evaluate or to run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.addresses import doubtful_address
from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.shell import HOSTILE, classify
from stannary.checks.static.judges.word_sets import contains_any
from stannary.checks.static.knowledge import load
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
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
_INTERPRETED = re.compile(
    r"^\s*(?:\S*[/\\])?(?:(?:ba|z|da|k)?sh\s+-\w*c\b|cmd(?:\.exe)?\s+/[ck]\b|(?:powershell|pwsh)(?:\.exe)?\s+-\w+|(?:python[\d.]*|perl|ruby|node)\s+-\w*[ecr]\b)"
    r"|^\s*rm\s+-\w*[rf]",
    re.IGNORECASE,
)
_SOURCE = re.compile(
    r"__import__\s*\(|\b(?:os|posix|nt)\.(?:system|popen|exec[lv]\w*|spawn\w*)\s*\(|\bsubprocess\.\w+\s*\(|\b(?:pickle|marshal)\.loads?\s*\("
    r"|\bimport\s+(?:os|subprocess|socket|pty|ctypes)\b|__(?:subclasses|globals|builtins)__"
)
_ELSEWHERE = re.compile(
    r"(?:(?:\.\./){2,}\S*\.(?:py|so|sh|dll|exe)|(?:\./|/tmp/|/dev/shm/)\S*\.(?:so|dll|exe|sh|ps1|bat)|https?://\S+\.(?:sh|ps1|exe|bat|dll|so|vbs))",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
_MACHINE = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://(?:[^/@\s]{1,80}@)?)?(\d{1,3}(?:\.\d{1,3}){3})(?:[:/]\S*)?$", re.IGNORECASE)
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
        elif fact.kind == "state.told":
            yield from _told(fact)


def _told(fact: Fact) -> Iterator[Hit]:
    """A class that nobody knows, whose state is a command, code, or a place that no model needs."""
    known = load()
    module, name, text = (str(fact.data[key]) for key in ("module", "name", "text"))
    if known.role(module, name) or known.is_stdlib(module):
        return
    found = classify(text)
    severity: Severity | None = "high" if found.kind in HOSTILE else None
    what = found.kind if severity else ""
    if not what and _INTERPRETED.search(text):
        what = "a command"
    elif not what and (match := _SOURCE.search(text)):
        what = f"code that reaches {match[0]}"
    elif not what and " " not in text and (place := contains_any(text, "startup_paths") or contains_any(text, "secret_paths")):
        what = f"the path of {place}"
    elif not what and (doubtful_address(text.replace("http://", "https://")) or text.startswith("\\\\")):
        what = "an address that no model needs"
    elif not what and (machine := _MACHINE.match(text)) and is_public(machine[1]):
        what = "the number of a machine"
    elif not what and _ELSEWHERE.fullmatch(text):
        what = "a program that is elsewhere"
    elif not what and _NAME.fullmatch(text) and danger_of(text) == "dangerous":
        what = "the name of a function that runs things"
    if what:
        yield Hit("PKL040", fact, f"{module}.{name} is told {what}: {text[:120]}", None, severity)


def is_public(number: str) -> bool:
    """Tell whether the number of a machine is of no network of one's own, and no version such as 1.26.4.0."""
    parts = [int(part) for part in number.split(".")]
    if max(parts) > 255 or parts[0] < 20:  # noqa: PLR2004 - a byte; versions begin with a small number
        return False
    own = parts[0] == 127 or parts[:2] in ([192, 168], [169, 254]) or (parts[0] == 172 and 16 <= parts[1] < 32)  # noqa: PLR2004 - RFC 1918
    return not own and parts[0] < 224  # noqa: PLR2004 - multicast


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
