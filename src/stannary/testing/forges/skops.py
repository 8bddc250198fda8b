"""skops archives: estimators, and nodes that name what no estimator is made of."""

from __future__ import annotations

import json
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._small_zip import small_zip

_F = "skops"
Node = dict[str, Any]


def node(loader: str, module: str, name: str, **rest: Any) -> Node:  # noqa: ANN401
    """Return one node as skops writes it."""
    return {"__class__": name, "__module__": module, "__loader__": loader, **rest}


def _value(text: str) -> Node:
    return node("JsonNode", "builtins", "str", content=json.dumps(text), is_json=True)


def _estimator(**attributes: Node) -> Node:
    content = node("DictNode", "builtins", "dict", content=attributes, key_types=node("ListNode", "builtins", "list", content=[]))
    return node("ObjectNode", "sklearn.linear_model._logistic", "LogisticRegression", content=content)


def archive(root: Node | str) -> bytes:
    """Return the archive of a schema."""
    text = root if isinstance(root, str) else json.dumps({**root, "protocol": 2, "_skops_version": "0.14.0"})
    return small_zip({"schema.json": text.encode()})


def _system(loader: str) -> Node:
    return node(loader, "os", "system", content=node("TupleNode", "builtins", "tuple", content=[_value("echo stannary")]))


_HOSTILE: dict[str, Node | str] = {
    "system": _estimator(solver=_system("FunctionNode")),
    "reduce": _estimator(solver=_system("ConstructorFromReduceNode")),
    "object": _system("ObjectNode"),
    "type": node("TypeNode", "builtins", "eval"),
    "partial": node(
        "PartialNode", "functools", "partial",
        content={"func": node("FunctionNode", "posix", "system"), "args": _value("echo stannary"), "kwds": _value(""), "namespace": _value("")},
    ),
    "stdlib": _estimator(solver=node("FunctionNode", "colorsys", "rgb_to_hls")),
    "operator": node("OperatorFuncNode", "builtins", "getattr", attrs=node("TupleNode", "builtins", "tuple", content=[])),
    "methodcaller": node("OperatorFuncNode", "operator", "methodcaller", attrs=node("TupleNode", "builtins", "tuple", content=[_value("run")])),
    "method": node("MethodNode", "sklearn.linear_model._logistic", "LogisticRegression", content={"func": "fit", "obj": node("ObjectNode", "builtins", "type")}),
    "method_private": node("MethodNode", "builtins", "dict", content={"func": "__reduce__", "obj": node("DictNode", "builtins", "dict")}),
    "member": node("NdArrayNode", "numpy", "ndarray", type="numpy", file="../../outside.npy"),
    "duplicate": '{"__class__": "LogisticRegression", "__module__": "sklearn.linear_model._logistic", "__loader__": "ObjectNode", "__class__": "Pipeline"}',
    "function_old": node("FunctionNode", "builtins", "dict", content={"module_path": "os", "function": "system"}),
}  # fmt: skip


def _register(name: str, root: Node | str, *, malicious: bool | None) -> None:
    forge(f"skops.{name}", filename="model.skops", family=_F, malicious=malicious)(lambda: archive(root))


for _name, _root in _HOSTILE.items():
    _register(_name, _root, malicious=True)
_register("plain", _estimator(solver=_value("lbfgs"), n_jobs=node("TypeNode", "numpy", "float64")), malicious=False)
_register("unknown", node("ObjectNode", "acme_models.core", "Predictor", content=_value("x")), malicious=None)
_register("broken", '{"__loader__": "ObjectNode", ', malicious=None)
