"""The binary booster of XGBoost before 3.1: parameters, trees, attributes, all of it.

Format: xgboost `src/learner.cc` (LearnerIO::Load), `src/gbm/gbtree_model.cc` and `src/tree/tree_model.cc` of versions 0.90
to 2.x: structs written as they lie in memory, little-endian.
"""

from __future__ import annotations

import struct

from stannary.core.errors import FormatError, Truncated
from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Cursor, Sink, View, clip

__all__ = ["read"]

_LEARNER_PARAM = 136  # bytes of LearnerModelParamLegacy
_TREES_PARAM = 160  # bytes of GBTreeModelParam
_TREE_PARAM = 148  # bytes of TreeParam
_NODE = 20 + 16  # bytes of a node and of its statistics
_LINEAR_PARAM = 136
_MAX_NAME = 256
_MAX_TREES = 10_000_000


def read(view: View, sink: Sink) -> None:
    """Report sizes, names and attributes; what follows them is handed on.

    Raises Truncated and FormatError. The base64 form of versions before 0.80 is incomplete.
    """
    if view.head(4) == b"bs64":
        sink.incomplete("a base64 booster (XGBoost before 0.80) was not decoded")
        return
    cursor = Cursor(view, 4 if view.head(4) == b"binf" else 0)
    start = cursor.pos
    head = cursor.take(_LEARNER_PARAM)
    _, features, classes, attributes, metrics = struct.unpack_from("<fIiii", head)
    sink.fact("xgboost.binary", start, features=features, classes=classes)
    if features > 1 << 30 or not 0 <= classes < 1 << 30:
        _problem(sink, start, f"{features} features, {classes} classes")
    names = {}
    for kind in ("objective", "booster"):
        at = cursor.pos
        names[kind] = _text(cursor, kind, sink, _MAX_NAME)
        sink.fact(f"xgboost.{kind}", at, name=clip(names[kind]))
    if names["booster"] in {"gbtree", "dart"}:
        _trees(cursor, sink, dart=names["booster"] == "dart")
    elif names["booster"] == "gblinear":
        cursor.skip(_LINEAR_PARAM)
        cursor.skip(4 * cursor.uint(8))
    else:
        msg = f"unknown booster {clip(names['booster'], 40)!r}"
        raise FormatError(msg, cursor.pos)
    if attributes:
        for _ in range(_count(cursor, 16, sink)):
            key = _text(cursor, "attribute", sink, 1 << 20)
            hand_on(sink, clip(key, 80), _text(cursor, key, sink, 8 << 20), cursor.pos)
    if metrics:
        for _ in range(_count(cursor, 8, sink)):
            hand_on(sink, "metric", _text(cursor, "metric", sink, 1 << 20), cursor.pos)
    _rest(cursor, view, sink)


def _rest(cursor: Cursor, view: View, sink: Sink) -> None:
    if not cursor.left:
        return
    rest = view.data[cursor.pos :]
    sink.fact("xgboost.problem", cursor.pos, what="trailing", detail=f"{len(rest)} bytes behind the booster")
    hand_on(sink, "trailing", bytes(rest[: 1 << 16]).decode("latin-1"), cursor.pos)
    sink.child("trailing", rest, offset=cursor.pos)


def _trees(cursor: Cursor, sink: Sink, *, dart: bool) -> None:
    at = cursor.pos
    count = struct.unpack_from("<i", cursor.take(_TREES_PARAM))[0]
    if not 0 <= count <= _MAX_TREES or count * (_TREE_PARAM + _NODE) > cursor.left:
        _problem(sink, at, f"{count} trees, {cursor.left} bytes are left")
        msg = f"{count} trees cannot be in {cursor.left} bytes"
        raise Truncated(msg, at)
    sink.budget.take_operations(count)
    for _ in range(count):
        at = cursor.pos
        _, nodes, _, _, _, leaf = struct.unpack_from("<6i", cursor.take(_TREE_PARAM))
        if nodes <= 0 or nodes * _NODE > cursor.left:
            _problem(sink, at, f"a tree of {nodes} nodes, {cursor.left} bytes are left")
            msg = f"a tree of {nodes} nodes"
            raise Truncated(msg, at)
        cursor.skip(nodes * _NODE)
        if leaf > 1:  # version 2 writes 1 for a plain number
            cursor.skip(4 * cursor.uint(8))
    cursor.skip(4 * count)
    if dart and count:
        cursor.skip(4 * cursor.uint(8))


def _count(cursor: Cursor, least: int, sink: Sink) -> int:
    at = cursor.pos
    count = cursor.uint(8)
    if count * least > cursor.left:
        _problem(sink, at, f"{count} texts, {cursor.left} bytes are left")
        msg = f"{count} texts cannot be in {cursor.left} bytes"
        raise Truncated(msg, at)
    return count


def _text(cursor: Cursor, what: str, sink: Sink, limit: int) -> str:
    at = cursor.pos
    length = cursor.uint(8)
    if length > min(limit, cursor.left):
        _problem(sink, at, f"{clip(what, 60)} of {length} bytes, {cursor.left} are left")
        msg = f"a text of {length} bytes"
        raise Truncated(msg, at)
    return cursor.take(length).decode("utf-8", "replace")


def _problem(sink: Sink, at: int, detail: str) -> None:
    sink.fact("xgboost.problem", at, what="size", detail=detail)
