"""What rendered values of a pickle were made by: functions and classes of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

__all__ = ["CLASS_MAKERS", "FUNCTION_MAKERS", "flat", "is_class", "made_by"]

_CLASS = re.compile(r"(?:^|\.)_*(?:[A-Z]\w*|type|object|dict|list|tuple|set|frozenset|int|float|str|bytes)\Z")
CLASS_MAKERS = frozenset({
    "cloudpickle.cloudpickle._make_skeleton_class", "cloudpickle.cloudpickle._make_skeleton_enum",
    "cloudpickle.cloudpickle._lookup_class_or_track", "cloudpickle.cloudpickle._builtin_type", "dill._dill._create_type",
    "dill._dill._load_type", "dill._dill._create_namedtuple", "types.new_class",
})  # fmt: skip
FUNCTION_MAKERS = frozenset({
    "cloudpickle.cloudpickle._make_function", "cloudpickle.cloudpickle._make_skel_func", "cloudpickle.cloudpickle._builtin_type",
    "dill._dill._create_function",
})  # fmt: skip


def made_by(value: Any) -> str:  # noqa: ANN401 - rendered JSON
    """Return what a rendered value was made by, in the spelling of the original cloudpickle; '' when it is no result."""
    made = (value.get("call") or value.get("object") or "") if isinstance(value, dict) else ""
    return "cloudpickle.cloudpickle." + made.rpartition(".")[2] if ".cloudpickle.cloudpickle" in made else made


def is_class(value: Any) -> bool:  # noqa: ANN401 - rendered JSON
    """Tell whether a rendered value is a class: named like one, or defined by the pickle."""
    if not isinstance(value, dict):
        return False
    made, args = made_by(value), value.get("args")
    if made in {"builtins.getattr", "dill._dill._get_attr"}:
        return isinstance(args, list) and isinstance(args[-1], str) and bool(_CLASS.search(args[-1]))
    return bool(_CLASS.search(value["global"])) if "global" in value else made in CLASS_MAKERS


def flat(value: Any, *, into_classes: bool = True) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - rendered JSON
    """Yield every object of rendered arguments; what a class of the pickle's own consists of is left out when asked."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, list):
            todo += item
        elif isinstance(item, dict):
            yield item
            if into_classes or made_by(item) not in CLASS_MAKERS:
                todo += [item[key] for key in ("args", "list", "dict") if key in item]
