"""Python source: a finding for each behaviour, its severity by where the code runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.python_behaviour import Behaviour, behaviour
from stannary.checks.static.judges.python_kinds import RULES, SEVERITIES, Place
from stannary.checks.static.judges.python_outside import is_installed, is_served
from stannary.checks.static.judges.word_sets import words
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity, severity_rank
from stannary.formats.interface import Fact

__all__ = ["judge", "judge_call"]

_TEST = re.compile(r"^(?:test_.*|.*_test|conftest)\.py$")
# What `trust_remote_code` imports is named so; a file of that name is there to be imported by whoever loads the model.
_LOADED = re.compile(r"(?:modeling|configuration|tokenization|processing|image_processing|feature_extraction)_\w+\.py")
_CARRIED = re.compile(r".+\.(?:code|source_code|python_code|function_code|pythonFunction|function_body|content)\.py")
_STARTUP = frozenset({"sitecustomize.py", "usercustomize.py"})
# Methods that a definition, an annotation or a loader calls, and nobody by name.
_IMPLICIT = frozenset({"__class_getitem__", "__init_subclass__", "__set_name__", "__setstate__"})
_GADGET = frozenset({"__subclasses__", "__globals__", "__builtins__"})
_PATHS_TO_GADGET = frozenset({"__bases__", "__mro__", "__base__", "__globals__", "__builtins__"})


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the facts of one file; parts of an archive are judged each by themselves."""
    parts: dict[str, list[Fact]] = {}
    for fact in facts:
        parts.setdefault(fact.part, []).append(fact)
    named = {str(f.data["name"]) for f in facts if f.kind == "python.served"}
    for group in parts.values():
        yield from _part(group, named)


def _part(facts: list[Fact], handlers: set[str]) -> Iterator[Hit]:
    module = next((f.data for f in facts if f.kind == "python.module"), {})
    name, notebook = str(module.get("name", "")), module.get("context") == "notebook"
    if name in handlers:  # the manifest of a TorchServe archive names it, whatever it is called
        name = "handler.py"
    carried = _CARRIED.fullmatch(name) is not None
    inner: dict[int, set[str]] = {}
    bases = {str(f.data["name"]): f.data["bases"] for f in facts if f.kind == "python.class"}
    for fact in facts:
        if fact.kind == "python.call":
            place = place_of(fact, name, bases, notebook=notebook)
            # The functions of a tool that an agent's settings carry are called by the agent, whenever it likes.
            yield from judge_call(fact, "import" if carried and place == "other" and fact.data["scope"] == "function" else place)
        elif fact.kind == "python.class":
            yield from _bound(fact)
        elif fact.kind == "python.reduce":
            callee = fact.data["callee"]
            if callee in words("python_process") or callee in words("python_exec") or callee in {"__import__", "getattr"}:
                # Tests of loaders hold such classes; nothing runs them when a model is loaded.
                yield Hit("SRC020", fact, None, None, "info" if _TEST.search(name) else None)
        elif fact.kind == "python.inner" and isinstance(fact.data.get("line"), int):
            seen = inner.setdefault(fact.data["line"], set())
            seen.add(fact.data["attribute"])
            if seen & _GADGET and "__subclasses__" in seen and seen & _PATHS_TO_GADGET:
                yield Hit("SRC021", fact)


def _bound(fact: Fact) -> Iterator[Hit]:
    """A class one of whose special methods runs programs or code: an index or an attribute is a call that nobody sees."""
    for pair in fact.data["bound"]:
        target = pair.partition(" = ")[2]
        if target in words("python_process") or target in words("python_exec"):
            yield Hit("SRC004", fact, f"line {fact.data['line']}: class {fact.data['name']} has {pair}")


def place_of(fact: Fact, file: str, bases: dict[str, list[str]], *, notebook: bool = False) -> Place:
    """Return where the code of a fact runs, seen from its file alone. `bases`: of the classes of the file."""
    if fact.data.get("scope") == "function":
        function = str(fact.data.get("function", ""))
        if is_served(file, function, bases):
            return "serve"
        return "import" if is_installed(function, bases) or function.rpartition(".")[2] in _IMPLICIT else "other"
    if file in _STARTUP or (_LOADED.fullmatch(file) and fact.data.get("scope") == "import" and not notebook):
        return "load"
    # A notebook's cells run when a person runs them, one by one and on purpose.
    return "other" if notebook or fact.data.get("scope") == "main" else "import"


def judge_call(fact: Fact, place: Place) -> Iterator[Hit]:
    """Yield the finding for one call in one place."""
    found = behaviour(fact.data)
    if found is not None:
        yield hit_of(found, fact, place)


def hit_of(found: Behaviour, fact: Fact, place: Place) -> Hit:
    """Return the finding for a behaviour in a place."""
    severity: Severity = SEVERITIES[found.kind][place]
    nested = fact.data.get("nested") is True
    if nested and found.kind == "process" and severity_rank(severity) > severity_rank("medium"):
        severity = "medium"  # a command hidden in a string of code
    where = {"load": "runs when it is loaded", "serve": "runs when it is used", "import": "runs on import", "other": ""}[place]
    line = fact.data.get("line")
    message = f"line {line}: {found.what}" + (f" ({where})" if where else "")
    return Hit(RULES[found.kind], fact, message, None, severity)
