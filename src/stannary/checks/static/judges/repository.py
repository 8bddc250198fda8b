"""A repository as a whole: the code that loading it runs, and the references that leave it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.danger import danger_of
from stannary.checks.static.judges.python_behaviour import behaviour
from stannary.checks.static.judges.python_kinds import SEVERITIES, Place
from stannary.checks.static.judges.word_sets import words
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity, severity_rank
from stannary.formats.interface import Fact

__all__ = ["judge"]

_VERBS = {
    "load": "loading runs",
    "serve": "using the loaded model runs",
    "deploy": "a server that loads it runs",
    "install": "installing it runs",
}


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one folder."""
    how = {str(f.data["file"]): str(f.data["how"]) for f in facts if f.kind == "repo.code"}
    seen: set[tuple[object, ...]] = set()
    for fact in facts:
        for hit in _judge(fact, how):
            key = (hit.rule, hit.message, str(sorted(fact.data.items(), key=str)) if hit.message is None else "")
            if key not in seen:
                seen.add(key)
                yield hit


def _judge(fact: Fact, how: dict[str, str]) -> Iterator[Hit]:
    data = fact.data
    match fact.kind:
        case "repo.call":
            yield from _call(fact, how.get(str(data["file"]), "load"))
        case "repo.reduce":
            if data["callee"] in words("python_process") or data["callee"] in words("python_exec"):
                yield Hit(
                    "REP001",
                    fact,
                    f"{data['file']} line {data['line']}: {data['class']}.__reduce__ calls {data['callee']}",
                    None,
                    "high",
                )
        case "repo.code":
            # Installers and servers run code by design; a model that brings its own does it unasked.
            yield Hit("REP002", fact, None, None, "low" if data["how"] == "load" else "info")
        case "repo.dotted":
            yield from _dotted(fact)
        case "repo.bytecode":
            suspicious = not data["source"] or data.get("unchecked")
            yield Hit("REP008", fact, None, None, "medium" if suspicious else "info")
        case "repo.startup":
            yield Hit("REP006", fact)


def _call(fact: Fact, how: str) -> Iterator[Hit]:
    found = behaviour(fact.data)
    if found is None:
        return
    place: Place = fact.data["place"]
    if place == "load" and how != "load":
        place = "import" if how == "install" else "load"
    severity: Severity = SEVERITIES[found.kind][place]
    if found.kind == "pickle-load" and how == "deploy":
        severity = "low"  # a handler that reads the model it serves
    if severity_rank(severity) >= severity_rank("info"):
        return
    verb = _VERBS["serve" if fact.data["place"] == "serve" else how]
    yield Hit(
        "REP001",
        fact,
        f"{verb} {fact.data['file']} ({fact.data['trigger']}): line {fact.data['line']}: {found.what}",
        None,
        severity,
    )


def _dotted(fact: Fact) -> Iterator[Hit]:
    name = str(fact.data["name"])
    level = danger_of(name)
    if level == "dangerous":
        yield Hit("REP005", fact, None, None, "critical")
    elif level == "unknown":
        yield Hit("REP005", fact, None, None, "medium")
