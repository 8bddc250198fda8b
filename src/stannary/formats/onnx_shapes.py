"""Shapes that operators of ONNX give to their first output, and the numbers of constants that are computed on the way.

Only what puts shapes together, and what keeps, widens or repeats a tensor, is known here. What is not known of a shape counts as
the least it can be. Source: the operators of ONNX 1.19, and of the versions before them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NamedTuple

__all__ = ["BITS", "LARGE", "NOTHING", "RELEVANT", "VALUES", "Call", "Known", "element_count", "held", "output"]

# bits per element by TensorProto.DataType
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
        17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2}  # fmt: skip
LARGE = 1 << 62
_MOST = 1 << 63
VALUES = 64  # of a constant that can be a shape, and dimensions; no runtime has more of the latter
_SAME = frozenset({
    "Identity", "Cast", "Relu", "Neg", "Abs", "Exp", "Sqrt", "Sigmoid", "Tanh", "Not", "Dropout", "Softmax", "Ceil", "Floor",
    "Round", "Sin", "Cos", "Log", "Erf", "Clip", "LeakyRelu", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "CumSum",
    "Trilu", "CastLike",
})  # fmt: skip
_BROADCAST = frozenset({
    "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "And", "Or", "Xor", "Equal", "Less", "Greater", "LessOrEqual",
    "GreaterOrEqual", "Where", "Mod", "PRelu",
})  # fmt: skip


class Known(NamedTuple):
    """What is known of a tensor: the least of each dimension, and its numbers when they are few."""

    shape: tuple[int, ...] | None = None
    values: tuple[float, ...] | None = None
    bits: int = 8


NOTHING = Known()


class Call(NamedTuple):
    """A node with what is known of its inputs."""

    args: list[Known]
    attributes: dict[str, Any]

    def arg(self, index: int) -> Known:
        """Return what is known of an input."""
        return self.args[index] if index < len(self.args) else NOTHING

    def numbers(self, index: int, name: str = "") -> tuple[float, ...] | None:
        """Return the numbers of an input, or of the attribute that older versions of the operator have for it."""
        found = self.arg(index).values
        if found is None and name:
            held = self.attributes.get(name)
            found = tuple(held) if isinstance(held, list) and held else None
        return found


def element_count(dims: tuple[int, ...] | list[int]) -> int:
    """Return the product of dimensions, held at 2**62; -1 when one of them is negative."""
    count = 1
    for dim in dims:
        if dim < 0:
            return -1
        count = min(count * dim, LARGE)
    return count


def held(value: float) -> float:
    """Return a number as an integer where it is one, no larger than 2**63."""
    if value != value:  # noqa: PLR0124 - not a number
        return 0
    value = max(min(value, _MOST), -_MOST)
    return int(value) if value == int(value) else value


def output(op: str, call: Call) -> Known:
    """Return what is known of the first output of a node. Raises TypeError, ValueError and such where it would fail, too."""
    if op in _SAME:
        first = call.arg(0)
        values = first.values if op in {"Identity", "Cast", "CastLike"} else None
        return Known(first.shape, values, BITS.get(call.attributes.get("to", 0), first.bits))
    if op in _BROADCAST:
        return _broadcast(op, call.args)
    return _RULES[op](call)


def _shape_of(numbers: tuple[float, ...] | None) -> tuple[int, ...] | None:
    return None if numbers is None else tuple(int(n) for n in numbers)


def _made(shape: tuple[int, ...] | None, bits: int, values: tuple[float, ...] | None = None) -> Known:
    return NOTHING if shape is None or any(d < 0 for d in shape) else Known(shape, values, bits)


def _widest(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the shape to which shapes are broadcast."""
    turned = zip_longest(*(reversed(s) for s in shapes), fillvalue=1)
    return tuple(0 if 0 in dims else max(dims) for dims in turned)[::-1]


def _broadcast(op: str, args: list[Known]) -> Known:
    shapes = [a.shape for a in args if a.shape is not None]
    if not shapes:
        return NOTHING
    bits = (
        8 if op in {"And", "Or", "Xor", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"} else max(a.bits for a in args)
    )
    widest, values = _widest(shapes), _computed(op, args)
    return Known(widest, values if values is not None and len(values) == element_count(widest) else None, bits)


def _computed(op: str, args: list[Known]) -> tuple[float, ...] | None:
    """Return the numbers of arithmetic on two constants."""
    if op not in _ARITHMETIC or len(args) != 2:
        return None
    left, right = args[0].values, args[1].values
    if left is None or right is None or not left or not right or (len(left) != len(right) and 1 not in (len(left), len(right))):
        return None
    count = max(len(left), len(right))
    pairs = zip(left * (count // len(left)), right * (count // len(right)), strict=True)
    return tuple(held(_ARITHMETIC[op](a, b)) for a, b in pairs)


def _power(base: float, exponent: float) -> float:
    """Return a power; as floats, since the integer could be of any length."""
    try:
        result = float(base) ** float(exponent)
    except OverflowError:
        return _MOST
    return result if isinstance(result, float) else 0


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a // b if isinstance(a, int) and isinstance(b, int) else a / b,
    "Pow": _power,
    "Max": max,
    "Min": min,
}


def _constant_node(call: Call) -> Known:
    given = call.attributes
    value = given.get("value")
    if isinstance(value, Known):
        return value
    for name, bits in (("value_ints", 64), ("value_floats", 32)):
        if isinstance(given.get(name), list):
            return Known((len(given[name]),), tuple(held(v) for v in given[name]), bits)
    for name, bits in (("value_int", 64), ("value_float", 32)):
        if isinstance(given.get(name), int | float):
            return Known((), (held(given[name]),), bits)
    return NOTHING


def _constant_of_shape(call: Call) -> Known:
    value = call.attributes.get("value")
    shape = _shape_of(call.numbers(0))
    bits = value.bits if isinstance(value, Known) else 32
    count = 0 if shape is None else element_count(shape)
    filled = value.values if isinstance(value, Known) else None
    return _made(shape, bits, filled * count if filled and 0 < count <= VALUES else None)


def _expand(call: Call) -> Known:
    shape, wanted = call.arg(0).shape, _shape_of(call.numbers(1))
    return NOTHING if wanted is None else _made(_widest([wanted, shape or ()]), call.arg(0).bits)


def _tile(call: Call) -> Known:
    shape, repeats = call.arg(0).shape, _shape_of(call.numbers(1))
    if repeats is None:
        return NOTHING
    if len(repeats) == 1 and shape is not None and len(call.args) == 3:  # version 1: tiles and axis
        repeats = tuple(repeats[0] if n == int((call.numbers(2) or (0,))[0]) else 1 for n in range(len(shape)))
    return _made(tuple(a * b for a, b in zip(repeats, shape or (1,) * len(repeats), strict=True)), call.arg(0).bits)


def _resize(call: Call) -> Known:
    """Resize by sizes or scales; Upsample, and Resize of version 10, have scales as the second input or an attribute."""
    first = call.arg(0)
    sizes = _shape_of(call.numbers(3))
    if sizes is not None:
        return _made(sizes, first.bits)
    scales = call.numbers(2) or call.numbers(1, "scales")
    if not scales:
        return NOTHING
    shape = first.shape or (1,) * len(scales)
    return _made(tuple(int(held(a * b)) for a, b in zip(shape, scales, strict=True)), first.bits)


def _pad(call: Call) -> Known:
    """Pad the dimensions, or the axes that a fourth input names, before and behind; as an attribute until version 10."""
    pads, axes = _shape_of(call.numbers(1, "pads")), _shape_of(call.numbers(3))
    if pads is None or (axes is None and len(call.args) > 3):
        return NOTHING
    half, shape = len(pads) // 2, call.arg(0).shape
    kept = list(shape) if shape is not None and (axes is not None or len(shape) == half) else [0] * half
    for at, axis in enumerate(axes if axes is not None and shape is not None else range(half)):
        kept[axis] += pads[at] + pads[half + at]
    return _made(tuple(kept), call.arg(0).bits)


def _range(call: Call) -> Known:
    start, limit, delta = (call.numbers(n) for n in range(3))
    if start is None or limit is None or delta is None:
        return NOTHING
    count = int(held(-((start[0] - limit[0]) // delta[0])))
    return _made((max(count, 0),), call.arg(0).bits)


def _one_hot(call: Call) -> Known:
    depth = call.numbers(1)
    return NOTHING if depth is None else _made((*(call.arg(0).shape or ()), int(depth[0])), call.arg(2).bits)


def _random(call: Call) -> Known:
    return _made(_shape_of(call.numbers(9, "shape")), BITS.get(call.attributes.get("dtype", 1), 32))


def _window(call: Call) -> Known:
    return _made(_shape_of(call.numbers(0)), 32)


def _concat(call: Call) -> Known:
    shapes = [a.shape for a in call.args]
    known = [s for s in shapes if s is not None]
    bits = max((a.bits for a in call.args), default=8)
    values = None
    if all(a.values is not None and a.shape is not None and len(a.shape) == 1 for a in call.args):
        joined = [v for a in call.args for v in a.values or ()]
        values = tuple(joined) if len(joined) <= VALUES else None
    if not known or len(known) != len(shapes):
        return NOTHING
    axis = int(call.attributes.get("axis", 0) or 0) % len(known[0])
    return Known(tuple(min(sum(s[n] for s in known), _MOST) if n == axis else d for n, d in enumerate(known[0])), values, bits)


def _unsqueeze(call: Call) -> Known:
    first, axes = call.arg(0), _shape_of(call.numbers(1, "axes"))
    if first.shape is None or axes is None or len(axes) > VALUES:
        return NOTHING
    rank = len(first.shape) + len(axes)
    wanted, rest = {a % rank for a in axes}, list(first.shape)
    return Known(tuple(1 if n in wanted else rest.pop(0) for n in range(rank)), first.values, first.bits)


def _squeeze(call: Call) -> Known:
    first = call.arg(0)
    if first.shape is None:
        return NOTHING
    axes = _shape_of(call.numbers(1, "axes"))
    gone = {n for n, d in enumerate(first.shape) if d == 1} if axes is None else {a % len(first.shape) for a in axes}
    return Known(tuple(d for n, d in enumerate(first.shape) if n not in gone), first.values, first.bits)


def _reshape(call: Call) -> Known:
    first, wanted = call.arg(0), _shape_of(call.numbers(1, "shape"))
    if first.shape is None or wanted is None:
        return NOTHING
    kept = [first.shape[n] if d == 0 and n < len(first.shape) else d for n, d in enumerate(wanted)]
    if kept.count(-1) == 1:
        place = kept.index(-1)
        others = element_count(kept[:place] + kept[place + 1 :])
        kept[place] = element_count(first.shape) // others
    return _made(tuple(kept), first.bits, first.values)


def _transpose(call: Call) -> Known:
    first = call.arg(0)
    if first.shape is None:
        return NOTHING
    order = call.attributes.get("perm") or range(len(first.shape))[::-1]
    return Known(tuple(first.shape[n] for n in order), None, first.bits)


def _matmul(call: Call) -> Known:
    left, right = call.arg(0), call.arg(1)
    if left.shape is None or right.shape is None or len(left.shape) < 2 or len(right.shape) < 2:
        return NOTHING
    return Known((*_widest([left.shape[:-2], right.shape[:-2]]), left.shape[-2], right.shape[-1]), None, left.bits)


def _shape_node(call: Call) -> Known:
    shape = call.arg(0).shape
    if shape is None or call.attributes.keys() & {"start", "end"}:
        return NOTHING
    return Known((len(shape),), shape, 64)


def _gather(call: Call) -> Known:
    values, indices, shape = call.arg(0).values, call.arg(1).values, call.arg(0).shape
    if values is None or indices is None or shape is None or len(shape) != 1:
        return NOTHING
    return Known(call.arg(1).shape, tuple(values[int(n)] for n in indices), call.arg(0).bits)


_RULES: dict[str, Callable[[Call], Known]] = {
    "Constant": _constant_node, "ConstantOfShape": _constant_of_shape, "Expand": _expand, "Tile": _tile, "Resize": _resize,
    "Upsample": _resize, "Pad": _pad, "Range": _range, "OneHot": _one_hot, "RandomNormal": _random, "RandomUniform": _random,
    "HannWindow": _window, "HammingWindow": _window, "BlackmanWindow": _window, "Concat": _concat, "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze, "Reshape": _reshape, "Transpose": _transpose, "MatMul": _matmul, "Shape": _shape_node, "Gather": _gather,
}  # fmt: skip
RELEVANT = frozenset(_RULES) | _SAME | _BROADCAST
