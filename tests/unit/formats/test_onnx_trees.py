"""Ensembles of trees in ONNX are followed whatever their size, and however their numbers are written."""

from __future__ import annotations

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges._protobuf_writer import message, number
from stannary.testing.forges.onnx import attribute, model, node
from stannary.testing.forges.onnx_loops import trees

FOUND = "onnx.tree_problem"


def kinds(*parts):
    report = read_view(View(model(*parts), "model.onnx"))
    return {fact.kind for fact in report.facts}, report


def chain(count, **changes):
    """Return a tree of `count` branches, each going on to the next or to the one leaf."""
    last = count
    lists = {
        "treeids": (0,) * (count + 1),
        "nodeids": tuple(range(count + 1)),
        "featureids": (3,) * (count + 1),
        "truenodeids": (*range(1, count + 1), 0),
        "falsenodeids": (*(last,) * count, 0),
    }
    return trees({**lists, **changes}, "B" * count + "L")


@pytest.mark.parametrize("count", [1, 127, 200, 40_000])
def test_a_tree_of_any_size_is_followed_to_its_last_node(count):
    assert FOUND not in kinds(chain(count))[0]
    assert FOUND in kinds(chain(count, falsenodeids=(*(count,) * (count - 1), 1 << 30, 0)))[0]
    assert FOUND in kinds(chain(count, truenodeids=(*range(1, count), 0, 0)))[0], "the last goes back to the first"


def test_numbers_are_read_however_they_are_written():
    def written(child):
        values = {"treeids": (0, 0), "nodeids": (0, 1), "featureids": (0, 0), "truenodeids": (child, 0), "falsenodeids": (1, 0)}
        packed = [message(8, bytes(row)) for row in values.values()]
        mixed = [number(8, row[0]) + number(20, 7) + number(8, row[1]) for row in values.values()]
        modes = attribute("nodes_modes", message(9, "BRANCH_LEQ"), message(9, "LEAF"))
        for ways in (packed, mixed):
            lists = [attribute(f"nodes_{name}", way) for name, way in zip(values, ways, strict=True)]
            yield node("TreeEnsembleRegressor", "ai.onnx.ml", b"".join(lists) + modes)

    assert all(FOUND not in kinds(part)[0] for part in written(1))
    assert all(FOUND in kinds(part)[0] for part in written(9))


def test_what_is_hidden_among_the_numbers_is_still_read():
    hidden = message(9, "/tmp/evil.so")
    lists = attribute("nodes_treeids", number(8, 0), hidden)
    assert "onnx.context" in kinds(node("TreeEnsembleRegressor", "ai.onnx.ml", lists))[0]
