"""Calls that only look dangerous: what dill and cloudpickle write for annotations, enumerations and methods of built-ins.

Each has one form that the picklers write. Anything else that is given to the same function is judged as before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from stannary.checks.static.judges.pickle_made import CLASS_MAKERS, is_class, made_by
from stannary.checks.static.judges.pickle_schema import DANGEROUS_NAMES, role_of
from stannary.checks.static.judges.word_sets import words
from stannary.checks.static.knowledge import Knowledge

__all__ = ["inert", "ordinary", "plain_class"]

Args = list[Any]
_RANGE = re.compile(r"x?range\(-?\d{1,20}(?:, -?\d{1,20}){0,2}\)")  # which dill evaluates its `repr` of
_SINGLETONS = frozenset({"Ellipsis", "NotImplemented", "None"})
_SENTINELS = frozenset({"_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR", "_FIELD_BASE"})
# What enumerations and named tuples keep of the types they come from.
_KEPT = frozenset({"__new__", "__repr__", "__str__", "__format__", "__hash__", "__eq__", "__reduce_ex__"})
_METHOD = re.compile(r"<(?:method|slot wrapper|attribute|member) '(\w+)' of '(\w+)' objects>")
_BUILTIN = re.compile(r"(?:builtins|__builtin__)\.(?:object|int|float|complex|str|bytes|tuple|list|dict|set|frozenset|bool)\Z")
_PLAIN_TYPES = frozenset({"object", "int", "float", "complex", "str", "bytes", "tuple", "list", "dict", "set", "frozenset", "bool"})
_PARTIAL = {"call": "dill._dill._load_type", "args": [{"global": "dill._dill._setitems"}]}
_OWN = [
    [{"global": "dill._dill"}, "_CELL_EMPTY", None],
    [{"global": "dill._dill"}, "_delattr", {"global": "builtins.delattr"}],
]
_CELLS = frozenset({"dill._dill._create_cell", "dill._dill.CellType", "types.CellType"})
_LOADERS = frozenset({"SourceFileLoader", "ModuleSpec"})


def ordinary(key: tuple[str, str], args: Any, known: Knowledge) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether a call is one that picklers write, with the arguments that they give it."""
    form = _FORMS.get(key)
    return form is not None and isinstance(args, list) and form(args, known)


def inert(module: str, name: str, uses: Sequence[str], known: Knowledge) -> bool:
    """Tell whether a name does nothing by being there.

    `__spec__` and `__loader__` of the module that defines a function are objects that nobody asks to load; a class made
    by an enumeration keeps methods of the type it comes from.
    """
    owner, _, last = name.rpartition(".")
    if last in _KEPT and "call" not in uses and role_of(f"{module}.{owner}", known) in {"c", "k"}:
        return True
    if (module, name) == ("functools", "cached_property"):
        return {"newobj", "build"} == set(uses)  # an instance that is given a function: that is judged
    return name in _LOADERS and module.startswith("_frozen_importlib") and not {"call", "mutate", "data"} & set(uses)


def _type(value: Any, known: Knowledge) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether a value is a type, a type variable, or something of `typing`."""
    if value is None or (isinstance(value, list) and all(_type(item, known) for item in value)):
        return True
    if not isinstance(value, dict):
        return False
    name = value.get("global", "")
    if "list" in value:
        return _type(value["list"], known)
    if name:
        return is_class(value) or role_of(name, known) in {"c", "k", "f"}
    return is_class(value) or made_by(value) in _TYPE_MAKERS


_TYPE_MAKERS = frozenset({
    "types.GenericAlias", "collections.abc._CallableGenericAlias", "_operator.getitem", "operator.getitem", "functools.reduce",
    "_functools.reduce", "builtins.type", "dill._dill._eval_repr", "cloudpickle.cloudpickle._make_typevar",
})  # fmt: skip


# Where the makers of classes are given the bases.
_BASES = {
    "dill._dill._create_type": 2, "cloudpickle.cloudpickle._make_skeleton_class": 2, "types.new_class": 1,
    "cloudpickle.cloudpickle._make_skeleton_enum": 0,
}  # fmt: skip
_NAMED = frozenset({"dill._dill._load_type", "cloudpickle.cloudpickle._builtin_type"})


def plain_class(made: Any, known: Knowledge) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether a value is a class that the pickle makes from built-in or known ones: calling it calls their constructors."""
    if not isinstance(made, dict) or "chain" in made:
        return False
    if made_by(made) in _NAMED:
        return _plain_base(made, known)  # `_load_type("FileType")` opens files
    args, place = made.get("args"), _BASES.get(made_by(made))
    bases = args[place] if place is not None and isinstance(args, list) and len(args) > place else None
    return isinstance(bases, list) and all(_plain_base(base, known) for base in bases)


def _plain_base(base: Any, known: Knowledge) -> bool:  # noqa: ANN401 - rendered JSON
    if not isinstance(base, dict):
        return False
    named = base.get("args")
    if made_by(base) in _NAMED:
        return isinstance(named, list) and len(named) == 1 and known.role("builtins", str(named[0])) in {"c", "k"}
    return role_of(base.get("global", ""), known) in {"c", "k"} or plain_class(base, known)


def _singleton(args: Args, _known: Knowledge) -> bool:
    return len(args) == 1 and isinstance(args[0], str) and (args[0] in _SINGLETONS or _RANGE.fullmatch(args[0]) is not None)


def _union(args: Args, known: Knowledge) -> bool:
    """`int | None` is written as `reduce(or_, (int, NoneType))`."""
    joined = len(args) == 2 and args[0] in ({"global": "_operator.or_"}, {"global": "operator.or_"})  # noqa: PLR2004
    return joined and isinstance(args[1], list) and _type(args[1], known)


def _generic(args: Args, known: Knowledge) -> bool:
    """`list[int]`, `Callable[..., T]`, `Dataset[T]`."""
    return len(args) == 2 and isinstance(args[0], dict) and is_class(args[0]) and _type(args, known)  # noqa: PLR2004


def _new_class(args: Args, known: Knowledge) -> bool:
    """Dill makes a class with generic bases this way, and fills it with what `_setitems` is bound to: nothing but a dict."""
    if len(args) != 4 or not isinstance(args[0], str) or args[3] != _PARTIAL or not _type(args[1], known):  # noqa: PLR2004
        return False
    keywords = args[2].get("dict", [["", ""]]) if isinstance(args[2], dict) else [["", ""]]
    return all(isinstance(k, list) and k[0] == "metaclass" and is_class(k[1]) for k in keywords)


def _own_name(args: Args, _known: Knowledge) -> bool:
    """Dill gives a class that it makes its qualified name afterwards."""
    if len(args) != 3 or args[1] not in {"__qualname__", "__module__", "__doc__"} or not isinstance(args[2], str):  # noqa: PLR2004
        return False
    owner = args[0] if isinstance(args[0], dict) else {}
    return made_by(owner) in CLASS_MAKERS or (owner.get("global", "").startswith("__main__.") and is_class(owner))


def _method(args: Args, _known: Knowledge) -> bool:
    """`dill._dill._getattr(type, name, repr)` evaluates a part of the text: only what `repr` of a method looks like."""
    if len(args) != 3 or not all(isinstance(a, str) for a in args[1:]):  # noqa: PLR2004 - type, name, text
        return False
    found = _METHOD.fullmatch(args[2])
    return bool(found) and found is not None and found[1] == args[1] and found[2] in _PLAIN_TYPES and _harmless(args[1])


def _harmless(name: str) -> bool:
    return name in _KEPT or (name.isidentifier() and not name.startswith("_") and name not in DANGEROUS_NAMES)


def _attribute(args: Args, known: Knowledge) -> bool:
    """A method of a value that is written out, what an enumeration keeps of a type, or what old versions of dill ask of dill."""
    if args in _OWN:
        return True
    if len(args) != 2 or not isinstance(args[1], str):  # noqa: PLR2004 - object and name
        return False
    owner = args[0]
    if isinstance(owner, str | list | int | float) or (isinstance(owner, dict) and {"list", "dict", "bytes"} & set(owner)):
        return _harmless(args[1]) and args[1] not in words("method_effects") | {"format", "format_map"}
    if not isinstance(owner, dict):
        return False
    if owner.get("global", "").startswith("__main__.") and is_class(owner):
        return args[1].isidentifier() and args[1][:1].isupper()  # a class in a class of the program's own
    if args[1] not in _KEPT:
        return False
    if owner.get("call") in {"dill._dill._load_type", "cloudpickle.cloudpickle._builtin_type"}:
        return isinstance(owner.get("args"), list) and len(owner["args"]) == 1 and owner["args"][0] in _PLAIN_TYPES
    name = owner.get("global", "")
    return bool(_BUILTIN.match(name)) or (name.startswith("enum.") and role_of(name, known) in {"c", "k"})


def _emptied(args: Args, _known: Knowledge) -> bool:
    """A closure's cell without contents."""
    return len(args) == 2 and made_by(args[0]) in _CELLS and args[1] == "cell_contents"  # noqa: PLR2004 - cell, name


def _plain(args: Args, _known: Knowledge) -> bool:
    """A field of a named tuple, a lock, a member of an enumeration: numbers and text."""
    return all(a is None or isinstance(a, str | int | bool) for a in args)


_FORMS: dict[tuple[str, str], Callable[[Args, Knowledge], bool]] = {
    ("dill._dill", "_eval_repr"): _singleton,
    ("functools", "reduce"): _union,
    ("_functools", "reduce"): _union,
    ("types", "GenericAlias"): _generic,
    ("collections.abc", "_CallableGenericAlias"): _generic,
    ("_operator", "getitem"): _generic,
    ("operator", "getitem"): _generic,
    ("types", "new_class"): _new_class,
    ("builtins", "setattr"): _own_name,
    ("builtins", "getattr"): _attribute,
    ("dill._dill", "_getattr"): _method,
    ("dill._dill", "_create_rlock"): _plain,
    ("dill._dill", "_create_lock"): _plain,
    ("_collections", "_tuplegetter"): _plain,
    ("collections", "_tuplegetter"): _plain,
    ("dill._dill", "_delattr"): _emptied,
    ("dill", "_dill._delattr"): _emptied,
    ("enum", "FlagBoundary"): _plain,
    ("cloudpickle.cloudpickle", "_get_dataclass_field_type_sentinel"): lambda args, _: len(args) == 1 and args[0] in _SENTINELS,
}
