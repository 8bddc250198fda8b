"""What a pickled dictionary tells a library to import, to evaluate or to run, and keys that take for ever to hash.

A state of plain text is harmless to the unpickler and not to what is unpickled: statsmodels evaluates `formula` as Python
when its data are restored, Lightning imports and calls the `_instantiator` of a checkpoint's hyperparameters, YOLO evaluates
the rows of `backbone`, Bio's command lines are handed to a shell when they are called.

Facts (through the recorder):
- state.target: key, name: a dotted name that a framework would import and call
- state.evaluated: key, text: text under a key that some library evaluates or runs
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from stannary.formats.pickle_values import Blob

if TYPE_CHECKING:
    from stannary.formats.pickle_machine import Machine
    from stannary.formats.pickle_record import Recorder

__all__ = ["WATCHED", "notice", "slow_keys"]

_NAMES = frozenset({
    "_target_", "__target__", "_partial_target_", "_instantiator", "class_path", "_class_path", "entry_point", "import_path",
    "function_path", "loader_module", "callable", "()", "py/type", "py/object", "py/function", "py/repr", "py/mod",
})  # fmt: skip
_TEXTS = frozenset({
    "formula", "_formula", "code", "expr", "_expr", "expression", "equation", "equations", "func_codes", "func_code_body",
    "program_name", "command", "cmd", "script", "backbone", "head", "neck", "eval_str", "condition", "rule", "_ezpickle_args",
    "_ezpickle_kwargs", "py/repr", "support_code", "init_code", "c_code",
})  # fmt: skip
WATCHED = _NAMES | _TEXTS  # keys under which texts matter: `pickle_texts.py` goes by them
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:[.:/][A-Za-z_]\w*)+")
_TEXT = 4096
_PARTS = 400  # strings that are looked at under one key
_KEY_NODES = 1 << 12
_FEW = 512  # keys that are looked at all at once
_HASHED = (1 << 61) - 1  # numbers below are their own hash
_ALIKE = 1000  # different keys with the same hash as another one
_SEEN = 1 << 17
_WORK = 40_000_000  # members of tuples, and kilobits of numbers, that are hashed


def notice(machine: Machine, items: list[Any]) -> None:
    """Look at the keys and values that go into a dictionary or an object."""
    keys = items[::2]
    if len(keys) <= _FEW and _are_texts(keys) and WATCHED.isdisjoint(keys):
        return  # nearly always
    at = 0
    for key in keys:
        if type(key) is str:
            if key in WATCHED and at + 1 < len(items):
                _watched(machine, key, items[at + 1])
        elif type(key) is tuple or (type(key) is int and not -_HASHED < key < _HASHED):
            _hashes(machine.recorder, key)
        at += 2


def _are_texts(keys: list[Any]) -> bool:
    """Tell whether all keys are texts: others may take long to hash. Joining them asks that of all at once."""
    try:
        "".join(keys)
    except TypeError:
        return False
    return True


def slow_keys(machine: Machine, keys: list[Any]) -> None:
    """Notice keys that take for ever to hash, or to tell apart."""
    for key in keys:
        if type(key) is tuple or (type(key) is int and not -_HASHED < key < _HASHED):
            _hashes(machine.recorder, key)


def _watched(machine: Machine, key: str, value: Any) -> None:  # noqa: ANN401 - symbolic
    if key in _NAMES and type(value) is str and _DOTTED.fullmatch(value):
        machine.recorder.tell("state.target", machine.offset(), key=key, name=value[:400])
    if key in _TEXTS:
        for text in _strings(value, machine):
            machine.recorder.tell("state.evaluated", machine.offset(), key=key, text=text[:_TEXT])


def _strings(value: Any, machine: Machine) -> list[str]:  # noqa: ANN401 - symbolic
    """Return the texts of a value that could hold a call or a command: short names do not."""
    found: list[str] = []
    todo, seen = [value], 0
    while todo and seen < _PARTS:
        seen += 1
        item = todo.pop()
        if type(item) is str:
            found += [item] if not item.replace("_", "").isalnum() else []
        elif type(item) is Blob and item.kind == "text" and machine.recorder.content is not None:
            found.append(bytes(machine.recorder.content[item.offset : item.offset + _TEXT]).decode("utf-8", "replace"))
        elif type(item) in (tuple, list):
            todo += item[:_PARTS]
    return found


def _hashes(recorder: Recorder, key: Any) -> None:  # noqa: ANN401 - symbolic
    """Count what a key costs a loader.

    Tuples share members, and neither their hash nor a number's is kept. Those of numbers are no secret either: all multiples
    of 2**61 - 1 have the hash 0, and a dictionary compares each with every other.
    """
    keys = recorder.keys
    cost = _nodes(key) if type(key) is tuple else key.bit_length() >> 10
    keys.work += cost
    if cost > _KEY_NODES or keys.work > _WORK:
        recorder.bombs.add("key")
    elif not recorder.bombs:
        if len(keys.seen) > _SEEN:
            keys.seen.clear()
        try:
            other = keys.seen.setdefault(hash(key), key)
            alike = other is not key and other != key
        except (TypeError, RecursionError):
            return  # a tuple of a list, or two that are too deep to compare: the loader's dictionary refuses them too
        if alike:
            keys.alike.add(key)
            if len(keys.alike) > _ALIKE:
                recorder.bombs.add("key")


def _nodes(key: tuple[Any, ...]) -> int:
    todo, seen = [key], 0
    while todo and seen <= _KEY_NODES:
        for item in todo.pop():
            seen += 1
            if type(item) is tuple:
                todo.append(item)
            elif type(item) is int:
                seen += item.bit_length() >> 10
    return seen
