"""Which values of Python source name the source itself: its file, its folder, the sources in it.

A value is `file` (this source), `folder` (where it lies), `sources` (what a pattern finds of sources there) or `name` (the file's
name without its folder).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stannary.formats.python_values import Value

__all__ = ["FILE", "FOLDER", "NAMES", "SOURCES", "below", "named", "of_call", "of_member"]

FILE, FOLDER, SOURCES, _NAME = "file", "folder", "sources", "name"
#: Names that every module has, and what they are.
NAMES = {"__file__": FILE, "__path__": FOLDER, "__spec__": "", "__loader__": ""}
_SAME = frozenset({
    "os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.normcase", "os.path.expanduser", "os.fspath", "str",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePath",
})  # fmt: skip
_TOLD = frozenset({"inspect.getfile", "inspect.getsourcefile", "inspect.getabsfile", "inspect.getmodule"})
_JOINS = frozenset({"os.path.join", "pathlib.Path", "pathlib.PosixPath"})
_LISTS = frozenset({"glob.glob", "glob.iglob", "list", "sorted", "iter", "reversed"})
_METHODS = frozenset({"resolve", "absolute", "expanduser", "as_posix", "__fspath__", "__str__"})
_PARTS = {"parent": FOLDER, "parents": FOLDER, "name": _NAME}
_PATTERN = re.compile(r"(?:\*\*/)?(?:\*(?:\.\*)?|[\w*-]+\.py)")
_FRAME_FILE = re.compile(r"inspect\.(?:stack\(\)\[\]|getframeinfo\(\)|trace\(\)\[\])\.filename")


def named(name: str) -> Value:
    """Return one of the names that every module has."""
    value = Value(name, frozenset({name}))
    value.own = NAMES[name]
    return value


def below(own: str, part: str) -> str:
    """Return what a path is, made of a folder and a part below it."""
    return SOURCES if own == FOLDER and _PATTERN.fullmatch(part) else ""


def of_member(own: str, name: str, attribute: str) -> str:
    """Return what a member of a value is."""
    if (
        name in {"__spec__.origin", "__loader__.path", "__loader__.get_filename"}
        or attribute == "co_filename"
        or _FRAME_FILE.fullmatch(name)
    ):
        return FILE
    return _PARTS.get(attribute, own) if own else ""


def of_call(name: str, args: Sequence[str], last: str, receiver: str) -> str:
    """Return what a call results in. `args`, `receiver`: what these are; `last`: the text of the last argument."""
    first = args[0] if args else ""
    method = name.rpartition(".")[2]
    if name in _TOLD or name == "__loader__.get_filename":
        return FILE
    if name in _JOINS and len(args) > 1:
        return below(first, last) or (FILE if args[-1] == _NAME and first == FOLDER else "") if len(args) == 2 else ""
    if name in _SAME or name in _LISTS:
        return first
    if name == "os.path.dirname":
        return FOLDER if first in {FILE, FOLDER} else ""
    if name == "os.path.basename":
        return _NAME if first == FILE else ""
    if method in {"glob", "rglob"}:
        return SOURCES if receiver == FOLDER and _PATTERN.fullmatch(last) else ""
    return receiver if method in _METHODS else ""
