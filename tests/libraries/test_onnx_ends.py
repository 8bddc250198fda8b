"""Loops that end and trees of CatBoost pass; loops that do not end, and trees that were spoiled, are told."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import stannary

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def rules(model, path):
    onnx.save(model, path)
    result = stannary.scan(path)
    return result.verdict, {finding.rule for finding in result.findings}


def loop(rounds, going, nodes, out):
    ends = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("i", INT, []), ("c", BOOL, []), ("v", FLOAT, [2]))
    ]
    outputs = [helper.make_tensor_value_info(out, BOOL, []), helper.make_tensor_value_info("w", FLOAT, [2])]
    body = helper.make_graph([*nodes, helper.make_node("Add", ["v", "v"], ["w"])], "body", ends, outputs)
    graph = helper.make_graph(
        [helper.make_node("Loop", ["m", "t", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [2])],
        [helper.make_tensor_value_info("y", FLOAT, [2])],
        [helper.make_tensor("m", INT, [], [rounds]), helper.make_tensor("t", BOOL, [], [going])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model, full_check=True)
    return model


KEPT = [helper.make_node("Identity", ["c"], ["o"])]
COMPUTED = [
    helper.make_node("Constant", [], ["most"], value=helper.make_tensor("", INT, [], [5])),
    helper.make_node("Less", ["i", "most"], ["o"]),
]


@pytest.mark.parametrize(
    "rounds, going, nodes, endless",
    [
        (2**63 - 1, True, KEPT, True),
        (2**62, True, KEPT, True),
        (2**63 - 1, False, KEPT, False),
        (7, True, KEPT, False),
        (2**63 - 1, True, COMPUTED, False),
    ],
)
def test_a_loop_is_endless_where_the_reference_evaluator_would_not_end(tmp_path, rounds, going, nodes, endless):
    model = loop(rounds, going, nodes, "o")
    verdict, found = rules(model, tmp_path / "loop.onnx")
    assert ("ONX013" in found) is endless
    assert (verdict == "clean") is not endless
    if not endless:  # and it does end
        made = ReferenceEvaluator(model).run(None, {"x": np.ones(2, np.float32)})[0]
        assert made[0] == {(7, True): 2.0**7, (2**63 - 1, True): 2.0**6}.get((rounds, going), 1.0)


def test_trees_of_catboost_are_whole_and_told_when_they_are_not(tmp_path):
    catboost = pytest.importorskip("catboost")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    for made in (
        catboost.CatBoostRegressor(iterations=20, depth=4, verbose=False, allow_writing_files=False),
        catboost.CatBoostClassifier(iterations=20, depth=4, verbose=False, allow_writing_files=False),
    ):
        made.fit(x, (x[:, 0] > 0).astype(int))
        made.save_model(str(tmp_path / "cat.onnx"), format="onnx")
        model = onnx.load(tmp_path / "cat.onnx")
        assert "ONX014" not in rules(model, tmp_path / "again.onnx")[1]
        (tree,) = [node for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
        lists = {attribute.name: attribute for attribute in tree.attribute}
        branch = next(row for row, mode in enumerate(lists["nodes_modes"].strings) if mode != b"LEAF")
        lists["nodes_truenodeids"].ints[branch] = 1 << 20
        assert "ONX014" in rules(model, tmp_path / "spoiled.onnx")[1]
