"""Results of calls that a pickle goes on to call: partials, caches and classes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stannary.checks.static.judges.pickle_made import FUNCTION_MAKERS, flat, is_class, made_by
from stannary.checks.static.judges.pickle_schema import SCHEMAS, role_of
from stannary.checks.static.knowledge import Knowledge

__all__ = ["IMPORTERS", "bound_method", "harmless_partial", "imports", "keys", "lru_problem", "reads_class"]

IMPORTERS = frozenset({"subimport", "_import_module"})
# Modules that do something when they are imported, or have nothing to do in a function.
_ACTIVE = frozenset({
    "antigravity", "this", "turtle", "idlelib", "lib2to3", "test", "turtledemo", "__hello__", "__phello__", "tkinter",
    "venv", "ensurepip",
    "pip", "webbrowser", "cgitb", "site", "sitecustomize", "usercustomize", "__main__", "curses", "readline",
})  # fmt: skip


def imports(data: Mapping[str, Any], known: Knowledge) -> str | None:
    """Judge a module among the globals of a function whose code was read, where what is done with it is seen.

    Returns '' when it is nothing to speak of, what is wrong when it is little, None when the call has to be judged by itself.
    """
    args = data["args"]
    module = args[0] if isinstance(args, list) and args and isinstance(args[0], str) else ""
    top = module.partition(".")[0]
    if not module or not data.get("read") or top in _ACTIVE or not all(part.isidentifier() for part in module.split(".")):
        return None
    if known.is_stdlib(module) or known.is_package(module):
        return ""
    return f"imports {module}, about which nothing is known"


def reads_class(data: Mapping[str, Any], classes: set[str]) -> bool:
    """Tell whether a call instantiates a class that the pickle defines, and whose methods are judged themselves."""
    made = data.get("callable")
    args = made.get("args") if isinstance(made, dict) and is_class(made) and "chain" not in made else None
    return isinstance(args, list) and any(isinstance(a, str) and a in classes for a in args[:3])


def bound_method(args: Any, known: Knowledge) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether `types.MethodType` binds a function of the pickle's own or of a known library: both are judged themselves."""
    if not isinstance(args, list) or len(args) != 2 or not isinstance(args[0], dict):  # noqa: PLR2004 - function and object
        return False
    function = args[0].get("global", "")
    ours = made_by(args[0]) in FUNCTION_MAKERS
    owner = function.rpartition(".")[0]
    bound = args[1].get("object", "") if isinstance(args[1], dict) else ""
    related = bound == owner or (bound.rpartition(".")[0] == owner.rpartition(".")[0] and role_of(bound, known) in {"c", "k"})
    of_class = role_of(owner, known) in {"c", "k"} and related
    return ours or of_class or bool(function and known.is_package(function) and not known.is_stdlib(function))


def lru_problem(args: Any) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether what a cache is given is no function of the pickle's own."""
    return not (isinstance(args, list) and len(args) == 1 and made_by(args[0]) in FUNCTION_MAKERS)


def harmless_partial(made: Any, known: Knowledge) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether a called result is a partial of something that picklers call anyway (old pandas), or numba's constructor."""
    if isinstance(made, dict) and _numba_constructor(made):
        return True
    if not isinstance(made, dict) or made.get("call") != "functools.partial" or not made.get("args"):
        return False
    target = made["args"][0]
    if not isinstance(target, dict) or "chain" in made:
        return False
    name = target.get("global", "")
    return role_of(name, known) in {"k", "r"} and tuple(name.rsplit(".", 1)) not in SCHEMAS


def _numba_constructor(made: dict[str, Any]) -> bool:
    """Tell whether it is `_CustomPickled._rebuild`, which cloudpickle writes by value: the function's code is judged itself."""
    bound = made.get("args") if made_by(made) == "cloudpickle.cloudpickle._builtin_type" and "chain" not in made else None
    if not isinstance(bound, list) or len(bound) != 2:  # noqa: PLR2004 - function and class
        return False
    return made_by(bound[0]) in FUNCTION_MAKERS and bound[1] == {"global": "numba.core.serialize._CustomPickled"}


def keys(value: Any) -> list[str]:  # noqa: ANN401 - rendered JSON
    """Return the text keys of every dict in a value."""
    pairs = [pair for item in flat(value) for pair in item.get("dict", ()) if isinstance(pair, list)]
    return [pair[0] for pair in pairs if isinstance(pair[0], str)]
