"""Shapes and numbers that are found without running a graph, beside what ONNX' reference evaluator makes of the same nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from stannary.checks.static.walk import read_file
from stannary.formats.interface import Budget, Limits, View
from stannary.formats.onnx import _Walk
from stannary.formats.onnx_sizes import _Follower

I64 = np.int64


def node(op, *inputs, **attributes):
    return helper.make_node(op, list(inputs), ["y"], **attributes)


GRAPHS = {
    "constant_of_shape": ({"s": np.array([3, 4], I64)}, node("ConstantOfShape", "s")),
    "filled": (
        {"s": np.array([3], I64)},
        node("ConstantOfShape", "s", value=helper.make_tensor("v", TensorProto.INT64, [1], [7])),
    ),
    "expand": ({"a": np.ones((3, 1), np.float32), "s": np.array([2, 1, 6], I64)}, node("Expand", "a", "s")),
    "tile": ({"a": np.ones((2, 3), np.float32), "r": np.array([2, 5], I64)}, node("Tile", "a", "r")),
    "pad": ({"a": np.ones((2, 3), np.float32), "p": np.array([1, 0, 2, 4], I64)}, node("Pad", "a", "p")),
    "pad_of_an_axis": (
        {"a": np.ones((2, 3), np.float32), "p": np.array([1, 4], I64), "v": np.array(0, np.float32), "n": np.array([1], I64)},
        node("Pad", "a", "p", "v", "n"),
    ),
    "range": ({"a": np.array(2, I64), "b": np.array(11, I64), "d": np.array(4, I64)}, node("Range", "a", "b", "d")),
    "range_down": ({"a": np.array(9, I64), "b": np.array(2, I64), "d": np.array(-3, I64)}, node("Range", "a", "b", "d")),
    "one_hot": (
        {"i": np.array([0, 2], I64), "d": np.array(5, I64), "v": np.array([0, 1], np.float32)},
        node("OneHot", "i", "d", "v"),
    ),
    "concat": ({"a": np.array([1, 2], I64), "b": np.array([3], I64)}, node("Concat", "a", "b", axis=0)),
    "unsqueeze": ({"a": np.array([1, 2], I64), "n": np.array([0, 2], I64)}, node("Unsqueeze", "a", "n")),
    "squeeze": ({"a": np.ones((1, 3, 1), np.float32), "n": np.array([0], I64)}, node("Squeeze", "a", "n")),
    "reshape": ({"a": np.ones((4, 6), np.float32), "s": np.array([2, -1, 0], I64)[:2]}, node("Reshape", "a", "s")),
    "transpose": ({"a": np.ones((4, 6, 2), np.float32)}, node("Transpose", "a", perm=[2, 0, 1])),
    "matmul": ({"a": np.ones((5, 1, 4, 6), np.float32), "b": np.ones((2, 6, 3), np.float32)}, node("MatMul", "a", "b")),
    "shape": ({"a": np.ones((4, 6, 2), np.float32)}, node("Shape", "a")),
    "gather": ({"a": np.array([5, 6, 7], I64), "i": np.array([2, -1], I64)}, node("Gather", "a", "i")),
    "add": ({"a": np.array([[1], [2]], I64), "b": np.array([3, 4, 5], I64)}, node("Add", "a", "b")),
    "outer": ({"a": np.array([[1], [2]], I64), "b": np.array([[3, 4]], I64)}, node("Add", "a", "b")),
    "mul": ({"a": np.array([2, 3], I64), "b": np.array([7], I64)}, node("Mul", "a", "b")),
    "div": ({"a": np.array([20, 30], I64), "b": np.array([7, 4], I64)}, node("Div", "a", "b")),
    "pow": ({"a": np.array([2, 3], I64), "b": np.array([10, 2], I64)}, node("Pow", "a", "b")),
    "cast": ({"a": np.array([2.0, 3.0], np.float32)}, node("Cast", "a", to=TensorProto.INT64)),
    "equal": ({"a": np.ones((2, 1), np.float32), "b": np.ones((1, 5), np.float32)}, node("Equal", "a", "b")),
    "random": ({}, node("RandomNormal", shape=[3, 5])),
    "ints": ({}, node("Constant", value_ints=[4, 5])),
    "float": ({}, node("Constant", value_float=2.5)),
    "resize": (
        {"a": np.ones((1, 1, 2, 3), np.float32), "r": np.array([], np.float32), "c": np.array([1, 1, 2, 3], np.float32)},
        node("Resize", "a", "r", "c", mode="nearest"),
    ),
    "resize_to": (
        {"a": np.ones((1, 1, 2, 3), np.float32), "r": np.array([], np.float32), "c": np.array([1, 1, 8, 6], I64)},
        node("Resize", "a", "r", "", "c", mode="nearest"),
    ),
}


class _Sink:
    """Keeps nothing: only the budget is asked for."""

    def __init__(self):
        self.budget = Budget(Limits())

    def fact(self, *_args, **_data):
        pass


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_same_as_the_reference(name, raw):
    constants, made = GRAPHS[name]
    initializers = [
        numpy_helper.from_array(value, key)
        if raw
        else helper.make_tensor(key, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape, value.flatten())
        for key, value in constants.items()
    ]
    graph = helper.make_graph([made], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    wanted = np.asarray(ReferenceEvaluator(model).run(None, {})[0])
    walk = _Walk(View(model.SerializeToString(), "model.onnx"), _Sink())
    walk.model()
    known = _Follower({}, walk.sink).scope(walk.scope, {}, 0)["y"]
    assert known.shape == wanted.shape
    assert known.bits == 8 * wanted.dtype.itemsize
    if known.values is not None:
        assert list(known.values) == wanted.flatten().tolist()
    if name in {"filled", "concat", "shape", "gather", "mul", "div", "pow", "cast", "ints", "float", "unsqueeze"}:
        assert known.values is not None


def test_no_model_of_onnx_own_tests_is_too_large():
    root = onnx.__path__[0] + "/backend/test/data"
    found = sorted(Path(root).rglob("*.onnx"))
    assert len(found) > 100
    for path in found:
        assert not [fact for fact in read_file(str(path), strict=True).facts if fact.kind == "onnx.grown_tensor"]
