"""ONNX graphs whose constants ask for more memory than there is, and graphs that pad, tile and resize as exported models do."""

from __future__ import annotations

import struct
from functools import partial

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import message, number
from stannary.testing.forges.onnx import FAMILY, attribute, graph, model, tensor

__all__ = ["makes", "numbers"]

_INT64 = 7


def numbers(name: str, *values: int) -> bytes:
    """Return an initializer of integers as a field of a graph."""
    return message(5, tensor(name, (len(values),), _INT64, struct.pack(f"<{len(values)}q", *values)))


def _floats(name: str, *values: float) -> bytes:
    return message(5, tensor(name, (len(values),), 1, struct.pack(f"<{len(values)}f", *values)))


def makes(op: str, *inputs: str, to: str = "y", attributes: bytes = b"", domain: str = "") -> bytes:
    """Return a node with inputs and an output as a field of a graph."""
    ends = [message(1, name) for name in inputs] + [message(2, to), message(3, f"{op}_{to}"), message(4, op)]
    return message(1, *ends, attributes, message(7, domain) if domain else b"")


def _constant(to: str, *values: int) -> bytes:
    held = b"".join(number(8, v) for v in values)
    return makes("Constant", to=to, attributes=attribute("value_ints", held, number(20, 7)))


_SIDE = 1 << 20
_DOUBLED = b"".join(
    makes("Concat", f"a{n}", f"a{n}", to=f"a{n + 1}", attributes=attribute("axis", number(3, 0))) for n in range(50)
)
_INNER = message(6, graph(makes("ConstantOfShape", "s")))
_FUNCTION = message(
    25, message(1, "Fill"), message(4, "s"), message(5, "y"), message(7, message(1, "s"), message(2, "y"), message(4, "ConstantOfShape")),
    message(10, "local"),
)  # fmt: skip
_HOSTILE = {
    "constant_of_shape": (numbers("s", _SIDE, _SIDE), makes("ConstantOfShape", "s")),
    "overflow": (numbers("s", 1 << 40, 1 << 40), makes("ConstantOfShape", "s")),
    "expand": (numbers("s", 2, _SIDE, _SIDE), makes("Expand", "x", "s")),
    "tile": (_constant("r", 1 << 42), makes("Tile", "x", "r")),
    "resize_scales": (_floats("c", 1.0, 1.0, 2.0**21, 2.0**21), makes("Resize", "x", "", "c")),
    "resize_sizes": (numbers("z", 1, 3, 1 << 21, 1 << 21), makes("Resize", "x", "", "", "z")),
    "pad": (numbers("p", 0, 1 << 21, 1 << 21, 1 << 21), makes("Pad", "x", "p")),
    "range": (numbers("a", 0), numbers("b", 1 << 62), numbers("c", 1), makes("Range", "a", "b", "c")),
    "one_hot": (numbers("i", *range(8)), numbers("d", 1 << 50), makes("OneHot", "i", "d", "x")),
    "random": (makes("RandomNormal", attributes=attribute("shape", number(8, 1 << 30), number(8, 1 << 30))),),
    "power": (numbers("a", 2), numbers("b", 60), makes("Pow", "a", "b", to="s"), makes("ConstantOfShape", "s")),
    "product": (numbers("a", 1 << 30), makes("Mul", "a", "a", to="s"), makes("ConstantOfShape", "s")),
    "joined": (numbers("a", _SIDE), makes("Concat", "a", "a", to="s", attributes=attribute("axis", number(3, 0))), makes("ConstantOfShape", "s")),
    "doubled": (numbers("a0", 1, 2), _DOUBLED),
    "outer_sum": (
        numbers("a", 0), numbers("b", _SIDE * 4), numbers("c", 1), numbers("axes", 1),
        makes("Range", "a", "b", "c", to="row"), makes("Unsqueeze", "row", "axes", to="column"), makes("Add", "row", "column"),
    ),
    "in_branch": (numbers("s", _SIDE, _SIDE), makes("If", "x", attributes=attribute("then_branch", _INNER, number(20, 5)))),
}  # fmt: skip
for _name, _parts in _HOSTILE.items():
    forge(f"onnx.size_{_name}", filename="model.onnx", family=FAMILY, malicious=True)(partial(model, *_parts))
forge("onnx.size_in_function", filename="model.onnx", family=FAMILY, malicious=True)(
    partial(model, numbers("s", _SIDE, _SIDE), makes("Fill", "s", domain="local"), extra=_FUNCTION)
)


@forge("onnx.sizes_plain", filename="model.onnx", family=FAMILY, malicious=False)
def _() -> bytes:
    return model(
        numbers("s", 1, 1, 32768, 32768),
        makes("ConstantOfShape", "s", to="mask"),
        _floats("c", 1.0, 1.0, 2.0, 2.0),
        makes("Resize", "x", "", "c", to="up"),
        numbers("p", 0, 0, 1, 1, 0, 0, 1, 1),
        makes("Pad", "up", "p", to="padded"),
        numbers("a", 0),
        numbers("b", 1 << 20),
        numbers("d", 1),
        makes("Range", "a", "b", "d", to="steps"),
        numbers("all", -1),
        makes("Reshape", "steps", "all", to="flat"),
        makes("Tile", "flat", "d", to="tiled"),
        numbers("ends", (1 << 63) - 1),
        makes("Slice", "tiled", "a", "ends", to="y"),
    )
