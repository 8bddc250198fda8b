"""Loops of ONNX that never end: rounds without bound whose condition stays true.

Exporters write a loop of a `while` as 2**63 - 1 rounds with a condition that the body computes, and one of a `for` with a number
of rounds and a condition that is true. Both together, no bound and a condition that nothing changes, is no program's loop.
Source: the operator Loop of ONNX 1.19.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stannary.formats.interface import Budget, View
from stannary.formats.onnx_shapes import NOTHING, Known
from stannary.formats.protobuf import fields, text

__all__ = ["never_ends"]

_ENDLESS = 1 << 40  # rounds: of a nanosecond each, a quarter of an hour, and no runtime does one in that
_STEPS = 16
_KEEPS = frozenset({"Identity", "Cast"})

Constants = Callable[[View, str], Known]  # what is known of the attribute `value` of a node, or of a tensor


def never_ends(names: Sequence[str], args: Sequence[Known], body: View, constant: Constants, budget: Budget) -> bool:
    """Tell whether a loop with these inputs, of which so much is known, goes on for ever once it began."""
    if not _unbounded(_at(names, 0), args[0] if args else NOTHING):
        return False
    inputs, outputs, made, constants = _body(body, constant, budget)
    name = _at(outputs, 0)
    for _ in range(_STEPS):
        if name in constants:
            return _true(constants[name])
        if name == _at(inputs, 1):
            return not _at(names, 1) or _true(args[1])
        if name not in made:
            return False
        name = made[name]
    return False


def _unbounded(name: str, rounds: Known) -> bool:
    return not name or (rounds.values is not None and len(rounds.values) == 1 and rounds.values[0] >= _ENDLESS)


def _true(known: Known) -> bool:
    return known.values is not None and len(known.values) == 1 and known.values[0] != 0


def _at(names: Sequence[str], index: int) -> str:
    return names[index] if index < len(names) else ""


def _body(body: View, constant: Constants, budget: Budget) -> tuple[list[str], list[str], dict[str, str], dict[str, Known]]:
    """Return names of inputs and outputs, what is handed on as it is, and what is constant."""
    ends: dict[int, list[str]] = {11: [], 12: []}
    made: dict[str, str] = {}
    constants: dict[str, Known] = {}
    for field in fields(body, budget):
        if not isinstance(field.value, View):
            continue
        if field.number in ends:
            ends[field.number].append(_first(field.value, 1))
        elif field.number == 5:
            constants[_first(field.value, 8)] = constant(field.value, "tensor")
        elif field.number == 1:
            op, to = _first(field.value, 4), _first(field.value, 2)
            if op == "Constant":
                constants[to] = constant(field.value, "node")
            elif op in _KEEPS:
                made[to] = _first(field.value, 1)
    return ends[11], ends[12], made, constants


def _first(view: View, number: int) -> str:
    return next((text(f.value, 200) for f in fields(view) if f.number == number and isinstance(f.value, View)), "")
