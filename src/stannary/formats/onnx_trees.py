"""Ensembles of trees in ONNX whose nodes lead nowhere: a runtime follows them by index, outside of what it has, or for ever.

Source: TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble of ai.onnx.ml, versions 1 to 5.

Fact: `onnx.tree_problem` node, detail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from stannary.formats.interface import Sink, View, clip
from stannary.formats.protobuf import fields, packed, signed, text

__all__ = ["OPERATORS", "report"]

OPERATORS = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})
_NUMBER = re.compile(rb"\x40([\x80-\xff]{0,9}[\x00-\x7f])")  # field 8, as ONNX writes it: one number at a time
_AT_ONCE = 1 << 22  # bytes
_MOST_FEATURES = 1 << 31  # runtimes keep the number of a feature in 32 bits
_LISTS = ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids")


def report(op: str, attributes: Sequence[View], node: str, offset: int, sink: Sink) -> list[View]:
    """State what does not hold of an ensemble, and return the attributes that hold more than numbers.

    Raises BudgetExceeded, which leaves a file incomplete, and FormatError.
    """
    numbers, modes, others = _attributes(attributes, sink)
    detail = _of_indexes(numbers) if op == "TreeEnsemble" else _of_ids(numbers, modes)
    if detail:
        sink.fact("onnx.tree_problem", offset, node=clip(node), detail=detail)
    return others


def _attributes(views: Iterable[View], sink: Sink) -> tuple[dict[str, list[int]], list[str], list[View]]:
    """Return the lists of numbers by name, `nodes_modes`, and what holds more than a name, a type and numbers."""
    found: dict[str, list[int]] = {}
    modes: list[str] = []
    others: list[View] = []
    for view in views:
        name, numbers, left = _run(view, sink)
        more = False
        texts: list[str] = []
        for field in fields(left, sink.budget):
            number, value = field.number, field.value
            if number == 8:
                if isinstance(value, int):
                    numbers.append(value)
                else:
                    sink.budget.take_operations(len(value))  # before they are made: each is at least a byte
                    numbers += packed(field, len(value))
            elif number == 1 and isinstance(value, View):
                name = text(value, 200)
            elif isinstance(value, View):
                more = True
                if number == 9:
                    texts.append(text(value, 20))
        found[name] = [signed(v) for v in numbers]
        if name == "nodes_modes":
            modes = texts
        if more:
            others.append(view)
    return found, modes, others


def _run(view: View, sink: Sink) -> tuple[str, list[int], View]:
    """Return name and numbers of an attribute that begins with them, and the rest of it; of any other nothing, and all of it."""
    data = bytes(view.data[:_AT_ONCE])
    start = 2 + data[1] if len(data) > 2 and data[0] == 10 and data[1] < 128 else 0
    found = _NUMBER.findall(data, start) if start and len(view) < _AT_ONCE and data[start : start + 1] == b"\x40" else []
    run = b"".join((b"\x40", b"\x40".join(found))) if found else b""
    if not found or data[start : start + len(run)] != run:
        return "", [], view
    sink.budget.take_operations(len(found))
    memo: dict[bytes, int] = {}
    numbers = [digits[0] if len(digits) == 1 else memo.get(digits) or memo.setdefault(digits, _varint(digits)) for digits in found]
    return data[2:start].decode("utf-8", "replace"), numbers, view.sub(start + len(run), len(view) - start - len(run))


def _varint(digits: bytes) -> int:
    return sum((digit & 127) << 7 * place for place, digit in enumerate(digits)) & (1 << 64) - 1


def _of_ids(numbers: Mapping[str, list[int]], modes: Sequence[str]) -> str | None:
    """Look at nodes that name each other by tree and id."""
    trees, ids, features, on_true, on_false = (numbers.get(name, []) for name in _LISTS)
    count = len(ids)
    if any(len(column) != count for column in (trees, features, on_true, on_false, modes)):
        return "its lists of nodes are not of one length"
    at = {key: row for row, key in enumerate(zip(trees, ids, strict=True))}
    branches = [row for row in range(count) if modes[row] != "LEAF"]
    if any(not 0 <= features[row] < _MOST_FEATURES for row in branches):
        return "a node asks for a feature that no input has"
    children = {row: ((trees[row], on_true[row]), (trees[row], on_false[row])) for row in branches}
    if any(key not in at for pair in children.values() for key in pair):
        return "a node goes on to one that is not there"
    return (
        "its nodes lead back to themselves"
        if _circular({row: [at[key] for key in pair] for row, pair in children.items()})
        else None
    )


def _of_indexes(numbers: Mapping[str, list[int]]) -> str | None:
    """Look at nodes that name each other, and leaves, by their places in the lists."""
    columns = [
        numbers.get(f"nodes_{name}", []) for name in ("featureids", "truenodeids", "trueleafs", "falsenodeids", "falseleafs")
    ]
    features, on_true, true_leaf, on_false, false_leaf = columns
    nodes, leaves = len(features), len(numbers.get("leaf_targetids", []))
    if any(len(column) != nodes for column in columns):
        return "its lists of nodes are not of one length"
    if any(not 0 <= feature < _MOST_FEATURES for feature in features):
        return "a node asks for a feature that no input has"
    if any(not 0 <= root < nodes for root in numbers.get("tree_roots", [])):
        return "a tree begins with a node that is not there"
    children: dict[int, list[int]] = {row: [] for row in range(nodes)}
    for to, leaf in ((on_true, true_leaf), (on_false, false_leaf)):
        for row in range(nodes):
            if not 0 <= to[row] < (leaves if leaf[row] else nodes):
                return "a node goes on to one that is not there"
            if not leaf[row]:
                children[row].append(to[row])
    return "its nodes lead back to themselves" if _circular(children) else None


def _circular(children: Mapping[int, Sequence[int]]) -> bool:
    """Tell whether one comes back to where one was, by taking away what nothing leads to until nothing is left."""
    waiting = dict.fromkeys(children, 0)
    for to in children.values():
        for child in to:
            if child in waiting:
                waiting[child] += 1
    free = [key for key, count in waiting.items() if not count]
    seen = 0
    while free:
        seen += 1
        for child in children[free.pop()]:
            if child in waiting:
                waiting[child] -= 1
                if not waiting[child]:
                    free.append(child)
    return seen < len(children)
