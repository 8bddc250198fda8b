"""XGBoost boosters as JSON and UBJSON (`xgboost_binary.py` reads the older binary format).

Format: xgboost `doc/tutorials/saving_model.rst` and `doc/model.schema`. Trees are numbers; what a
loader acts on is the objective and booster names, the sizes, and the free-text attributes.
"""

from __future__ import annotations

import itertools
import re

from stannary.core.errors import BudgetExceeded
from stannary.core.model import Json
from stannary.formats.bounded_json import load
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.ubjson import Array, parse

__all__ = ["probe_json", "probe_ubjson", "read_json", "read_ubjson"]

_NUMBERS = frozenset({int, float})
_NODES = 1 << 16
_SIZES = re.compile(r"num_trees|num_feature|num_class|num_nodes|size_leaf_vector|num_target|num_deleted|num_output_group")


def probe_json(view: View) -> bool:
    """Tell whether a JSON object has the parts of a booster near its start."""
    head = view.head(1 << 16).lstrip(b" \t\r\n\xef\xbb\xbf")
    return head[:1] == b"{" and b'"learner"' in head and (b'"gradient_booster"' in head or b'"attributes"' in head)


def probe_ubjson(view: View) -> bool:
    """Tell whether an object with a length-prefixed key begins here."""
    head = view.head(24)
    if head[:1] != b"{" or len(head) < 5:
        return False
    if head[1:2] in {b"$", b"#"}:
        return head[2:3] in b"iUIlLSCHTFZ[{$#"
    width = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8}.get(head[1:2])
    if width is None:
        return False
    length = int.from_bytes(head[2 : 2 + width], "big")
    return 0 < length < 4096 and head[2 + width : 3 + width].isalpha()


def read_json(view: View, sink: Sink) -> None:
    """Read a booster saved as JSON; one too large to parse is searched for its names."""
    try:
        model = load(view, sink)
    except BudgetExceeded:
        _search(view, sink)
        return
    _Booster(sink).read(model)


def _search(view: View, sink: Sink) -> None:
    for match in re.finditer(rb'"objective"\s*:\s*\{\s*"name"\s*:\s*"([^"]{1,200})"', view.data):
        sink.fact("xgboost.objective", match.start(), name=match.group(1).decode("utf-8", "replace"))
    for match in itertools.islice(re.finditer(rb'"attributes"\s*:\s*(\{[^{}]{0,100000}\})', view.data), 100):
        hand_on(sink, "attributes", match.group(1).decode("utf-8", "replace"), match.start())
    sink.fact("xgboost.large", 0, size=len(view))


def read_ubjson(view: View, sink: Sink) -> None:
    """Read a UBJSON document; what follows it is handed on."""
    model, end = parse(view, sink.budget.take_operations)
    _Booster(sink).read(model)
    if end < len(view):
        sink.fact("xgboost.problem", end, what="trailing", detail=f"{len(view) - end} bytes behind the document")
        sink.child("trailing", view.data[end:], offset=end)


class _Booster:
    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def problem(self, what: str, detail: str) -> None:
        self.sink.fact("xgboost.problem", None, what=what, detail=clip(detail))

    def read(self, model: Json) -> None:
        if not isinstance(model, dict):
            self.problem("structure", "the document is not an object")
            return
        learner = model.get("learner", model.get("Model"))
        self.sink.fact("xgboost.model", 0, version=str(model.get("version"))[:40], keys=[clip(k, 40) for k in list(model)[:20]])
        self._strings("", model, 0)
        if isinstance(learner, dict):
            self._learner(learner)

    def _learner(self, learner: dict[str, Json]) -> None:
        if isinstance(learner.get("learner"), dict):  # a checkpoint with its configuration
            learner = learner["learner"]
        objective = learner.get("objective")
        if isinstance(objective, dict):
            self.sink.fact("xgboost.objective", None, name=clip(str(objective.get("name"))))
        booster = learner.get("gradient_booster")
        if not isinstance(booster, dict):
            return
        self.sink.fact("xgboost.booster", None, name=clip(str(booster.get("name"))))
        inner = booster.get("gbtree", booster)
        model = inner.get("model") if isinstance(inner, dict) else None
        if isinstance(model, dict):
            self._trees(model)

    def _trees(self, model: dict[str, Json]) -> None:
        trees = model.get("trees")
        parameters = model.get("gbtree_model_param")
        announced = _whole(parameters.get("num_trees")) if isinstance(parameters, dict) else None
        if isinstance(trees, list) and announced is not None and len(trees) != announced:
            self.problem("tree_count", f"{announced} trees announced, {len(trees)} are there")
        for index, tree in enumerate(trees if isinstance(trees, list) else ()):
            if not isinstance(tree, dict):
                continue
            wanted = _whole((tree.get("tree_param") or {}).get("num_nodes")) if isinstance(tree.get("tree_param"), dict) else None
            for field in ("left_children", "right_children", "split_conditions", "split_indices", "parents"):
                array = tree.get(field)
                if wanted is not None and isinstance(array, list) and _length(array) != wanted:
                    self.problem("node_count", f"tree {index}: {field} has {_length(array)} of {wanted} nodes")
                    return
                if field.endswith("_children") and type(array) is list and 0 in array[:_NODES]:
                    self.problem("child", f"tree {index}: {field} leads back to the root")  # no walk down such a tree ends
                    return
                if field.endswith("_children") and isinstance(array, list) and (child := _no_child(array, wanted)) is not None:
                    self.problem("child", f"tree {index}: {field} names node {child} of {wanted}")
                    return

    def _strings(self, name: str, value: Json, depth: int) -> None:
        """Look at every text and every size of the document."""
        if depth > 40:
            self.problem("nesting", f"{name}: nested deeper than 40")
            return
        if isinstance(value, dict):
            if "\0duplicate" in value:
                twice = value.pop("\0duplicate")
                self.problem("duplicate_key", f"{name} has the key {twice} twice")
            for key, item in value.items():
                self._strings(f"{name}.{key}" if name else key, item, depth + 1)
                if isinstance(item, str) and _SIZES.fullmatch(key):
                    self._size(f"{name}.{key}", item)
        elif isinstance(value, list):
            if _NUMBERS.issuperset(map(type, value)):
                return  # nearly all of a model, in a third of the time
            for index, item in enumerate(value):
                if isinstance(item, (dict, list, str)):
                    self._strings(f"{name}[{index}]", item, depth + 1)
        elif isinstance(value, str) and len(value) >= 12:
            hand_on(self.sink, clip(name, 120), value)

    def _size(self, name: str, text: str) -> None:
        number = _whole(text)
        if number is None or number >= 1 << 31:
            self.problem("size", f"{name} is {text}")


def _no_child(array: list[Json], nodes: int | None) -> int | None:
    """Return a child that is no node of its tree; -1 stands for none."""
    bounds = array.bounds() if isinstance(array, Array) else None
    if bounds is None:
        numbers = [item for item in array if isinstance(item, int)]
        if not numbers or len(numbers) != len(array):
            return None
        bounds = min(numbers), max(numbers)
    low, high = bounds
    return high if high >= (_length(array) if nodes is None else nodes) else low if low < -1 else None


def _whole(text: Json) -> int | None:
    try:
        return int(text)
    except (TypeError, ValueError):
        return None


def _length(array: list[Json]) -> int:
    return array.announced if isinstance(array, Array) else len(array)
