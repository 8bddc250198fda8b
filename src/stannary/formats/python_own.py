"""Which values of Python source name the source itself: its file, its folder, the sources in it.

A value is `file` (this source), `folder` (where it lies), `sources` (what a pattern finds of sources there) or `name` (the file's
name without its folder). A `module` is the module's own name, by which its files are found and loaded; facts do not tell it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stannary.formats.python_values import Value

__all__ = ["FILE", "FOLDER", "MODULE", "NAMES", "SOURCES", "below", "named", "of_call", "of_member"]

FILE, FOLDER, SOURCES, MODULE, _NAME = "file", "folder", "sources", "module", "name"
#: Names that every module has, and what they are.
NAMES = {"__file__": FILE, "__path__": FOLDER, "__spec__": "", "__loader__": "", "__name__": MODULE, "__package__": MODULE}
_SAME = frozenset({
    "os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.normcase", "os.path.expanduser", "os.fspath", "str",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePath", "importlib.resources.as_file", "importlib_resources.as_file",
    "git.Repo", "git.repo.Repo",
})  # fmt: skip
_TOLD = frozenset({"inspect.getfile", "inspect.getsourcefile", "inspect.getabsfile", "inspect.getmodule"})
_RESOURCES = frozenset({"importlib.resources.path", "pkg_resources.resource_filename", "importlib_resources.path"})
_FILES = frozenset({"importlib.resources.files", "importlib_resources.files"})
_LOADED = frozenset({"importlib.util.find_spec", "importlib.import_module", "pkgutil.get_loader"})
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
    if first == MODULE or (name in _FILES and not args):
        return _of_module(name, last)
    if name in _JOINS and len(args) > 1:
        return below(first, last) or (FILE if args[-1] == _NAME and first == FOLDER else "") if len(args) == 2 else ""
    if name in _SAME or name in _LISTS:
        return first
    if name == "os.path.dirname":
        return FOLDER if first in {FILE, FOLDER} else ""
    if name == "os.path.basename":
        return _NAME if first == FILE else ""
    if method in {"glob", "rglob", "joinpath"}:
        return below(receiver, last)
    return receiver if method in _METHODS else ""


def _of_module(name: str, last: str) -> str:
    """Return what is found by the name of the module."""
    if name in _FILES:
        return FOLDER
    if name in _RESOURCES:
        return below(FOLDER, last)
    return FILE if name in _LOADED else ""
