"""PaddlePaddle: programs (`.pdmodel`, ProgramDesc) and combined parameters (`.pdiparams`).

Source: paddle/fluid/framework/framework.proto; tensor stream of framework/lod_tensor.cc.

Facts:
- `paddle.program` blocks, operators
- `paddle.operator` op, count: each distinct operator
- `paddle.path` op, key, value: text attributes of operators that deal with files or code
- `paddle.params` tensors
"""

from __future__ import annotations

import re
from collections import Counter

from stannary.core.errors import FormatError
from stannary.formats.embedded import carve
from stannary.formats.interface import Cursor, Sink, View, clip
from stannary.formats.protobuf import fields, position, text

__all__ = ["read", "read_params"]

_FOLLOWED = re.compile(
    r"py_|load|save|file|path|custom|run_program|print|read|distributed|listen|send|recv|fetch_barrier|engine|exec", re.IGNORECASE
)
_PATH_KEYS = re.compile(r"path|file|dir|url|endpoint|host|addr|lib|code|cmd|command", re.IGNORECASE)
_OPERATORS = 5000
_TENSORS = 1_000_000


def read(view: View, sink: Sink) -> None:
    """Read a ProgramDesc. Raises FormatError."""
    operators: Counter[str] = Counter()
    blocks = 0
    for field in fields(view, sink.budget):
        if field.number != 1 or not isinstance(field.value, View):
            continue
        blocks += 1
        for part in fields(field.value, sink.budget):
            if part.number == 4 and isinstance(part.value, View):
                _operator(part.value, sink, operators)
    sink.fact("paddle.program", 0, blocks=blocks, operators=operators.total())
    for count, (op, number) in enumerate(operators.items()):
        if count >= _OPERATORS:
            sink.incomplete(f"more than {_OPERATORS} distinct operators")
            break
        sink.fact("paddle.operator", None, op=clip(op), count=number)


def _operator(view: View, sink: Sink, operators: Counter[str]) -> None:
    kinds: list[str] = []
    attributes = []
    for field in fields(view, sink.budget):
        if field.number == 3 and isinstance(field.value, View):
            kinds.append(text(field.value, 200))
        elif field.number == 4 and isinstance(field.value, View):
            attributes.append(field.value)
    operators.update(kinds)
    followed = any(_FOLLOWED.search(kind) for kind in kinds)
    for attribute in attributes:
        key = ""
        for field in fields(attribute):
            if not isinstance(field.value, View):
                continue
            if field.number == 1:
                key = text(field.value, 200)
            elif field.number in (5, 8) and len(field.value):
                if key != "op_callstack" and (followed or _PATH_KEYS.search(key)) and key not in ("op_namescope", "op_device"):
                    sink.fact(
                        "paddle.path",
                        field.offset,
                        op=clip(kinds[-1] if kinds else ""),
                        key=clip(key),
                        value=clip(text(field.value), 500),
                    )
                if len(field.value) > 8 and key != "op_callstack":
                    carve(sink, f"{clip(key)}", field.value.data, position(field.value))


def read_params(view: View, sink: Sink) -> None:
    """Walk the tensors of a parameter file. Raises FormatError."""
    cursor = Cursor(view)
    count = 0
    while cursor.left:
        if cursor.uint(4) != 0 or count > _TENSORS:
            msg = "not a stream of tensors"
            raise FormatError(msg, cursor.pos - 4)
        for _ in range(cursor.uint(8)):  # level of detail
            cursor.skip(cursor.uint(8))
        if cursor.uint(4) != 0:
            msg = "not a stream of tensors"
            raise FormatError(msg, cursor.pos - 4)
        cursor.skip(_tensor_bytes(View(cursor.take(cursor.uint(4)))))
        count += 1
        if not count & 0xFFF:
            sink.budget.check_time()
    sink.fact("paddle.params", 0, tensors=count)
    sink.inert("PaddlePaddle parameters")


_SIZES = {0: 1, 1: 2, 2: 4, 3: 8, 4: 2, 5: 4, 6: 8, 19: 8, 20: 1, 21: 1, 22: 2, 23: 8, 24: 16, 32: 1, 33: 1}  # VarType.Type: bytes


def _tensor_bytes(view: View) -> int:
    """Return how many bytes a TensorDesc describes."""
    size = 1
    for field in fields(view):
        if field.number == 1:
            kind = field.number_value
            if kind not in _SIZES:
                msg = f"tensor type {kind}"
                raise FormatError(msg)
            size *= _SIZES[kind]
        elif field.number == 2 and isinstance(field.value, int):
            size *= field.value
    return size
