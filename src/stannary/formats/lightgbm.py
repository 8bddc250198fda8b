"""LightGBM text models: a header, trees, and the parameters that trained them.

Format: LightGBM `src/boosting/gbdt_model_text.cpp` (version v2 to v4). The loader trusts
`tree_sizes`, `num_leaves` and the lengths of the arrays; they are compared with the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stannary.core.errors import BudgetExceeded, FormatError, Truncated
from stannary.formats.bounded_json import loads
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Sink, View, clip

__all__ = ["read"]

_MAX_LINE = 16 << 20
_MAX_LINES = 500_000
_SHORT = 12  # characters below which a line holds no code
_LINE = re.compile(rb"[^\n]*+\n?")
_PER_LEAF = frozenset({b"leaf_value", b"leaf_weight", b"leaf_count"})
_PER_SPLIT = frozenset(
    {b"split_feature", b"split_gain", b"threshold", b"decision_type", b"left_child", b"right_child", b"internal_value"}
)
_PARAMETER = re.compile(r"^\[(\w+): (.*)\]$")
_FILES = re.compile(r"_(?:file|filename|model|list)$|^data$|^valid$")


def read(view: View, sink: Sink) -> None:
    """Report objective, sizes that do not hold, parameters that name files, and odd texts.

    Raises Truncated when the model ends before its trees do.
    """
    header: dict[str, str] = {}
    tree: dict[bytes, bytes] = {}
    trees = 0
    section = "header"
    for at, raw in _lines(view, sink):
        if section == "tree":
            if raw.startswith(b"Tree="):
                _check_tree(tree, trees - 1, sink)
                tree, trees = {}, trees + 1
            elif raw == b"end of trees":
                _check_tree(tree, trees - 1, sink)
                section = "tail"
            elif raw:
                key, _, value = raw.partition(b"=")
                tree[key] = value
            continue
        line = raw.decode("utf-8", "replace")
        if line.startswith("Tree="):
            section, tree, trees = "tree", {}, trees + 1
        elif line == "end of trees":
            section = "tail"
        elif section == "header":
            _header(line, at, header, sink)
        elif section == "end" and raw and not line.startswith("pandas_categorical:"):
            # Bindings of other languages write nothing more: what comes is read for itself, and its first line as text.
            hand_on(sink, "tail", line, at)
            sink.child("(behind the model)", view.data[at:], offset=at)
            break
        else:
            section = _after(line, at, section, sink)
    _finish(header, trees, section, sink)


def _header(line: str, at: int, header: dict[str, str], sink: Sink) -> None:
    key, _, value = line.partition("=")
    header[key] = value
    if key not in {"feature_infos", "tree_sizes"} and len(line) >= _SHORT:
        hand_on(sink, clip(key, 60), value or key, at)


def _after(line: str, at: int, section: str, sink: Sink) -> str:
    """Read a line behind the trees and return the section of the next."""
    if line.startswith("parameters:"):
        return "parameters"
    if line == "end of parameters":
        return "end"
    if line.startswith("pandas_categorical:"):
        _categories(line.partition(":")[2], at, sink)
        return "end"
    if section == "parameters":
        _parameter(line, at, sink)
    elif len(line) >= _SHORT:
        hand_on(sink, "tail", line, at)
    return section


def _lines(view: View, sink: Sink) -> Iterator[tuple[int, bytes]]:
    for count, match in enumerate(_LINE.finditer(view.data)):
        if count >= _MAX_LINES:
            msg = f"more than {_MAX_LINES} lines"
            raise BudgetExceeded(msg, match.start())
        raw = match.group()
        if len(raw) > _MAX_LINE:
            sink.incomplete(f"a line of {len(raw)} bytes was not read", match.start())
        else:
            yield match.start(), raw.rstrip(b"\r\n")


def _finish(header: dict[str, str], trees: int, section: str, sink: Sink) -> None:
    objective = header.get("objective", "")
    sink.fact("lightgbm.model", 0, version=clip(header.get("version", ""), 20), objective=clip(objective, 80), trees=trees)
    for key in ("num_class", "num_tree_per_iteration", "max_feature_idx", "label_index"):
        value = header.get(key)
        if value is not None and not re.fullmatch(r"-?\d{1,9}", value):
            sink.fact("lightgbm.problem", None, what="size", detail=clip(f"{key} is {value}"))
    sizes = header.get("tree_sizes", "").split()
    if sizes and len(sizes) != trees:
        sink.fact("lightgbm.problem", None, what="tree_count", detail=f"{len(sizes)} tree sizes, {trees} trees")
    if section in {"header", "tree", "parameters"}:
        msg = "the model ends before its trees or parameters do"
        raise Truncated(msg)


def _check_tree(tree: dict[bytes, bytes], index: int, sink: Sink) -> None:
    if not tree:
        return
    leaves = tree.get(b"num_leaves", b"")
    if not re.fullmatch(rb"\d{1,9}", leaves):
        sink.fact("lightgbm.problem", None, what="size", detail=clip(f"tree {index}: num_leaves is {leaves!r}"))
        return
    for name in (b"left_child", b"right_child"):
        far = next((w for w in tree.get(name, b"").split() if not _is_child(w, int(leaves))), None)
        if far is not None:
            sink.fact(
                "lightgbm.problem",
                None,
                what="child",
                detail=clip(f"tree {index}: {name.decode()} names {far!r} of {leaves!r} leaves"),
            )
            return
    for names, wanted in ((_PER_LEAF, int(leaves)), (_PER_SPLIT, int(leaves) - 1)):
        for name in sorted(names & tree.keys()):
            there = len(tree[name].split())
            if there != wanted and there:
                sink.fact(
                    "lightgbm.problem",
                    None,
                    what="node_count",
                    detail=f"tree {index}: {name.decode()} has {there} of {wanted} values",
                )
                return


def _is_child(word: bytes, leaves: int) -> bool:
    """Tell whether a child is a split of its tree, or, as a negative number, one of its leaves."""
    if not re.fullmatch(rb"-?\d{1,9}", word):
        return False
    return -leaves <= int(word) < max(leaves - 1, 1)


def _parameter(line: str, at: int, sink: Sink) -> None:
    match = _PARAMETER.match(line)
    if match is None:
        if line and line != "end of parameters":
            hand_on(sink, "parameters", line, at)
        return
    name, value = match.groups()
    if value and _FILES.search(name):
        sink.fact("lightgbm.file", at, name=name, path=clip(value))
    hand_on(sink, clip(name, 60), value, at)


def _categories(text: str, at: int, sink: Sink) -> None:
    """Check the JSON the Python package parses from the last line."""
    if text == "null":
        return
    try:
        values = loads(text)
    except FormatError:
        sink.fact("lightgbm.problem", at, what="categories", detail="pandas_categorical is not JSON")
        hand_on(sink, "pandas_categorical", text, at)
        return
    for column in values if isinstance(values, list) else [values]:
        for value in column if isinstance(column, list) else [column]:
            if isinstance(value, str) and len(value) >= 24:
                hand_on(sink, "pandas_categorical", value, at)
