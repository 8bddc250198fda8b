"""Plain text and notebooks: command lines that fetch and run, active content in outputs, credentials."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.addresses import doubtful_address, hostile_address
from stannary.checks.static.judges.shell import HOSTILE, classify
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["judge"]

_PROSE = (".md", ".rst", ".txt", ".html", ".htm", ".mdx", ".adoc", ".org")
_SCRIPT = (
    ".sh",
    ".bash",
    ".zsh",
    ".command",
    ".bat",
    ".cmd",
    ".ps1",
    "makefile",
    "dockerfile",
    ".mk",
    ".service",
    ".desktop",
    ".vbs",
    ".hta",
    ".reg",
    ".plist",
    ".fish",
    ".pl",
    ".rb",
)
_OWN = (".py", ".ipynb", ".csv", ".tsv", ".jsonl", ".log")
_SMALL = 1 << 17
_RULES = {"settings": "TXT005", "opened": "TXT006", "reach": "TXT007", "workflow": "TXT012"}
_LOADERS = frozenset({"lua", "julia", "r-start-up"})  # languages whose scripts load models
_DOES = {
    "kernel": "runs code in the kernel",
    "secrets": "sends cookies or tokens out",
    "hidden": "hides the script that it runs",
    "metadata": "holds script in a field that viewers and converters put into a page",
}
_PLAIN = frozenset({"metadata", "license", "licence", "notice", "authors", "changelog", "readme", "copying"})


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one text or notebook."""
    small = all(int(fact.data["size"]) <= _SMALL for fact in facts if fact.kind == "text.document")
    for fact in facts:
        if fact.kind == "text.command":
            yield from _command(fact, small=small)
        elif fact.kind == "text.directive":
            yield from _directive(fact)
        elif fact.kind == "text.active" and fact.data["hidden"]:
            yield Hit("TXT004", fact, f"{fact.data['name']}: script that hides what it runs: {fact.data['hidden']}")
        elif fact.kind == "text.active" and doubtful_address(str(fact.data["remote"])):
            yield Hit("TXT004", fact)
        elif fact.kind == "text.orders":
            yield Hit("TXT010", fact)
        elif fact.kind == "notebook.command":
            yield from _cell(fact)
        elif fact.kind == "notebook.output":
            yield from _output(fact)


def _command(fact: Fact, *, small: bool) -> Iterator[Hit]:
    text, name = str(fact.data["command"]), str(fact.data["name"]).lower()
    found = classify(text)
    if found.kind not in HOSTILE:
        return
    severity: Severity = "info"
    if name in _PLAIN:
        return
    if found.kind == "script-host":
        severity = "low" if name.endswith((*_PROSE, ".py")) and not name.endswith((".html", ".htm")) else "medium"
    elif name.endswith(_SCRIPT) or "." not in name or fact.data.get("script"):
        severity = "high" if found.kind in {"reverse-shell", "decode-run"} or doubtful_address(text) else "low"
    elif name.endswith(_PROSE) and found.kind in {"download-run", "decode-run"}:
        # A card that tells its reader to run something from an address no installer uses.
        long_code = re.search(r"[A-Za-z0-9+/=]{40}", text)
        severity = "medium" if doubtful_address(text) or (found.kind == "decode-run" and long_code) else "info"
    elif small and not name.endswith(_OWN) and (doubtful_address(text) or found.kind == "web-shell"):
        # Which key or hook a tool runs is beyond counting; data sets of texts are larger than settings and scripts.
        severity = "medium"
    elif name.endswith(".py") and found.kind in {"download-run", "reverse-shell"} and doubtful_address(found.shown):
        severity = "low"  # handed to whatever runs it, in a way that was not followed; tests and rules hold such words too
    elif not name.endswith((*_PROSE, ".py", ".ipynb", ".json", ".yaml", ".yml", ".toml", ".cfg", ".csv", ".jsonl")):
        severity = "low" if found.kind in {"reverse-shell", "decode-run"} else "info"
    yield Hit("TXT001", fact, f"line {fact.data['line']}: {found.kind}: {found.shown}", None, severity)


def _directive(fact: Fact) -> Iterator[Hit]:
    group, value = str(fact.data["group"]), str(fact.data["value"])
    if group == "source":
        if doubtful_address(value.replace("\\", "")) or fact.data["id"] == "module-by-address":
            yield Hit("DEP003", fact, f"line {fact.data['line']}: packages come from {value[:160]}")
    elif group == "base":
        yield from _base(fact, value)
    elif group == "unguarded":
        yield Hit("TXT011", fact, None, None, "low" if fact.data["id"] == "open-if-reached" else "medium")
    elif group != "script":
        yield Hit(_RULES[group], fact)
    else:
        found = classify(value)
        if found.kind in HOSTILE or doubtful_address(value):
            yield Hit("TXT008", fact, None, None, "high" if found.kind in HOSTILE else "medium")
        elif found.kind == "other":  # build files start programs of their own; what reads a model has no need to
            yield Hit("TXT008", fact, None, None, "medium" if fact.data["id"] in _LOADERS else "info")


def _base(fact: Fact, value: str) -> Iterator[Hit]:
    """Judge where a configuration takes another, or a checkpoint, from: the sites of the frameworks are addresses, too."""
    if fact.data["id"] == "checkpoint-by-address":
        if hostile_address(value):
            yield Hit("CFG007", fact, f"line {fact.data['line']}: unpickles a checkpoint from {value[:160]}")
    elif value.partition("?")[0].endswith(".py") or not value.startswith("https://") or doubtful_address(value):
        yield Hit("CFG007", fact)
    else:
        yield Hit("CFG007", fact, None, None, "low")


def _output(fact: Fact) -> Iterator[Hit]:
    remote, does = fact.data["remote"], str(fact.data["does"])
    if does:
        what = _DOES[does]
        place = "metadata" if fact.data["mime"] == "metadata" else f"cell {fact.data['cell']}"
        severity: Severity = "medium" if does == "metadata" else "high"
        yield Hit("NBK003", fact, f"{place}: {what}: {str(fact.data['text'])[:120]}", None, severity)
    elif remote:
        yield Hit("NBK002", fact, None, None, "medium" if doubtful_address(str(remote)) else "info")


def _cell(fact: Fact) -> Iterator[Hit]:
    command = str(fact.data["command"])
    found = classify(command)
    if fact.data["magic"] == "load" and doubtful_address(command):
        yield Hit("NBK001", fact, f"cell {fact.data['cell']}: takes its code from an address: {command[:160]}", None, "medium")
    elif found.kind in HOSTILE:
        yield Hit(
            "NBK001",
            fact,
            f"cell {fact.data['cell']}: {found.kind}: {found.shown}",
            None,
            "high" if found.kind != "persist" else "medium",
        )
