"""XGBoost boosters: JSON, UBJSON, and the binary format that version 3.1 gave up.

Format: xgboost `doc/tutorials/saving_model.rst` and `doc/model.schema`. Trees are numbers; what a
loader acts on is the objective and booster names, the sizes, and the free-text attributes.
"""

from __future__ import annotations

import json
import re
import struct

from stannary.core.errors import FormatError, Truncated
from stannary.core.model import Json
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip
from stannary.formats.ubjson import Array, parse

__all__ = ["probe_json", "probe_ubjson", "read_binary", "read_json", "read_ubjson"]

_SIZES = re.compile(r"num_trees|num_feature|num_class|num_nodes|size_leaf_vector|num_target|num_deleted|num_output_group")
_LEARNER_PARAM = 136  # bytes of the binary LearnerModelParam
_MAX_NAME = 256


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
    if len(view) <= sink.budget.limits.text:
        try:
            model = json.loads(view.text(sink.budget.limits.text), object_pairs_hook=_object)
        except (ValueError, RecursionError) as exc:
            msg = f"not JSON: {clip(str(exc))}"
            raise FormatError(msg) from exc
        _Booster(sink).read(model)
        return
    for match in re.finditer(rb'"objective"\s*:\s*\{\s*"name"\s*:\s*"([^"]{1,200})"', view.data):
        sink.fact("xgboost.objective", match.start(), name=match.group(1).decode("utf-8", "replace"))
    for match in re.finditer(rb'"attributes"\s*:\s*(\{[^{}]{0,100000}\})', view.data):
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
            for index, item in enumerate(value):
                if isinstance(item, (dict, list, str)):
                    self._strings(f"{name}[{index}]", item, depth + 1)
        elif isinstance(value, str) and len(value) >= 12:
            hand_on(self.sink, clip(name, 120), value)

    def _size(self, name: str, text: str) -> None:
        number = _whole(text)
        if number is None or number >= 1 << 31:
            self.problem("size", f"{name} is {text}")


def read_binary(view: View, sink: Sink) -> None:
    """Read the learner's parameters and names of a binary booster (`binf`, or none at all before 0.80)."""
    if view.head(4) == b"bs64":
        sink.incomplete("a base64 booster (XGBoost before 0.80) was not decoded")
        return
    start = 4 if view.head(4) == b"binf" else 0
    if len(view) < start + _LEARNER_PARAM:
        msg = "ends inside the learner's parameters"
        raise Truncated(msg, len(view))
    _, features, classes = struct.unpack_from("<fIi", view.data, start)
    sink.fact("xgboost.binary", start, features=features, classes=classes)
    if features > 1 << 30 or not 0 <= classes < 1 << 30:
        sink.fact("xgboost.problem", start, what="size", detail=f"{features} features, {classes} classes")
    pos = start + _LEARNER_PARAM
    for kind in ("objective", "booster"):
        length = int.from_bytes(view.bytes(pos, 8), "little")
        if length > _MAX_NAME:
            sink.fact("xgboost.problem", pos, what="size", detail=f"the name of the {kind} has {length} bytes")
            msg = f"a name of {length} bytes"
            raise FormatError(msg, pos)
        sink.fact(f"xgboost.{kind}", pos, name=view.bytes(pos + 8, length).decode("utf-8", "replace"))
        pos += 8 + length
    tail = view.tail(1 << 16)
    printable = re.findall(rb"[\t\n\x20-\x7e]{24,}", tail[-min(len(tail), len(view) - pos) :])
    for text in printable[:200]:
        hand_on(sink, "attribute", text.decode("ascii"))


def _whole(text: Json) -> int | None:
    try:
        return int(text)
    except (TypeError, ValueError):
        return None


def _length(array: list[Json]) -> int:
    return array.announced if isinstance(array, Array) else len(array)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [k for k, _ in pairs]
        result["\0duplicate"] = next(k for i, k in enumerate(keys) if k in keys[:i])
    return result
