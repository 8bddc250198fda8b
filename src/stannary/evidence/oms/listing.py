"""Which files of a folder belong to a model, by the rules of model signatures.

Names are paths within the model. What is ignored is ignored by exact path, with everything below it; git's own
files are ignored at the top of a model and not below; the signature is no part of what it signs. A file that is
signed is never ignored. Links are treated as everywhere here (`formats/tree.py`): followed inside of the model,
a problem when they lead out.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Collection, Iterable
from itertools import islice, takewhile
from pathlib import PurePosixPath
from typing import NamedTuple

from stannary.core.errors import UsageError
from stannary.core.model import Digest
from stannary.evidence.oms.manifest import GIT_PATHS, SINGLE
from stannary.formats.tree import VERSION_CONTROL, Entry, Problem, dir_hash, list_tree

__all__ = ["Listing", "identity", "ignored_paths", "list_model", "within"]

_MOST_FILES = 1_000_000
_GIT = ".git"  # every name in GIT_PATHS starts so


class Listing(NamedTuple):
    """The files of a model by name.

    `linked` are those behind links; `beside` are git's files at the top, which are not signed, and still belong
    to the identity of the artifact.
    """

    name: str
    root: str
    is_folder: bool
    entries: dict[str, Entry]
    beside: dict[str, Entry]
    linked: frozenset[str]
    problems: tuple[Problem, ...]


def list_model(path: str, ignore: Collection[str], *, git: bool = False, keep: Collection[str] = ()) -> Listing:
    """List the files of a model. Raises UsageError when there is nothing to read.

    Args:
        path: the model, a folder or a file.
        ignore: names to leave out, with what is below them.
        git: whether git's files at the top are signed like others.
        keep: names that are listed although they would be ignored: those that are signed.
    """
    kept = _Kept(keep)
    beside = frozenset() if git else frozenset(GIT_PATHS)
    out = frozenset(ignore) | (beside & {".git"})
    tree = list_tree(path, most_files=_MOST_FILES, leave_out=out - kept.of(out), collisions=False)
    problems = list(tree.problems)
    if not tree.is_folder:
        entries = {SINGLE: tree.entries[0]}
        return Listing(tree.entries[0].path, tree.root, False, entries, {}, frozenset(), tuple(problems))  # noqa: FBT003 - is_folder
    found = {entry.path: entry for entry in tree.entries}
    aside: dict[str, Entry] = {}
    if kept.of(out):
        for name in [name for name in found if name not in kept and _is_under(name, out)]:
            del found[name]
    if beside:
        names = list(found)  # in order: those that start alike stand together
        for name in takewhile(lambda name: name.startswith(_GIT), islice(names, bisect_left(names, _GIT), None)):
            if name.partition("/")[0] in beside and name not in kept:
                aside[name] = found.pop(name)
    if problems:
        problems = [problem for problem in problems if problem.path in kept or not _is_under(problem.path, out | beside)]
    return Listing(tree.name, tree.root, True, found, aside, tree.linked & found.keys(), tuple(problems))  # noqa: FBT003 - is_folder


def identity(listing: Listing, digests: dict[str, str]) -> Digest | None:
    """Return the dirHash1 of a model from the SHA-256 of its files; None when one of them is missing."""
    if not listing.is_folder:
        return dir_hash([(listing.name, digests[SINGLE])]) if SINGLE in digests else None
    names = [*listing.entries, *listing.beside]
    text = "/" + "\0/".join(names)
    if any(f"/{folder}/" in text for folder in VERSION_CONTROL):  # hardly ever
        names = [name for name in names if VERSION_CONTROL.isdisjoint(name.split("/")[:-1])]
    if not names or any(name not in digests for name in names):
        return None
    return dir_hash((name, digests[name]) for name in names)


def ignored_paths(model: str, given: Iterable[str]) -> tuple[str, ...]:
    """Return names within the model. Raises an ExceptionGroup of UsageError for paths that lead out, and for patterns."""
    found: dict[str, None] = {}
    problems: list[UsageError] = []
    for item in given:
        try:
            found[_name_of(model, item)] = None
        except UsageError as error:
            problems.append(error)
    if problems:
        msg = "ignored paths"
        raise ExceptionGroup(msg, problems)
    return tuple(found)


def within(model: str, path: str) -> str | None:
    """Return the name of `path` within the model, or None when it lies elsewhere."""
    root = os.path.realpath(model).rstrip("/")
    real = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
    return real[len(root) + 1 :] if real.startswith(root + "/") else None


def _name_of(model: str, item: str) -> str:
    if any(char in item for char in "*?["):
        msg = "looks like a pattern; ignoring is by exact path, a folder with all below it"
        raise UsageError(msg, where=f"--ignore {item}", code="SIG016", help="name each path")
    inside = within(model, item) if os.path.isabs(item) else str(PurePosixPath(item))
    if not inside or inside == "." or ".." in PurePosixPath(inside).parts:
        msg = "is not inside of the model"
        raise UsageError(msg, where=f"--ignore {item}", code="SIG016", help="paths are relative to the model")
    return inside


class _Kept:
    """Names that are not ignored, and the folders that they are in: gathered when they are asked for one by one."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._text = "\0".join(["", *names, ""])  # no name has a NUL in it
        self._all: frozenset[str] | None = None

    def of(self, names: Iterable[str]) -> frozenset[str]:
        """Return those of a few names that are kept."""
        return frozenset(name for name in names if f"\0{name}\0" in self._text or f"\0{name}/" in self._text)

    def __contains__(self, name: str) -> bool:
        if self._all is None:
            self._all = _with_parents(self._names)
        return name in self._all


def _with_parents(names: Collection[str]) -> frozenset[str]:
    found = set(names)
    for name in names:
        at = name.rfind("/")
        while at > 0 and name[:at] not in found:
            found.add(name[:at])
            at = name.rfind("/", 0, at)
    return frozenset(found)


def _is_under(name: str, ignored: frozenset[str]) -> bool:
    while name not in ignored:
        name = name.rpartition("/")[0]
        if not name:
            return False
    return True
