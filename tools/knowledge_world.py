"""Join the summaries of many distributions and answer: what would this class or function do?

A `World` is one version of one distribution, with the newest versions of all others behind it.
Danger is propagated backwards over the call graph from the sinks; a class is looked at through
its own method resolution order, since a subclass may override what an inherited method calls.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

__all__ = ["ENTRY", "Verdict", "World"]

# What runs when an unpickler makes, fills, compares or drops an instance.
ENTRY = ("__new__", "__setstate__", "__setattr__", "__getattr__", "__getattribute__", "__del__", "__hash__", "__eq__",
"append", "extend",
         "add", "__setitem__", "__setstate_cython__")  # fmt: skip
CONSTRUCT = ("__new__", "__init__", "__post_init__", "__init_subclass__", "_missing_")
SAFE_BASES = frozenset(
    [
        "ABC",
        "argparse.Action",
        "object",
        "dict",
        "list",
        "tuple",
        "set",
        "frozenset",
        "str",
        "int",
        "float",
        "complex",
        "bytes",
        "bytearray",
        "bool",
        "property",
        "type.object",
        "abc.ABC",
        "enum.Enum",
        "enum.IntEnum",
        "enum.Flag",
        "enum.IntFlag",
        "enum.StrEnum",
        "aenum.Enum",
        "typing.Generic",
        "typing.NamedTuple",
        "typing.Protocol",
        "typing.TypedDict",
        "typing_extensions.TypedDict",
        "typing_extensions.Protocol",
        "typing_extensions.NamedTuple",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "collections.UserDict",
        "collections.UserList",
        "collections.UserString",
        "collections.deque",
        "collections.ChainMap",
        "collections.abc.Mapping",
        "collections.abc.MutableMapping",
        "collections.abc.Sequence",
        "collections.abc.MutableSequence",
        "collections.abc.Set",
        "collections.abc.MutableSet",
        "collections.abc.Hashable",
        "collections.abc.Iterable",
        "collections.abc.Iterator",
        "collections.abc.Callable",
        "collections.abc.Sized",
        "collections.abc.Container",
        "collections.abc.Collection",
        "collections.abc.Generator",
        "collections.Mapping",
        "collections.MutableMapping",
        "collections.Sequence",
        "collections.MutableSequence",
        "collections.Iterable",
        "collections.Iterator",
        "collections.MutableSet",
        "collections.Set",
        "collections.Callable",
        "collections.Sized",
        "typing.Mapping",
        "typing.MutableMapping",
        "typing.Sequence",
        "typing.Dict",
        "typing.List",
        "typing.Tuple",
        "typing.Iterable",
        "typing.Iterator",
        "typing.Callable",
        "typing.Hashable",
        "typing.Container",
        "typing.Sized",
        "typing.OrderedDict",
        "typing.DefaultDict",
        "typing.MutableSequence",
        "typing.Set",
        "typing.SupportsFloat",
        "typing.Collection",
        "typing.ContextManager",
        "contextlib.ContextDecorator",
        "contextlib.AbstractContextManager",
        "contextlib.ExitStack",
        "numbers.Number",
        "numbers.Real",
        "numbers.Integral",
        "numbers.Complex",
        "numbers.Rational",
        "datetime.datetime",
        "datetime.date",
        "datetime.tzinfo",
        "datetime.timedelta",
        "datetime.time",
        "decimal.Decimal",
        "fractions.Fraction",
        "json.JSONEncoder",
        "string.Formatter",
        "string.Template",
        "argparse.Namespace",
        "types.SimpleNamespace",
        "random.Random",
        "threading.local",
        "logging.Filter",
        "logging.Formatter",
        "fractions.Fraction",
        "functools.partial",
    ]
)
ENUMS = {"enum.Enum", "enum.IntEnum", "enum.Flag", "enum.IntFlag", "enum.StrEnum"}
# Compiled modules and generated bases whose classes hold numbers and tables only.
NATIVE_BASES = ("torch._C.", "torch.", "numpy.", "pandas.", "sklearn.", "scipy.", "statsmodels.", "spacy.", "thinc.", "cymem.",
"preshed.",
                "sktime.", "skbase.", "keras.", "tensorflow.python.trackable", "tensorflow.python.module", "traitlets.",
                "transformers.utils.dummy",
                "lightning_utilities.", "lightning.", "catboost._catboost.", "builtins.object", "__builtin__.object",
                "huggingface_hub.PyTorchModelHubMixin", "huggingface_hub.ModelHubMixin", "jsonargparse.", "sympy.", "pyro.",
                "numba.", "pydantic.", "pydantic_core.", "dataclasses_json.", "attr.", "mashumaro.",
                "autogluon.", "lightning_fabric.", "tensorflow.", "keras_core.", "pl_bolts.", "gpytorch.", "einops.",
                "ignite.", "confection.", "catalogue.",
                "omegaconf.", "optree.", "mpmath.", "skopt.", "gymnasium.", "gym.", "torchvision.", "torch_geometric.", "six.",
                "future.", "dateutil.",
                "sortedcontainers.", "bunch.", "munch.", "fvcore.", "asteroid_filterbanks.", "torch_audiomentations.",
                "pyannote.", "pytz.", "huggingface_hub.utils")  # fmt: skip
Node = str
# Functions that were read and do no harm: they import a fixed list of optional packages, run a fixed template, or warn.
CLEARED = re.compile(
    r"(\._is_package_available|\.array_function_dispatch|core\.records\.array|import_utils\.\w+|\._is_of_known_loaded_module"
    r"|xgboost\.core\.(Booster|Booster:__init__|c_str|from_pystr_to_cstr|py_str)|lightgbm\.basic\.(Booster|c_str)"
    r"|\.is_pydata_spmatrix|deprecat\w*|\.list_physical_devices|rank_zero_\w+|\._astype_copy_false|CloudPickler:__init__|CloudPickler|ThreadpoolController\w*(:\w+)?|import_optional_dependency|MapWrapper(:__init__)?|TMonitor(:__init__)?|\.requires_backends|\.is_\w+_available)$"
)
# Sinks that matter however far away; the others are followed over three calls.
STRONG = re.compile(
    r"^(eval|exec|compile|subprocess|os\.(system|popen|exec|spawn)|pickle|marshal|dill|cloudpickle|joblib\.load|torch\.load|numpy\.load|types\.FunctionType|importlib|__import__|yaml)"
)
HOPS = 3


class Verdict:
    """What is known of one class or function: `reasons` is empty when nothing speaks against it."""

    __slots__ = ("enum", "named", "reasons", "reduces")

    def __init__(self) -> None:
        self.reasons: set[str] = set()
        self.enum = False
        self.named = False
        self.reduces: set[str] = set()


class World:
    """The modules of one distribution version (`own`), with those of all others (`rest`) behind."""

    def __init__(self, own: dict[str, Any], rest: World | None = None) -> None:
        self.own = own
        self.rest = rest
        self._mro: dict[str, tuple[list[tuple[str, str, Any]], list[str]]] = {}
        self._found: dict[str, tuple[str, str, str, Any] | None] = {}
        self.danger: dict[Node, set[str]] = {}
        self._bare: dict[str, dict[str, list[tuple[str, str, str, Any]]]] = {}
        self._propagate()

    def module(self, name: str) -> Any:  # noqa: ANN401 - a summary
        """Return the summary of a module, None when it was not read."""
        return self.own.get(name) or (self.rest.own.get(name) if self.rest else None)

    def find(self, name: str, depth: int = 0) -> tuple[str, str, str, Any] | None:
        """Return (kind, module, qualname, summary) of a dotted global name, following re-exports."""
        if name in self._found:
            return self._found[name]
        self._found[name] = result = None  # re-exports in a circle find nothing
        if depth < 8:  # noqa: PLR2004 - re-exports are no deeper
            parts = name.split(".")
            for cut in range(len(parts) - 1, 0, -1):
                module = ".".join(parts[:cut])
                summary = self.module(module)
                if summary is not None:
                    result = self._in_module(module, summary, parts[cut:], depth)
                    break
        self._found[name] = result
        return result

    def _in_module(self, module: str, summary: Any, rest: list[str], depth: int) -> tuple[str, str, str, Any] | None:  # noqa: ANN401
        qualname = ".".join(rest)
        if qualname in summary["classes"]:
            return "class", module, qualname, summary["classes"][qualname]
        if qualname in summary["functions"]:
            return "function", module, qualname, summary["functions"][qualname]
        target = summary["imports"].get(rest[0])
        if target is not None:
            return self.find(".".join([target, *rest[1:]]), depth + 1)
        for key, base in summary["imports"].items():
            if key[0] == "*" and base != module:
                found = self.find(".".join([base, *rest]), depth + 1)
                if found:
                    return found
        return None

    def _named(self, module: str, base: str) -> tuple[str, str, str, Any] | None:
        """Return the only class of the same package that has this bare name (star imports in circles)."""
        if "." in base or base in SAFE_BASES:
            return None
        top = module.partition(".")[0]
        if top not in self._bare:
            index: dict[str, list[tuple[str, str, str, Any]]] = defaultdict(list)
            for name, summary in self.own.items():
                if name.partition(".")[0] == top:
                    for qualname, cls in summary["classes"].items():
                        index[qualname].append(("class", name, qualname, cls))
            self._bare[top] = index
        found = self._bare[top].get(base, [])
        return found[0] if len(found) == 1 and found[0][1] != module else None

    def mro(self, module: str, qualname: str) -> tuple[list[tuple[str, str, Any]], list[str]]:
        """Return the known classes of a class's resolution order (depth first) and its outer bases."""
        key = f"{module}.{qualname}"
        if key in self._mro:
            return self._mro[key]
        self._mro[key] = ([], [])
        summary = self.module(module)["classes"][qualname]
        known: list[tuple[str, str, Any]] = [(module, qualname, summary)]
        outer: list[str] = []
        for base in summary["bases"]:
            base = "torch." + base if base.startswith("nn.") else base  # noqa: PLW2901 - fastai's star imports
            scope = qualname.rpartition(".")[0]
            found = self.find(base) or self._named(module, base) or (self.find(f"{module}.{scope}.{base}") if scope else None)
            if found and found[0] == "class":
                more, far = self.mro(found[1], found[2])
                known += [item for item in more if item not in known]
                outer += far
            else:
                outer.append(base)
        self._mro[key] = (known, outer)
        return known, outer

    def method(self, mro: list[tuple[str, str, Any]], name: str) -> tuple[int, Any] | None:
        """Return the first class of the order that defines the method, by index, and the method."""
        for index, (_, _, summary) in enumerate(mro):
            if name in summary["methods"]:
                return index, summary["methods"][name]
        return None

    def _propagate(self) -> None:
        """Fill `danger` for every function, method and constructor of `own`."""
        callers: dict[Node, set[Node]] = defaultdict(set)
        danger: dict[Node, set[str]] = {}
        for module, summary in self.own.items():
            for name, function in summary["functions"].items():
                self._edges(f"{module}.{name}", function, None, callers, danger)
            for qualname, cls in summary["classes"].items():
                key = f"{module}.{qualname}"
                mro, _ = self.mro(module, qualname)
                for name, function in cls["methods"].items():
                    self._edges(f"{key}:{name}", function, mro, callers, danger)
                for name in CONSTRUCT:
                    found = self.method(mro, name)
                    if found:
                        where = mro[found[0]]
                        callers[f"{where[0]}.{where[1]}:{name}"].add(key)
        for node in [n for n in danger if CLEARED.search(n)]:
            del danger[node]
        work = [(node, 0) for node in danger]
        while work:
            wave, work = work, []
            for node, hops in wave:
                passed = {r for r in danger[node] if r not in {"param()", "getattr()()"} and (hops < HOPS or STRONG.match(r))}
                for caller in callers.get(node, ()):
                    have = danger.setdefault(caller, set())
                    kinds = {r.partition("<")[0] for r in have}
                    new = {r if "<" in r else f"{r}<{node.rpartition('.')[2]}" for r in passed if r.partition("<")[0] not in kinds}
                    if new and not CLEARED.search(caller):
                        have |= new
                        work.append((caller, hops + 1))
        self.danger = danger

    def _edges(self, node: Node, function: Any, mro: Any, callers: dict[Node, set[Node]], danger: dict[Node, set[str]]) -> None:  # noqa: ANN401
        if function["sinks"]:
            danger.setdefault(node, set()).update(function["sinks"])
        for call in function["calls"]:
            target = self._target(call, mro)
            if target is None:
                continue
            callers[target].add(node)
            if self.rest and target in self.rest.danger and self._outside(target):
                danger.setdefault(target, set()).update(self.rest.danger[target])

    def _outside(self, node: Node) -> bool:
        name = node.partition(":")[0]
        return not any(name.startswith(m) for m in (name.rpartition(".")[0],) if m in self.own)

    def _target(self, call: str, mro: Any) -> Node | None:  # noqa: ANN401
        head, _, name = call.partition(".")
        if head in {"self", "super"} or call == "self()":
            if mro is None:
                return None
            if call == "self()":
                return f"{mro[0][0]}.{mro[0][1]}"
            rows = mro[1:] if head == "super" else mro
            found = self.method(rows, name)
            return f"{rows[found[0]][0]}.{rows[found[0]][1]}:{name}" if found else None
        found_global = self.find(call)
        if found_global is None:
            owner, _, last = call.rpartition(".")
            found_class = self.find(owner) if owner else None
            if found_class and found_class[0] == "class":
                return f"{found_class[1]}.{found_class[2]}:{last}"
            return None
        return f"{found_global[1]}.{found_global[2]}"

    def judge_class(self, module: str, qualname: str, entries: tuple[str, ...] = ENTRY) -> Verdict:
        """Return what would run in `entries` (and property setters) of the class, seen through its own MRO."""
        verdict = Verdict()
        mro, outer = self.mro(module, qualname)
        for base in outer:
            if base in ENUMS or base.startswith("aenum."):
                verdict.enum = True
            elif base == "typing.NamedTuple":
                verdict.named = True
            if base.endswith("Enum") and base.startswith("lightning"):
                verdict.enum = True
            if base not in SAFE_BASES and not base.startswith(NATIVE_BASES) and not base.endswith(("ResultBase", "TupleBase")):
                verdict.reasons.add("base " + base)
        todo = [name for name in entries if self.method(mro, name)]
        if entries is ENTRY:
            todo += [name for _, _, cls in mro for name in cls["setters"]]
        seen: set[tuple[int, str]] = set()
        for name in todo:
            self._reach(mro, name, 0, seen, verdict)
        for name in ("__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__", "__getinitargs__"):
            found = self.method(mro, name)
            if found:
                verdict.reduces.add(name)
                verdict.reduces.update(found[1]["returned"])
        return verdict

    def _reach(self, mro: Any, name: str, start: int, seen: set[tuple[int, str]], verdict: Verdict) -> None:  # noqa: ANN401
        found = self.method(mro[start:], name)
        if found is None:
            return
        index = start + found[0]
        if (index, name) in seen:
            return
        seen.add((index, name))
        verdict.reasons.update(f"{s}<{name}" for s in found[1]["sinks"] if s not in {"param()", "getattr()()"})
        for call in found[1]["calls"]:
            head, _, rest = call.partition(".")
            if head == "self" and call != "self()":
                self._reach(mro, rest, 0, seen, verdict)
            elif head == "super":
                self._reach(mro, rest, index + 1, seen, verdict)
            else:
                target = self._target(call, mro)
                if target:
                    world = self if target in self.danger or self.rest is None else self.rest
                    verdict.reasons.update(r for r in world.danger.get(target, ()) if r not in {"param()", "getattr()()"})
