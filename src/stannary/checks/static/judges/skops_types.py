"""The types, functions and methods that a skops file names, judged by the knowledge about pickles.

skops imports `module.class` of a node and asks the user to trust what it does not know; what the
name is decides here, so that a known estimator is silent and `os.system` is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stannary.checks.static import knowledge
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["judge"]

_BUILTINS = frozenset(
    {"dict", "list", "set", "frozenset", "tuple", "str", "int", "float", "bool", "bytes", "bytearray", "slice", "complex", "type"}
    | {"NoneType", "object", "range", "ellipsis", "map", "defaultdict"}
)
# Nodes whose names are imported and made, or referred to.
_NAMED = frozenset({"ObjectNode", "TypeNode", "FunctionNode", "ConstructorFromReduceNode", "LossNode", "TreeNode", ""})
_GETTERS = frozenset({"attrgetter", "itemgetter"})


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Yield SKP001-SKP006 for the names of one file."""
    for fact in facts:
        if fact.kind in {"skops.node", "skops.function"}:
            yield from _name(fact, fact.data["module"], fact.data["name"])
        elif fact.kind == "skops.operator":
            yield from _operator(fact)
        elif fact.kind == "skops.method":
            yield from _method(fact)


def _name(fact: Fact, module: str, name: str) -> Iterator[Hit]:
    known = knowledge.load()
    loader = fact.data.get("loader", "")
    if module == "builtins" and name in _BUILTINS:
        return
    if loader == "OperatorFuncNode" or (loader not in _NAMED and known.gadget(module, name) is None):
        return  # JsonNode and the containers ignore the name, operators are judged below
    gadget = known.gadget(module, name)
    if gadget is not None:
        yield Hit("SKP001", fact, f"{module}.{name}: {gadget.what}")
    elif known.role(module, name):
        return
    elif not module or known.is_stdlib(module):
        yield Hit("SKP002", fact)
    elif known.is_package(module):
        # A private helper of a known library: named, and no more than that.
        yield Hit("SKP003", fact, severity="info" if name[:1].isupper() or name[:1] == "_" else "low")
    else:
        yield Hit("SKP003", fact)


def _operator(fact: Fact) -> Iterator[Hit]:
    module, name = fact.data["module"], fact.data["name"]
    if module != "operator" or name not in {*_GETTERS, "methodcaller"}:
        yield Hit("SKP004", fact)
    elif name not in _GETTERS:
        yield Hit("SKP004", fact, severity="medium")


def _method(fact: Fact) -> Iterator[Hit]:
    method = fact.data["method"]
    if not fact.data["same"] or method.startswith("_"):
        yield Hit("SKP005", fact)
    else:
        yield Hit("SKP005", fact, severity="info")
