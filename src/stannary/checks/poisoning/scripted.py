"""The layers of a TorchScript network, which takes no hooks: its graph is read, and cut before its last layer with weights.

The network is frozen first: its weights become constants of one graph, without calls, with batch normalisations folded into the
convolutions before them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from stannary.checks.poisoning.layers import RECURRENT, Layer, places_of
from stannary.core.errors import UsageError

__all__ = ["Cut", "cut"]

_TURNED = frozenset({"aten::t", "aten::numpy_T", "aten::transpose"})


class Cut(NamedTuple):
    """A TorchScript network up to its last layer: `into` gives that one's inputs; `layers` in the order of the graph."""

    layers: tuple[Layer, ...]
    into: Callable[[torch.Tensor], torch.Tensor]


class _Found(NamedTuple):
    layer: Layer
    entry: Any  # torch._C.Value
    nested: bool


def cut(script: torch.jit.ScriptModule) -> Cut:
    """Cut a network before its last layer with weights.

    Raises:
        UsageError: it cannot be frozen, has no such layer, or the last one lies behind a condition or in a loop.
    """
    frozen = _frozen(script)
    graph = frozen.graph.copy()
    found = list(_weighted(graph, nested=False))
    why = "the TorchScript network has no layer with weights that can be looked into" if not found else ""
    if found and found[-1].nested:
        why = "the last layer of the TorchScript network lies behind a condition or in a loop"
    if why:
        msg = f"{why}: it has no activations"
        raise UsageError(msg, help="give the network as a pickled module, or as ONNX")
    for _ in list(graph.outputs()):
        graph.eraseOutput(0)
    graph.registerOutput(found[-1].entry)
    torch._C._jit_pass_dce(graph)  # noqa: SLF001 - torch has no public way to run a part of a graph
    function = torch._C._create_function_from_graph("into", graph)  # noqa: SLF001 - as above
    rest = [one.default_value for one in frozen.forward.schema.arguments[2:]]  # behind the module itself and its input

    def into(x: torch.Tensor) -> torch.Tensor:
        inside: torch.Tensor = function(frozen._c, x, *rest)  # noqa: SLF001 - the graph's first argument
        return inside

    return Cut(tuple(one.layer for one in found), into)


def _frozen(script: torch.jit.ScriptModule) -> Any:  # noqa: ANN401 - a ScriptModule, whose graph its type does not tell
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript itself
            return torch.jit.freeze(script.eval())
    except RuntimeError as exc:
        msg = f"the TorchScript network cannot be frozen, so that its layers are not seen: {str(exc)[:200]}"
        raise UsageError(msg, help="give the network as a pickled module, or as ONNX") from exc


def _weighted(block: Any, *, nested: bool) -> Iterator[_Found]:  # noqa: ANN401 - torch._C's
    """Yield the operations with weights of a graph or a block of one, in their order."""
    for node in block.nodes():
        for inner in node.blocks():
            yield from _weighted(inner, nested=True)
        kind = node.kind().partition("::")[2].strip("_")
        places = places_of(kind)
        given = list(node.inputs())
        if places is None or not node.kind().startswith("aten::") or max(places[:2]) >= len(given):
            continue
        entry, weight = given[places[0]], given[places[1]]
        if kind in RECURRENT:  # several matrices in a list
            yield _Found(Layer(kind, None), entry, nested)
            continue
        value, turned = _constant(weight)
        if value is not None and value.ndim > 1:
            last = places[2] is not turned
            yield _Found(Layer(kind, value.transpose(-1, -2) if last else value), entry, nested)


def _constant(value: Any) -> tuple[torch.Tensor | None, bool]:  # noqa: ANN401 - torch._C.Value
    """Return the tensor that a value is, and whether it was transposed on its way; None where it is computed."""
    turned = False
    node = value.node()
    while node.kind() in _TURNED:
        turned = not turned
        node = next(iter(node.inputs())).node()
    if node.kind() != "prim::Constant" or not node.hasAttribute("value") or node.kindOf("value") != "t":
        return None, turned
    tensor: torch.Tensor = node.t("value")
    return tensor, turned
