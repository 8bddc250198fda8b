"""What a scan will do, worked out before anything is opened: files, folders that are repositories, in which order."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, NamedTuple, TypeAlias

import msgspec

from stannary.checks.static.scan_worker import Work
from stannary.formats.tree import Entry, Tree, list_tree

__all__ = ["LARGE", "Folder", "Place", "Plan", "Target", "large_files", "make_plan", "repositories"]

LARGE = 8 << 20  # bytes from which a file is hashed beside its reading, not before it

_MARKS = frozenset({
    "config.json", "tokenizer_config.json", "model_index.json", "modules.json", "adapter_config.json", "MLmodel", "MLproject",
    "preprocessor_config.json", "processor_config.json", "generation_config.json", "config_sentence_transformers.json",
    # What a server, a hub loader or Python itself runs when it finds it (formats/repository_loaders.py).
    "handler.py", "hubconf.py", "MANIFEST.json", "config.cfg", "config.pbtxt", "cog.yaml", "bentofile.yaml",
    "sitecustomize.py", "usercustomize.py",
})  # fmt: skip
_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".safetensors", ".h5", ".keras", ".onnx", ".gguf", ".msgpack", ".pkl", ".joblib", ".pb")


# Something to read: whether it is a repository, of which target, which of its entries or repositories.
Place: TypeAlias = tuple[bool, int, int]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Something to scan: a path on this disk, what to call it (default: the path), and where it came from."""

    path: str
    display: str = ""
    source: dict[str, Any] = {}


class Folder(NamedTuple):
    """A folder that looks like a model repository: its path within the target (empty for the target itself)."""

    path: str
    real: str
    files: tuple[str, ...]


class Plan(NamedTuple):
    """Trees and repositories, one each per target, and the names in every folder."""

    targets: tuple[Target, ...]
    trees: tuple[Tree, ...]
    repositories: tuple[tuple[Folder, ...], ...]
    folders: tuple[tuple[str, ...], ...]
    folder_of: tuple[tuple[int, ...], ...]  # per target and entry: index into `folders`

    @property
    def files(self) -> int:
        """Return how many files there are to read."""
        return sum(len(tree.entries) for tree in self.trees)

    @property
    def size(self) -> int:
        """Return their bytes."""
        return sum(tree.size for tree in self.trees)

    @property
    def granted(self) -> tuple[str, ...]:
        """Return the paths that readers need."""
        return tuple(dict.fromkeys(path for tree in self.trees for path in tree.granted))

    def order(self) -> list[Place]:
        """Return what there is to read: large files first, longest of all, then repositories, then the others as they come."""
        large: list[Place] = []
        small: list[Place] = []
        for target, tree in enumerate(self.trees):
            for index, entry in enumerate(tree.entries):
                (small if entry.size < LARGE else large).append((False, target, index))
        large.sort(key=self.bytes_of, reverse=True)
        large += [(True, t, i) for t, folders in enumerate(self.repositories) for i in range(len(folders))]
        return large + small

    def work(self, place: Place, *, hash_it: bool, sha256: str = "") -> Work:
        """Return the work on one file, or on one repository."""
        repository, target, index = place
        if repository:
            folder = self.repositories[target][index]
            return Work(folder.real, folder.path or ".", 0, 0, 0, hash=False, files=folder.files)
        entry = self.trees[target].entries[index]
        return Work(entry.real, entry.path, self.folder_of[target][index], entry.device, entry.inode, hash_it, sha256)

    def name(self, place: Place) -> str:
        """Return the path within the target."""
        repository, target, index = place
        return self.repositories[target][index].path if repository else self.trees[target].entries[index].path

    def bytes_of(self, place: Place) -> int:
        """Return the size of a file; a guess for a repository, whose reading opens the small files."""
        repository, target, index = place
        return 1 << 20 if repository else self.trees[target].entries[index].size


def make_plan(targets: Sequence[Target]) -> Plan:
    """List the targets. Raises UsageError, or a group of them, for paths where there is nothing to read."""
    trees: list[Tree] = []
    problems: list[Exception] = []
    for target in targets:
        try:
            trees.append(list_tree(target.path, control=True))
        except Exception as exc:  # noqa: BLE001 - collected: all paths that are wrong are reported together
            problems.append(exc)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        msg = "targets"
        raise ExceptionGroup(msg, problems)
    names: list[tuple[str, ...]] = []
    placed: list[tuple[int, ...]] = []
    found: list[tuple[Folder, ...]] = []
    beside: dict[str, int] = {}  # thousands of files of one folder, each a target, share its listing
    for tree in trees:
        if not tree.is_folder:
            placed.append((_beside(tree, beside, names),))
            found.append(())
            continue
        indices, by_folder = _group(tree, len(names))
        names.extend(by_folder)
        placed.append(indices)
        found.append(tuple(repositories(tree)))
    return Plan(tuple(targets), tuple(trees), tuple(found), tuple(names), tuple(placed))


def _beside(tree: Tree, known: dict[str, int], names: list[tuple[str, ...]]) -> int:
    """Return the number of the folder that a single file is in; its names are listed once."""
    folder = os.path.dirname(tree.root)
    if folder not in known:
        known[folder] = len(names)
        try:
            names.append(tuple(os.listdir(folder)))
        except OSError:
            names.append((tree.name,))
    return known[folder]


def _group(tree: Tree, first: int) -> tuple[tuple[int, ...], list[tuple[str, ...]]]:
    """Return for each entry the number of its folder, and the names in each folder."""
    numbers: dict[str, int] = {}
    names: list[list[str]] = []
    indices: list[int] = []
    for entry in tree.entries:
        folder, _, base = entry.path.rpartition("/")
        number = numbers.get(folder)
        if number is None:
            number = numbers[folder] = len(names)
            names.append([])
        names[number].append(base)
        indices.append(first + number)
    return tuple(indices), [tuple(group) for group in names]


def repositories(tree: Tree) -> Iterator[Folder]:
    """Yield the outermost folders that a model library would open as a model; a reading covers what is below."""
    below: dict[str, list[str]] = {}
    for entry in tree.entries:
        if entry.path in tree.control:
            continue
        folder, _, name = entry.path.rpartition("/")
        below.setdefault(folder, []).append(name)
        if entry.path.endswith("MAR-INF/MANIFEST.json"):  # it describes the folder above
            below.setdefault(folder.rpartition("/")[0], []).append(name)
    paths = [entry.path for entry in tree.entries if entry.path not in tree.control]
    covered = "\0"
    for folder in sorted(below, key=lambda folder: folder + "/" if folder else ""):
        if not folder.startswith(covered) and _looks_like_one(below[folder]):
            covered = f"{folder}/" if folder else ""
            prefix = f"{folder}/" if folder else ""
            first = bisect_left(paths, prefix)  # sorted: what is below a folder stands together
            inside = takewhile(lambda path, prefix=prefix: path.startswith(prefix), islice(paths, first, None))  # type: ignore[misc]
            files = tuple(path[len(prefix) :] for path in inside)
            yield Folder(folder, os.path.join(tree.root, folder) if folder else tree.root, files)


def _looks_like_one(names: Iterable[str]) -> bool:
    code = weights = False
    for name in names:
        if name in _MARKS or name.endswith(".index.json"):
            return True
        code = code or name.endswith(".py")
        weights = weights or name.endswith(_WEIGHTS)
    return code and weights


def large_files(plan: Plan) -> list[Entry]:
    """Return the distinct large files, longest first."""
    found = {(e.device, e.inode): e for tree in plan.trees for e in tree.entries if e.size >= LARGE}
    return sorted(found.values(), key=lambda entry: -entry.size)
