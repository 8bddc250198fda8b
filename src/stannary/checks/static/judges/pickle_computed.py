"""Calls of what a pickle has made itself, and the calls that make code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stannary.checks.static.judges.pickle_made import FUNCTION_MAKERS, is_class, made_by
from stannary.checks.static.judges.pickle_ordinary import ordinary
from stannary.checks.static.judges.pickle_own import bound_method, harmless_partial, lru_problem
from stannary.checks.static.judges.pickle_schema import CODE_MAKERS, DANGEROUS_NAMES, SCHEMAS, code_names
from stannary.checks.static.judges.pickle_shown import canonical, evidence, shown
from stannary.checks.static.knowledge import Knowledge
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["judge_code_maker", "judge_computed"]

# Types that dill and cloudpickle name, by where they are.
_ALIASES = {
    "PartialType": "functools.partial", "ItemGetterType": "operator.itemgetter", "AttrGetterType": "operator.attrgetter",
    "MappingProxyType": "types.MappingProxyType", "GenericAlias": "types.GenericAlias", "SimpleNamespace": "types.SimpleNamespace",
}  # fmt: skip
_CODE_TYPES = frozenset({"CodeType", "FunctionType", "LambdaType"})


def judge_computed(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    """Judge a call of what another call returned."""
    data = fact.data
    root = (canonical(data["module"]), data["name"])
    made = f"{root[0]}.{root[1]}" if root[0] else "something computed"
    called: dict[str, Any] = data["callable"] if isinstance(data.get("callable"), dict) else {}
    if data["how"].startswith("NEWOBJ") and is_class(called):
        yield from _instance(fact, named=root == ("dill._dill", "_create_namedtuple") and "chain" not in called)
        return
    if root == ("dill._dill", "_load_type") or (root[0].startswith("cloudpickle") and root[1] == "_builtin_type"):
        name = called["args"][0] if "chain" not in called and isinstance(called.get("args"), list) and called["args"] else ""
        name = name if isinstance(name, str) else ""
        if name == "MethodType" and bound_method(data["args"], known):
            return
        if name in _CODE_TYPES:
            yield from judge_code_maker(fact)
            return
        if name in {"property", "staticmethod", "classmethod"}:
            wrong = SCHEMAS["builtins", name](data["args"], known)
            if wrong:
                yield Hit("PKL009", fact, f"calls {name}{shown(data['args'])}: {wrong}", evidence(fact, wrong=wrong))
            return
        name = _ALIASES.get(name, f"builtins.{name}")
        role = known.role(*name.rsplit(".", 1))
        if ordinary((name.rpartition(".")[0], name.rpartition(".")[2]), data["args"], known):
            return
        if role in {"k", "s"}:
            owner, _, last = name.partition(".")
            schema = SCHEMAS.get((owner, last))
            wrong = schema(data["args"], known) if schema else ""
            if wrong:
                yield Hit("PKL009", fact, f"calls {name}{shown(data['args'])}: {wrong}", evidence(fact, wrong=wrong))
            return
    if data["how"] != "SETSTATE" and harmless_partial(called, known):
        return
    if root in {("functools", "lru_cache"), ("functools", "cache")} and "chain" not in called and not lru_problem(data["args"]):
        return
    severity: Severity = "high" if root in CODE_MAKERS or known.gadget(*root) or not root[0] else "medium"
    yield Hit("PKL020", fact, f"calls the result of {made}{shown(data['args'])}", evidence(fact), severity)


def _instance(fact: Fact, *, named: bool) -> Iterator[Hit]:
    if not named:  # else a tuple, whose fields have names
        yield Hit("PKL015", fact, "instantiates a class that the pickle itself defines", evidence(fact))


def judge_code_maker(fact: Fact) -> Iterator[Hit]:
    """Bytecode does not run at load; what it names tells what it is for."""
    names = code_names(fact.data.get("strings", fact.data["args"]))
    owner = fact.data["args"][0] if isinstance(fact.data["args"], list) and fact.data["args"] else None
    if fact.data["name"] == "_fill_function" and made_by(owner) not in FUNCTION_MAKERS:
        yield Hit("PKL009", fact, "fills a function that the pickle did not make", evidence(fact, wrong="not its own"))
    if fact.data.get("read"):
        return  # judged by what it does, not by what it names
    danger = sorted((DANGEROUS_NAMES - {"call", "run", "write", "send", "code", "http"}) & set(names))
    if danger:
        yield Hit("PKL030", fact, f"carries code that uses {', '.join(danger[:8])}", evidence(fact, names=names[:40]), "high")
    else:
        yield Hit("PKL030", fact, "carries compiled code", evidence(fact, names=names[:40]))
