"""What a pickle imports and calls, judged by knowledge first, by known gadgets, then by arguments.

In this order, for every import and every call:
1. a name that real libraries put into pickles (knowledge) is fine in its role;
2. a known gadget is dangerous whatever it is given;
3. anything else of the standard library has no business in a pickle;
4. anything else of a library we know is unverified, and suspicious when called;
5. a name nobody knows is unverified, and suspicious when it is called with, or built from,
   something that looks like a command, code, a URL, a path or another pickle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from stannary.checks.static.judges.pickle_fx import EXECUTES_SOURCE, source_problem
from stannary.checks.static.judges.pickle_own import (
    IMPORTERS,
    bound_method,
    flat,
    harmless_partial,
    imports,
    keys,
    lru_problem,
    reads_class,
)
from stannary.checks.static.judges.pickle_schema import (
    CODE_MAKERS,
    DANGEROUS_NAMES,
    FUNCTION_MAKERS,
    SCHEMAS,
    code_names,
    is_class,
    made_by,
    role_of,
    sets_own_name,
)
from stannary.checks.static.judges.pickle_shapes import worst_shape
from stannary.checks.static.knowledge import Gadget, Knowledge, load
from stannary.checks.static.ruleset import Hit
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["ignores_values", "judge"]

_CALLED = {
    "exec": "PKL001",
    "import": "PKL002",
    "load": "PKL003",
    "native": "PKL004",
    "file": "PKL005",
    "net": "PKL006",
    "hook": "PKL007",
}
_RECONSTRUCTOR = re.compile(
    r"(?:^|\.)_{0,2}(?:pyx_unpickle|unpickle|reconstruct|rebuild|restore|recreate|from_state|setstate|newobj|make_skel|from_pickle|load_state)"
)
# dill names the built-in it falls back to when it fills a closure's cell.
_DILL_SETATTR = [[{"global": owner}, "_setattr", {"global": "builtins.setattr"}] for owner in ("dill._dill", "dill._shims._dill")]
_DILL_NAMES = frozenset(
    {
        ("builtins", "setattr"),
        ("dill", "_dill"),
        ("dill", "_dill._setattr"),
        ("dill._shims", "_dill"),
        ("dill._shims", "_dill._setattr"),
    }
)
_MAIN = frozenset({"builtins.__main__", "__builtin__.__main__"})  # dill's name for the module that runs
_CODE_TYPES = frozenset({"CodeType", "FunctionType", "LambdaType"})
_CALLABLE = frozenset({"builtins.getattr", "dill._dill._get_attr", "operator.attrgetter", "operator.methodcaller"})
_CONTAINERS = frozenset({"builtins", "collections", "copyreg", "functools", "operator", "_operator", "typing", "torch._tensor"})
_SPECIAL = re.compile(r"__\w+__\Z")
_VENDORED = re.compile(r"^[\w.]+\.cloudpickle\.(?=cloudpickle)")
# scipy.stats' own template of argument parsers: definitions that return their arguments, nothing else.
_SCIPY_TEMPLATE = re.compile(
    r"(?:\s*def _parse_args(?:_rvs|_stats)?\(self,[\w\s,=.']*\):\s*return (?:\([\w\s,]*\)|self\._argcheck_rvs\()[\w\s,=.'()]*)+\s*"
)
_NAME_TELLS = re.compile(
    r"popen|shell|repl\b|REPL|(?i:(?<![a-z])exec(?:ute|_|\b)|(?<![a-z])eval(?:_|\b|[A-Z(])|subprocess|command|spawn|terminal|(?<![a-z])system\b|interpreter"
    r"|sandbox|run_?(?:code|cmd|script|python)|download|urlopen|template\b)"
)


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the pickle facts of one file. Rules without a judge match by data alone."""
    known = load()
    fallback = any(f.kind == "pickle.call" and f.data["name"] == "getattr" and f.data["args"] in _DILL_SETATTR for f in facts)
    classes = {f.data["name"] for f in facts if f.kind == "pickle.code" and f.data["kind"] == "class"}
    for fact in facts:
        if (
            fallback
            and fact.kind == "pickle.global"
            and (fact.data["module"], fact.data["name"]) in _DILL_NAMES
            and "call" not in fact.data["uses"]
        ):
            continue
        if fact.kind == "pickle.global":
            yield from _judge_global(fact, known)
        elif fact.kind == "pickle.call":
            if not (fact.data["how"].startswith("NEWOBJ") and fact.data["computed"] and reads_class(fact.data, classes)):
                yield from _judge_call(fact, known)
        elif fact.kind == "pickle.state_code" and not _SCIPY_TEMPLATE.fullmatch(fact.data["text"]):
            owner = f"{fact.data['module']}.{fact.data['name']}"
            what = f"{fact.data['key']}, which it executes" if fact.data["key"] else "a state that is no plain dict"
            yield Hit("PKL032", fact, f"{owner} is given {what}")
    carried = [fact for fact in facts if fact.kind.startswith("pickle.code")]
    if carried:
        from stannary.checks.static.judges.pickle_code import judge as judge_code  # few pickles carry code

        yield from judge_code(carried, known)


def ignores_values(module: str, name: str, *, content: bool) -> bool:
    """Tell whether a call is judged without a look at the numbers it is given, nor at byte strings (`content`)."""
    key = (_canonical(module), name)
    if key in SCHEMAS or key in CODE_MAKERS or key in EXECUTES_SOURCE:
        return False
    role = _role(*key, load())
    return role in {"k", "r"} or (role == "c" and not content)


def _names(fact: Fact) -> list[tuple[str, str]]:
    """Return the name as a loader resolves it, and as Python 2 would when that differs."""
    found = [(_canonical(fact.data["module"]), fact.data["name"])]
    if "raw" in fact.data:
        found.append((fact.data["raw"][0], fact.data["raw"][1]))
    return found


def _canonical(module: str) -> str:
    """Return a vendored cloudpickle's module as the original's."""
    return _VENDORED.sub("cloudpickle.", module) if module.endswith((".cloudpickle", ".cloudpickle_fast")) else module


def _role(module: str, name: str, known: Knowledge) -> str:
    """Return the role; attributes of a known class count as references."""
    key = (module, name)
    role = known.resolved.get(key)
    if role is None:
        role = known.resolved[key] = _find_role(module, name, known)
    return role


def _find_role(module: str, name: str, known: Knowledge) -> str:
    if name.endswith("._unpickle_model") and module.startswith("keras."):
        return "r"  # given the bytes of a .keras archive, which are read as one
    if module == "__torch__" or module.startswith("__torch__."):
        return "c"  # TorchScript classes: no Python module has the name, their code is in the archive and read there
    role = known.role(module, name) or ("s" if (module, name) in SCHEMAS else "")
    if not role and "." in name and not any(part.startswith("__") for part in name.split(".")):
        owner = known.role(module, name.rpartition(".")[0])
        return "f" if owner in {"c", "k"} else ""
    return role


def _gadget(fact: Fact, known: Knowledge) -> tuple[str, Gadget] | None:
    for module, name in _names(fact):
        if not _role(module, name, known) and (gadget := known.gadget(module, name)):
            return f"{module}.{name}", gadget
    return None


def _evidence(fact: Fact, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    shown = {"global": f"{fact.data['module']}.{fact.data['name']}"}
    return {**shown, **{k: fact.data[k] for k in ("how", "uses", "args", "raw") if k in fact.data}, **more}


def _judge_global(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    module, name = _canonical(fact.data["module"]), fact.data["name"]
    if "raw" not in fact.data and _role(module, name, known):
        return
    dotted = f"{module}.{name}"
    uses = fact.data["uses"]
    called = "call" in uses
    gadget = _gadget(fact, known)
    if gadget:
        if not called:
            severity: Severity = "medium" if gadget[1].category == "hook" else "high"
            yield Hit(
                "PKL010",
                fact,
                f"imports {gadget[0]}, which {gadget[1].what}",
                _evidence(fact, category=gadget[1].category),
                severity,
            )
        return
    if _role(module, name, known) or (dotted in _MAIN and not called):
        return
    if fact.data["op"] == "getattr" and (known.known_module(dotted) or role_of(dotted, known) or known.parent_module(dotted)):
        return
    if name in {"os", "sys", "subprocess", "builtins"} or (
        known.is_stdlib(name) and name.islower() and not known.is_stdlib(module)
    ):
        yield Hit("PKL018", fact, f"reaches the module {name} through {module}", _evidence(fact), "high")
    elif "." in name and fact.data["op"] != "getattr" and not all(part[:1].isupper() for part in name.split(".")[:-1]):
        yield Hit(
            "PKL018", fact, f"walks from {module} to {name}", _evidence(fact), "high" if known.is_stdlib(module) else "medium"
        )
    elif known.is_stdlib(module):
        if not called:
            yield Hit("PKL012", fact, f"imports {dotted}, which no pickler writes", _evidence(fact))
    elif called:
        return  # judged with its arguments
    elif known.is_package(module):
        yield Hit("PKL016", fact, f"{dotted} is not among the names known of {module.partition('.')[0]}", _evidence(fact))
    else:
        yield Hit("PKL015", fact, f"nothing is known about {dotted}", _evidence(fact))


def _judge_call(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    data = fact.data
    module, name = _canonical(data["module"]), data["name"]
    if (module, name) in CODE_MAKERS:
        yield from _judge_code(fact)
        return
    if (module, name) in EXECUTES_SOURCE and data["how"] == "REDUCE" and not data["computed"]:
        problem = source_problem(data.get("source"))
        what = (
            f"calls {module}.{name}, which executes source text: {problem}"
            if problem
            else f"carries source text for {module}.{name}"
        )
        yield Hit("PKL001" if problem else "PKL030", fact, what, _evidence(fact, wrong=problem))
        return
    if not data["computed"]:
        yield from _judge_active(fact, known)
    if not data["computed"] and "raw" not in data and _role(module, name, known) in {"k", "r"} and (module, name) not in SCHEMAS:
        return
    if data["computed"]:
        yield from _judge_computed(fact, known)
    else:
        yield from _judge_named(fact, known)


def _judge_named(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    """Judge a call of a name that is no reconstructor."""
    data = fact.data
    module, name = _canonical(data["module"]), data["name"]
    if (module, name) == ("builtins", "setattr") and sets_own_name(data["args"]):
        return
    gadget = _gadget(fact, known)
    if gadget and not data["how"].startswith("NEWOBJ"):
        yield Hit(
            _CALLED[gadget[1].category], fact, f"calls {gadget[0]}{_shown(data['args'])}, which {gadget[1].what}", _evidence(fact)
        )
        return
    role = _role(module, name, known) or role_of(f"{module}.{name}", known)
    if role in {"k", "r", "f"} and (module, name) in SCHEMAS:
        role = "s"
    if role in {"k", "r"} or (role == "c" and data["how"].startswith("NEWOBJ")):
        return
    if role == "s" and name in IMPORTERS and (grave := imports(data, known)) is not None:
        if grave:
            yield Hit("PKL015", fact, grave, _evidence(fact))
        return
    if role == "s":
        schema = SCHEMAS.get((module, name))
        args = data["args"] if isinstance(data["args"], list) else [data["args"]]
        wrong = schema(args, known) if schema else "no pickler calls it"
        if wrong:
            yield Hit("PKL009", fact, f"calls {module}.{name}{_shown(data['args'])}: {wrong}", _evidence(fact, wrong=wrong))
        return
    yield from _judge_unknown(fact, role, known)


def _judge_unknown(fact: Fact, role: str, known: Knowledge) -> Iterator[Hit]:
    data = fact.data
    module, name = data["module"], data["name"]
    dotted = f"{module}.{name}"
    shape, text = worst_shape(data["args"])
    if shape and role != "c":
        severity: Severity = "high" if shape in {"shell", "code", "pickle"} else "medium"
        yield Hit(
            "PKL017", fact, f"calls {dotted} with what looks like a {shape}: {text[:120]}", _evidence(fact, shape=shape), severity
        )
    elif role == "c":
        if shape:
            yield Hit(
                "PKL017",
                fact,
                f"calls {dotted} with what looks like a {shape}: {text[:120]}",
                _evidence(fact, shape=shape),
                "medium",
            )
    elif data["how"].startswith("NEWOBJ"):
        return  # the import says that the class is not known
    elif role == "f":
        yield Hit("PKL013", fact, f"calls {dotted}, which real pickles only refer to", _evidence(fact))
    elif known.is_stdlib(module):
        yield Hit("PKL011", fact, f"calls {dotted}{_shown(data['args'])}, which no pickler writes", _evidence(fact))
    elif _NAME_TELLS.search(dotted):
        yield Hit(
            "PKL017", fact, f"calls {dotted}{_shown(data['args'])}, whose name tells what it does", _evidence(fact, shape="name")
        )
    elif _RECONSTRUCTOR.search(name) or name.rpartition(".")[2][:1].isupper() or name.rpartition(".")[2].lstrip("_")[:1].isupper():
        yield Hit(
            "PKL016" if known.is_package(module) else "PKL015",
            fact,
            f"calls {dotted}, about which nothing is known",
            _evidence(fact),
        )
    else:
        yield Hit("PKL014", fact, f"calls the unknown function {dotted}{_shown(data['args'])}", _evidence(fact))


def _judge_computed(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    data = fact.data
    root = (_canonical(data["module"]), data["name"])
    made = f"{root[0]}.{root[1]}" if root[0] else "something computed"
    called: dict[str, Any] = data["callable"] if isinstance(data.get("callable"), dict) else {}
    if data["how"].startswith("NEWOBJ") and is_class(called):
        yield Hit("PKL015", fact, "instantiates a class that the pickle itself defines", _evidence(fact))
        return
    if root == ("dill._dill", "_load_type") or (root[0].startswith("cloudpickle") and root[1] == "_builtin_type"):
        name = called["args"][0] if "chain" not in called and isinstance(called.get("args"), list) and called["args"] else ""
        name = name if isinstance(name, str) else ""
        if name == "MethodType" and bound_method(data["args"], known):
            return
        if name in _CODE_TYPES:
            yield from _judge_code(fact)
            return
        if name in {"property", "staticmethod", "classmethod"}:
            wrong = SCHEMAS["builtins", name](data["args"], known)
            if wrong:
                yield Hit("PKL009", fact, f"calls {name}{_shown(data['args'])}: {wrong}", _evidence(fact, wrong=wrong))
            return
        name, role = ("functools.partial", "s") if name == "PartialType" else (f"builtins.{name}", known.role("builtins", name))
        if role in {"k", "s"}:
            owner, _, last = name.partition(".")
            schema = SCHEMAS.get((owner, last))
            wrong = schema(data["args"], known) if schema else ""
            if wrong:
                yield Hit("PKL009", fact, f"calls {name}{_shown(data['args'])}: {wrong}", _evidence(fact, wrong=wrong))
            return
    if data["how"] != "SETSTATE" and harmless_partial(called, known):
        return
    if root in {("functools", "lru_cache"), ("functools", "cache")} and "chain" not in called and not lru_problem(data["args"]):
        return
    severity: Severity = "high" if root in CODE_MAKERS or known.gadget(*root) or not root[0] else "medium"
    yield Hit("PKL020", fact, f"calls the result of {made}{_shown(data['args'])}", _evidence(fact), severity)


def _judge_active(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    """Arguments that can be called: a bound method or a function of the pickle's own runs when a constructor calls it."""
    data = fact.data
    module, name = _canonical(data["module"]), data["name"]
    if module.startswith(("cloudpickle", "dill")) or module in _CONTAINERS or (module, name) in SCHEMAS:
        return
    instance = data["how"].startswith("NEWOBJ")
    for item in flat(data["args"]):
        made = made_by(item)
        if made in _CALLABLE or made in FUNCTION_MAKERS or (made == "" and "chain" in item):
            message = f"gives {module}.{name} a function made by {made}"
            yield Hit("PKL009", fact, message, _evidence(fact, wrong="a made function"), "medium")
            return
        function = item.get("global", "")
        plain = function and not instance and not is_class(item)
        if plain and _role(module, name, known) == "c" and role_of(function, known) == "f":
            yield Hit("PKL013", fact, f"calls {module}.{name} with the function {function}", _evidence(fact))
            return
    if name in {"SimpleNamespace", "Namespace"} or data["how"] == "NEWOBJ_EX":
        special = [key for key in keys(data["args"]) if _SPECIAL.match(key)]
        if special:
            yield Hit("PKL023", fact, f"{module}.{name} is given {', '.join(special[:4])}", _evidence(fact, sets=special[:16]))


def _judge_code(fact: Fact) -> Iterator[Hit]:
    """Bytecode does not run at load; what it names tells what it is for."""
    names = code_names(fact.data.get("strings", fact.data["args"]))
    owner = fact.data["args"][0] if isinstance(fact.data["args"], list) and fact.data["args"] else None
    if fact.data["name"] == "_fill_function" and made_by(owner) not in FUNCTION_MAKERS:
        yield Hit("PKL009", fact, "fills a function that the pickle did not make", _evidence(fact, wrong="not its own"))
    if fact.data.get("read"):
        return  # judged by what it does, not by what it names
    danger = sorted((DANGEROUS_NAMES - {"call", "run", "write", "send", "code", "http"}) & set(names))
    if danger:
        yield Hit("PKL030", fact, f"carries code that uses {', '.join(danger[:8])}", _evidence(fact, names=names[:40]), "high")
    else:
        yield Hit("PKL030", fact, "carries compiled code", _evidence(fact, names=names[:40]))


def _shown(args: Any) -> str:  # noqa: ANN401 - rendered JSON
    """Return the arguments for a message, short."""
    items = args if isinstance(args, list) else [args]
    shown = ", ".join(_one(item) for item in items[:4])
    return f"({shown}{', …' if len(items) > 4 else ''})"[:180]  # noqa: PLR2004 - a message


def _one(item: Any) -> str:  # noqa: ANN401 - rendered JSON
    if isinstance(item, dict):
        for key in ("global", "call", "object"):
            if key in item:
                return str(item[key]) + ("(…)" if key != "global" else "")
        return "…"
    if isinstance(item, list):
        return f"({', '.join(_one(i) for i in item[:3])}{', …' if len(item) > 3 else ''})"  # noqa: PLR2004 - a message
    return repr(item)[:100]
