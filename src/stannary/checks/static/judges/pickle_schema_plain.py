"""Schemas of built-in callables that functions and classes are written with: decorators, annotations, types of singletons."""

from __future__ import annotations

from typing import Any

from stannary.checks.static.knowledge import Knowledge

__all__ = ["annotation", "decorator", "iterator", "numba_type", "rebuilt_dispatcher", "set_items", "type_of"]

Args = list[Any]


def decorator(args: Args, _known: Knowledge) -> str:
    """`property`, `staticmethod` and `classmethod` keep what they are given; names among it are judged as such."""
    kept = all(a is None or isinstance(a, str) or (isinstance(a, dict) and ("global" in a or "call" in a)) for a in args)
    return "" if args and kept else "it decorates nothing"


def annotation(args: Args, _known: Knowledge) -> str:
    """Annotations: `typing.List[int]` is written as an item of `typing.List`."""
    generic = args[0].get("global", "") if len(args) == 2 and isinstance(args[0], dict) else ""  # noqa: PLR2004 - the generic and its argument
    return "" if generic.startswith("typing.") else "no pickler calls it"


def type_of(args: Args, _known: Knowledge) -> str:
    """`type` is called for the class of `None` and the like, and for nothing else."""
    return "" if args in ([None], [{"global": "builtins.Ellipsis"}], [{"global": "builtins.NotImplemented"}]) else "makes a class"


def iterator(args: Args, _known: Knowledge) -> str:
    """`iter` of a container, as iterators over one are written; with a callable it would be called."""
    value = args[0] if len(args) == 1 else None
    plain = isinstance(value, (list, str)) or (isinstance(value, dict) and bool({"list", "dict", "bytes"} & set(value)))
    return "" if plain else "iterates over something that is called"


def numba_type(args: Args, _known: Knowledge) -> str:
    """`_type_reconstructor(copyreg._reconstructor, (class, object, None), attributes)`: an instance of a type of numba."""
    kind = args[1] if len(args) == 3 and isinstance(args[1], list) and args[1] and isinstance(args[1][0], dict) else [{}]  # noqa: PLR2004
    plain = args[0] == {"global": "copyreg._reconstructor"} and kind[1:] == [{"global": "builtins.object"}, None]
    return "" if plain and kind[0].get("global", "").startswith("numba.core.types.") else "it makes no type of numba"


def rebuilt_dispatcher(value: dict[str, Any]) -> bool:
    """Tell whether a value is the states of a compiled function, as numba's bound constructor makes it from them."""
    states = value.get("args")
    ours = isinstance(states, list) and len(states) == 2 and states[0] == {"global": "numba.core.registry.CPUDispatcher"}  # noqa: PLR2004
    return ours and value.get("chain") is True and isinstance(states, list) and "dict" in states[1]


def set_items(args: Args, _known: Knowledge) -> str:
    """Dill fills dictionaries of its own afterwards."""
    own = bool(args) and isinstance(args[0], dict) and bool({"dict", "object"} & set(args[0]))
    return "" if own else "fills something that the pickle did not make"
