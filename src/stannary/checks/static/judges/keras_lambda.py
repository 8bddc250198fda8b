"""Which code of a Lambda layer is understood: arithmetic, operations of tensors, and nothing else."""

from __future__ import annotations

from stannary.checks.static.judges.word_sets import words
from stannary.formats.interface import Fact

__all__ = ["understood"]

_MODULES = frozenset(
    {"math", "nn", "linalg", "signal", "image", "backend", "ops", "activations", "layers", "keras", "compat", "v1"}
)
_ROOTS = frozenset({"tensorflow", "keras", "numpy", "math"})
_BUILTINS = frozenset({
    "abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "float", "int", "isinstance", "len", "list", "max",
    "min", "pow", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
})  # fmt: skip
_CUT = str.maketrans("()[]", "....")


def understood(fact: Fact) -> bool:
    """Tell whether a lambda's code was read to its end and does nothing but compute."""
    data = fact.data
    return bool(data.get("clear")) and all(map(_pure, data["uses"])) and all(map(_quiet, data["members"]))


def _pure(name: str) -> bool:
    """Tell whether an outside name is a function that only computes, or a member of what one returned."""
    plain = name.partition("(")[0].partition("[")[0]
    *path, last = plain.split(".")
    members = [part for part in name[len(plain) :].translate(_CUT).split(".") if part]
    if not all(map(_quiet, members)):
        return False
    if not path:
        return last in _BUILTINS or last in _ROOTS
    return path[0] in _ROOTS and set(path[1:]) <= _MODULES and (last in _MODULES or last in words("tensor_functions"))


def _quiet(attribute: str) -> bool:
    """Tell whether an attribute of a tensor is one that writes nothing and leads nowhere."""
    noisy = words("code_strong") | words("code_weak") | words("method_effects")
    return not attribute.startswith("_") and attribute not in noisy
