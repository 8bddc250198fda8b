"""ONNX graphs that never end or lead nowhere: loops without bound, ensembles of trees without nodes; and such as exporters write."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from stannary.testing.forges import forge
from stannary.testing.forges._protobuf_writer import message, number
from stannary.testing.forges.onnx import FAMILY, attribute, graph, model, node, tensor
from stannary.testing.forges.onnx_sizes import makes, numbers

__all__ = ["loop", "trees"]

_ENDLESS = (1 << 63) - 1
_TRUE = message(5, tensor("true", (), 9, b"\1"))
_COUNTED = numbers("ten", 10)
_FOREVER = numbers("ever", _ENDLESS)
_LONG = numbers("long", 1 << 62)


def _end(field: int, name: str) -> bytes:
    return message(field, message(1, name))


def loop(rounds: str, going: str, *body: bytes, out: str) -> bytes:
    """Return a loop as a field of a graph; its body has the inputs `i`, `c` and `v`, and the condition `out`."""
    inside = b"".join([*body, message(2, "body"), _end(11, "i"), _end(11, "c"), _end(11, "v"), _end(12, out), _end(12, "v")])
    return makes("Loop", rounds, going, "x", to="y", attributes=attribute("body", message(6, inside), number(20, 5)))


_KEPT = makes("Identity", "c", to="o")
_CONSTANT = makes("Constant", to="o", attributes=attribute("value", message(5, tensor("", (), 9, b"\1")), number(20, 4)))
_COMPUTED = makes("Less", "i", "limit", to="o")
_LOOPS = {
    "true": (_FOREVER, _TRUE, loop("ever", "true", _CONSTANT, out="o")),
    "initializer": (_TRUE, loop("", "true", message(5, tensor("o", (), 9, b"\1")), out="o")),
    "kept": (_LONG, _TRUE, loop("long", "true", _KEPT, out="o")),
    "unbounded": (loop("", "", _KEPT, out="o"),),
    "handed_on": (_FOREVER, loop("ever", "", makes("Identity", "c", to="a"), makes("Cast", "a", to="o"), out="o")),
    "passed_through": (_FOREVER, _TRUE, loop("ever", "true", out="c")),
}
for _name, _parts in _LOOPS.items():
    forge(f"onnx.loop_{_name}", filename="model.onnx", family=FAMILY, malicious=True)(partial(model, *_parts))
forge("onnx.loop_within", filename="model.onnx", family=FAMILY, malicious=True)(
    partial(
        model,
        _TRUE,
        _FOREVER,
        makes("If", "x", attributes=attribute("then_branch", message(6, graph(_LOOPS["true"][2])), number(20, 5))),
    )
)


@forge("onnx.loops_plain", filename="model.onnx", family=FAMILY, malicious=False)
def _() -> bytes:
    return model(
        _TRUE, _FOREVER, _COUNTED,
        loop("ten", "true", _CONSTANT, out="o"),
        loop("ten", "", _KEPT, out="o"),
        loop("ever", "true", _COMPUTED, out="o"),
        loop("length", "true", _KEPT, out="o"),
    )  # fmt: skip


def trees(lists: Mapping[str, tuple[int, ...]], modes: str = "", op: str = "TreeEnsembleRegressor") -> bytes:
    """Return an ensemble as a field of a graph: `modes` of B(ranch) and L(eaf), and its lists, those of nodes without `nodes_`."""
    full = {name if name.startswith("leaf") else f"nodes_{name}": values for name, values in lists.items()}
    parts = [attribute(name, *(number(8, v % (1 << 64)) for v in values), number(20, 7)) for name, values in full.items()]
    if modes:
        names = {"B": "BRANCH_LEQ", "L": "LEAF"}
        parts.append(attribute("nodes_modes", *(message(9, names[m]) for m in modes), number(20, 8)))
    return node(op, "ai.onnx.ml", b"".join(parts))


_TREE = {"treeids": (0, 0, 0), "nodeids": (0, 1, 2), "featureids": (3, 0, 0), "truenodeids": (1, 0, 0), "falsenodeids": (2, 0, 0)}
_FLAT = {
    "featureids": (1, 0),
    "truenodeids": (1, 0),
    "trueleafs": (0, 1),
    "falsenodeids": (1, 1),
    "falseleafs": (1, 1),
    "leaf_targetids": (0, 0),
}
_SPOILED: dict[str, dict[str, tuple[int, ...]]] = {
    "child_missing": {"truenodeids": (99999, 0, 0)},
    "child_negative": {"falsenodeids": (-5, 0, 0)},
    "other_tree": {"treeids": (0, 1, 1)},
    "feature_large": {"featureids": (1 << 40, 0, 0)},
    "feature_negative": {"featureids": (-1, 0, 0)},
    "circle": {"truenodeids": (0, 0, 0)},
    "short": {"featureids": (3,)},
}
for _name, _change in _SPOILED.items():
    forge(f"onnx.tree_{_name}", filename="model.onnx", family=FAMILY, malicious=True)(
        partial(model, trees({**_TREE, **_change}, "BLL"))
    )
_FLAT_SPOILED: dict[str, dict[str, tuple[int, ...]]] = {
    "node": {"truenodeids": (7, 0)}, "leaf": {"falsenodeids": (1, 2)}, "circle": {"truenodeids": (0, 0)}, "feature": {"featureids": (1 << 33, 0)},
}  # fmt: skip
for _name, _change in _FLAT_SPOILED.items():
    forge(f"onnx.trees_{_name}", filename="model.onnx", family=FAMILY, malicious=True)(
        partial(model, trees({**_FLAT, **_change}, op="TreeEnsemble"))
    )


@forge("onnx.trees_plain", filename="model.onnx", family=FAMILY, malicious=False)
def _() -> bytes:
    leaf = dict.fromkeys(_TREE, (0,))
    return model(trees(_TREE, "BLL"), trees(leaf, "L", "TreeEnsembleClassifier"), trees(_FLAT, op="TreeEnsemble"))
