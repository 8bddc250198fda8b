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

from stannary.checks.static.judges.pickle_computed import judge_code_maker, judge_computed
from stannary.checks.static.judges.pickle_made import FUNCTION_MAKERS, flat, is_class, made_by
from stannary.checks.static.judges.pickle_ordinary import inert, ordinary, plain_class
from stannary.checks.static.judges.pickle_own import IMPORTERS, imports, keys, reads_class
from stannary.checks.static.judges.pickle_schema import CODE_MAKERS, EXECUTES_SOURCE, SCHEMAS, role_of
from stannary.checks.static.judges.pickle_shapes import worst_shape
from stannary.checks.static.judges.pickle_shown import canonical, evidence, shown
from stannary.checks.static.knowledge import Gadget, Knowledge, load, remember
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
# dill names the built-in it falls back to when it fills or empties a closure's cell.
_DILL_SETATTR = [
    [{"global": owner}, f"_{name}", {"global": f"builtins.{name}"}]
    for owner in ("dill._dill", "dill._shims._dill")
    for name in ("setattr", "delattr")
]
_DILL_NAMES = frozenset(
    {
        ("builtins", "setattr"),
        ("builtins", "delattr"),
        ("dill", "_dill"),
        ("dill._dill", "_delattr"),
        ("dill", "_dill._delattr"),
        ("dill._dill", "_CELL_EMPTY"),
        ("dill", "_dill._setattr"),
        ("dill._shims", "_dill"),
        ("dill._shims", "_dill._setattr"),
    }
)
_MAIN = frozenset({"builtins.__main__", "__builtin__.__main__"})  # dill's name for the module that runs
_CALLABLE = frozenset({"builtins.getattr", "dill._dill._get_attr", "operator.attrgetter", "operator.methodcaller"})
_CONTAINERS = frozenset({"builtins", "collections", "copyreg", "functools", "operator", "_operator", "typing", "torch._tensor"})
_INSTANCES = frozenset({"NEWOBJ", "NEWOBJ_EX", "REDUCE", "OBJ", "INST"})
_SPECIAL = re.compile(r"__\w+__\Z")
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
    calls = [fact.data for fact in facts if fact.kind == "pickle.call"]
    carried = [fact for fact in facts if fact.kind.startswith("pickle.code")]
    fallback = any(call["name"] == "getattr" and call["args"] in _DILL_SETATTR for call in calls)
    classes = {f.data["name"] for f in carried if f.kind == "pickle.code" and f.data["kind"] == "class" and not f.data["broken"]}
    whole = all("read" in call for call in calls if (call["module"], call["name"]) in CODE_MAKERS)
    for fact in facts:
        if (
            fallback
            and fact.kind == "pickle.global"
            and (fact.data["module"], fact.data["name"]) in _DILL_NAMES
            and "call" not in fact.data["uses"]
        ):
            continue
        if fact.kind == "pickle.global":
            if "raw" not in fact.data and _role(canonical(fact.data["module"]), fact.data["name"], known):
                continue  # nearly all of them
            if not inert(fact.data["module"], fact.data["name"], fact.data["uses"], known):
                yield from _judge_global(fact, known)
        elif fact.kind == "pickle.call":
            if not _own_instance(fact, classes, known, whole=whole):
                yield from _judge_call(fact, known)
        elif fact.kind == "pickle.state_code" and not _SCIPY_TEMPLATE.fullmatch(fact.data["text"]):
            owner = f"{fact.data['module']}.{fact.data['name']}"
            what = f"{fact.data['key']}, which it executes" if fact.data["key"] else "a state that is no plain dict"
            yield Hit("PKL032", fact, f"{owner} is given {what}")
    if carried:
        from stannary.checks.static.judges.pickle_code import judge as judge_code  # few pickles carry code

        yield from judge_code(carried, known)


def _own_instance(fact: Fact, classes: set[str], known: Knowledge, *, whole: bool) -> bool:
    """Tell whether a call instantiates a class of the pickle's own that was read: what its methods do is judged with the class."""
    data = fact.data
    if data["how"] not in _INSTANCES or not data["computed"]:
        return False
    read = reads_class(data, classes)
    if data["how"].startswith("NEWOBJ"):
        return read
    return (read or whole) and plain_class(data.get("callable"), known)  # whose constructor runs, too


def ignores_values(module: str, name: str, *, content: bool) -> bool:
    """Tell whether a call is judged without a look at the numbers it is given, nor at byte strings (`content`)."""
    key = (canonical(module), name)
    if key in SCHEMAS or key in CODE_MAKERS or key in EXECUTES_SOURCE:
        return False
    role = _role(*key, load())
    return role in {"k", "r"} or (role == "c" and not content)


def _names(fact: Fact) -> list[tuple[str, str]]:
    """Return the name as a loader resolves it, and as Python 2 would when that differs."""
    found = [(canonical(fact.data["module"]), fact.data["name"])]
    if "raw" in fact.data:
        found.append((fact.data["raw"][0], fact.data["raw"][1]))
    return found


def _role(module: str, name: str, known: Knowledge) -> str:
    """Return the role; attributes of a known class count as references."""
    key = (module, name)
    role = known.resolved.get(key)
    if role is None:
        role = _find_role(module, name, known)
        remember(known.resolved, key, role, len(module) + len(name))
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


def _judge_global(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    module, name = canonical(fact.data["module"]), fact.data["name"]
    if "raw" not in fact.data and _role(module, name, known):
        return
    dotted = f"{module}.{name}"
    uses = fact.data["uses"]
    called = "call" in uses
    held = "held" in fact.data and not called  # by code that was read: what it does with the name is judged there
    gadget = _gadget(fact, known)
    if gadget:
        if not called and not (held and gadget[1].category in {"hook", "file"}):
            severity: Severity = "low" if held else "medium" if gadget[1].category == "hook" else "high"
            yield Hit(
                "PKL010",
                fact,
                f"imports {gadget[0]}, which {gadget[1].what}",
                evidence(fact, category=gadget[1].category),
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
        yield Hit("PKL018", fact, f"reaches the module {name} through {module}", evidence(fact), "high")
    elif "." in name and fact.data["op"] != "getattr" and not all(part[:1].isupper() for part in name.split(".")[:-1]):
        yield Hit("PKL018", fact, f"walks from {module} to {name}", evidence(fact), "high" if known.is_stdlib(module) else "medium")
    elif known.is_stdlib(module):
        if not called and not held:
            yield Hit("PKL012", fact, f"imports {dotted}, which no pickler writes", evidence(fact))
    elif called:
        return  # judged with its arguments
    elif known.is_package(module):
        yield Hit("PKL016", fact, f"{dotted} is not among the names known of {module.partition('.')[0]}", evidence(fact))
    else:
        yield Hit("PKL015", fact, f"nothing is known about {dotted}", evidence(fact))


def _judge_call(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    data = fact.data
    module, name = canonical(data["module"]), data["name"]
    if (module, name) in CODE_MAKERS:
        yield from judge_code_maker(fact)
        return
    if (module, name) in EXECUTES_SOURCE and data["how"] == "REDUCE" and not data["computed"]:
        from stannary.checks.static.judges.pickle_fx import source_problem  # few pickles carry a graph

        problem = source_problem(data.get("source"))
        what = (
            f"calls {module}.{name}, which executes source text: {problem}"
            if problem
            else f"carries source text for {module}.{name}"
        )
        yield Hit("PKL001" if problem else "PKL030", fact, what, evidence(fact, wrong=problem))
        return
    if not data["computed"]:
        yield from _judge_active(fact, known)
    if not data["computed"] and "raw" not in data and _role(module, name, known) in {"k", "r"} and (module, name) not in SCHEMAS:
        return
    if data["computed"]:
        yield from judge_computed(fact, known)
    else:
        yield from _judge_named(fact, known)


def _judge_named(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    """Judge a call of a name that is no reconstructor."""
    data = fact.data
    module, name = canonical(data["module"]), data["name"]
    if ordinary((module, name), data["args"], known):
        return
    role = _role(module, name, known)
    gadget = _gadget(fact, known) if not role or "raw" in data else None
    if gadget and not data["how"].startswith("NEWOBJ"):
        yield Hit(
            _CALLED[gadget[1].category], fact, f"calls {gadget[0]}{shown(data['args'])}, which {gadget[1].what}", evidence(fact)
        )
        return
    role = role or role_of(f"{module}.{name}", known)
    if role in {"k", "r", "f"} and (module, name) in SCHEMAS:
        role = "s"
    if role in {"k", "r"} or (role == "c" and data["how"].startswith("NEWOBJ")):
        return
    if role == "s" and name in IMPORTERS and (grave := imports(data, known)) is not None:
        if grave:
            yield Hit("PKL015", fact, grave, evidence(fact))
        return
    if role == "s":
        schema = SCHEMAS.get((module, name))
        args = data["args"] if isinstance(data["args"], list) else [data["args"]]
        wrong = schema(args, known) if schema else "no pickler calls it"
        if wrong:
            yield Hit("PKL009", fact, f"calls {module}.{name}{shown(data['args'])}: {wrong}", evidence(fact, wrong=wrong))
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
            "PKL017", fact, f"calls {dotted} with what looks like a {shape}: {text[:120]}", evidence(fact, shape=shape), severity
        )
    elif role == "c":
        if shape:
            yield Hit(
                "PKL017",
                fact,
                f"calls {dotted} with what looks like a {shape}: {text[:120]}",
                evidence(fact, shape=shape),
                "medium",
            )
    elif data["how"].startswith("NEWOBJ"):
        return  # the import says that the class is not known
    elif role == "f":
        yield Hit("PKL013", fact, f"calls {dotted}, which real pickles only refer to", evidence(fact))
    elif known.is_stdlib(module):
        yield Hit("PKL011", fact, f"calls {dotted}{shown(data['args'])}, which no pickler writes", evidence(fact))
    elif _NAME_TELLS.search(dotted):
        yield Hit(
            "PKL017", fact, f"calls {dotted}{shown(data['args'])}, whose name tells what it does", evidence(fact, shape="name")
        )
    elif _RECONSTRUCTOR.search(name) or name.rpartition(".")[2][:1].isupper() or name.rpartition(".")[2].lstrip("_")[:1].isupper():
        yield Hit(
            "PKL016" if known.is_package(module) else "PKL015",
            fact,
            f"calls {dotted}, about which nothing is known",
            evidence(fact),
        )
    else:
        yield Hit("PKL014", fact, f"calls the unknown function {dotted}{shown(data['args'])}", evidence(fact))


def _is_flat(args: Any) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether rendered arguments are nothing but numbers and texts."""
    return type(args) is list and not any(type(item) is dict or type(item) is list for item in args)


def _judge_active(fact: Fact, known: Knowledge) -> Iterator[Hit]:
    """Arguments that can be called: a bound method or a function of the pickle's own runs when a constructor calls it."""
    data = fact.data
    module, name = canonical(data["module"]), data["name"]
    if module in _CONTAINERS or (module, name) in SCHEMAS or module.startswith(("cloudpickle", "dill")):
        return
    if data["how"] != "NEWOBJ_EX" and name not in {"SimpleNamespace", "Namespace"} and _is_flat(data["args"]):
        return  # numbers and texts
    if ordinary((module, name), data["args"], known):
        return
    instance = data["how"].startswith("NEWOBJ")
    for item in flat(data["args"], into_classes=False):
        made = made_by(item)
        if made in _CALLABLE or made in FUNCTION_MAKERS or (made == "" and "chain" in item):
            message = f"gives {module}.{name} a function made by {made}"
            yield Hit("PKL009", fact, message, evidence(fact, wrong="a made function"), "medium")
            return
        function = item.get("global", "")
        plain = function and not instance and not is_class(item)
        if plain and _role(module, name, known) == "c" and role_of(function, known) == "f":
            yield Hit("PKL013", fact, f"calls {module}.{name} with the function {function}", evidence(fact))
            return
    if name in {"SimpleNamespace", "Namespace"} or data["how"] == "NEWOBJ_EX":
        special = [key for key in keys(data["args"]) if _SPECIAL.match(key)]
        if special:
            yield Hit("PKL023", fact, f"{module}.{name} is given {', '.join(special[:4])}", evidence(fact, sets=special[:16]))
