r"""Artifacts on disk: which files belong to one, what is wrong with their names and links, what identifies them.

Identity is in-toto's `dirHash1` (Go's `dirhash.Hash1` in hex): the SHA-256 of the lines
`HEX  NAME\n` of all files, sorted by name, which binds names and contents. For a folder it is
what this prints:

    cd DIR && find -L . \( -name .git -o -name .hg -o -name .svn \) -prune -o -type f -print0 |
        cut -z -c3- | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum

and for a single file `cd FOLDER && sha256sum NAME | sha256sum`.

Symlinks are followed while they stay inside the folder, or lead from a snapshot of a Hugging
Face cache into the `blobs` of the same repository; blobs that a snapshot names count under that
name alone. Whatever else is odd is a `Problem`; all of
them are reported together, the thing is not followed, and the rest is read. An artifact with
problems has no identity.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Container, Iterable, Sequence
from typing import Literal, NamedTuple

from stannary.core.errors import UsageError
from stannary.core.model import Artifact, ArtifactKind, Digest, File

__all__ = ["VERSION_CONTROL", "Entry", "Problem", "Skip", "Tree", "artifact_of", "digest_of", "dir_hash", "list_tree"]

VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
_HUB_REPOSITORY = ("models--", "datasets--", "spaces--")
_DEEPEST = 60
_SETTINGS = ("config", "config.worktree", "hgrc")
_MOST_HOOKS = 200

ProblemKind = Literal["escape", "dangling", "loop", "special", "name", "encoding", "collision", "unreadable", "limit"]


class Entry(NamedTuple):
    """A regular file: its name within the artifact, the path to open, size in bytes, times in ns."""

    path: str
    real: str
    size: int
    device: int
    inode: int
    modified: int = 0
    changed: int = 0


class Problem(NamedTuple):
    """Something about the artifact that is not a file to read. `detail` is for people."""

    kind: ProblemKind
    path: str
    detail: str


class Skip(NamedTuple):
    """Something left out on purpose."""

    path: str
    reason: str


class Tree(NamedTuple):
    """A file or folder as found. `granted` are the paths that hold its contents, `linked` the files behind links."""

    name: str
    root: str
    is_folder: bool
    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    skipped: tuple[Skip, ...]
    granted: tuple[str, ...]
    linked: frozenset[str] = frozenset()
    control: frozenset[str] = frozenset()  # entries to read that are no part of the artifact: what version control would run

    @property
    def own(self) -> Sequence[Entry]:
        """Return the entries that are part of the artifact."""
        return [entry for entry in self.entries if entry.path not in self.control] if self.control else self.entries

    @property
    def size(self) -> int:
        """Return the bytes of all files of the artifact."""
        return sum(entry.size for entry in self.own)


def list_tree(
    path: str,
    *,
    most_files: int = 200_000,
    leave_out: Container[str] | None = None,
    collisions: bool = True,
    control: bool = False,
) -> Tree:
    """Find the files of the artifact at `path`. Raises UsageError when there is nothing at `path` to read.

    `leave_out` names what is skipped, by paths within the folder, instead of version control data. `collisions`
    says whether names that differ only by case are looked for. With `control`, the settings and hooks of version control are
    among the entries: whoever opens the folder with it runs them, though they are no part of the artifact.
    """
    try:
        root = os.path.realpath(path, strict=True)
        status = os.stat(root)
    except OSError as exc:
        msg = f"cannot be opened: {exc.strerror}"
        raise UsageError(msg, where=_shown(path), code="SCAN001", help="name a file or a folder that you may read") from exc
    name = os.path.basename(os.path.abspath(path)) or root
    if stat.S_ISREG(status.st_mode):
        entry = _entry(name, root, status)
        problems = tuple(_name_problems(name, name))
        return Tree(name, root, is_folder=False, entries=(entry,), problems=problems, skipped=(), granted=(root,))
    if not stat.S_ISDIR(status.st_mode):
        msg = "is neither a file nor a folder"
        raise UsageError(msg, where=_shown(path), code="SCAN001", help="name one of them; `stannary scan -` reads what is piped in")
    walk = _Walk(root, _hub_blobs(root), most_files, leave_out)
    walk.control = [] if control else None
    walk.run()
    walk.entries.sort()
    _drop_blobs(walk)
    if collisions:
        _collisions(walk)
    granted = (root, walk.blobs) if walk.blobs else (root,)
    found = (tuple(walk.entries), tuple(walk.problems), tuple(walk.skipped))
    return Tree(name, root, True, *found, granted, frozenset(walk.linked), frozenset(walk.control or ()))  # noqa: FBT003 - is_folder


def dir_hash(files: Iterable[tuple[str, str]]) -> Digest:
    """Return the dirHash1 of (name, SHA-256 hex) pairs, in any order."""
    lines = "".join([f"{digest}  {name}\n" for name, digest in sorted(files)])
    return Digest(hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest())


def artifact_of(tree: Tree, digests: dict[str, str], kind: ArtifactKind = "model") -> Artifact | None:
    """Return the artifact from the SHA-256 of each of its files; None when it has problems or a digest is missing."""
    digest = digest_of(tree, digests)
    if digest is None:
        return None
    files = tuple(File(entry.path, entry.size, digests[entry.path]) for entry in tree.own)
    return Artifact(digest, kind, tree.name, tree.size, files)


def digest_of(tree: Tree, digests: dict[str, str]) -> Digest | None:
    """Return the dirHash1 of a tree from the SHA-256 of each of its files; None when it has problems or a digest is missing."""
    fatal = any(problem.kind != "collision" for problem in tree.problems)
    named = [(entry.path, digests.get(entry.path, "")) for entry in tree.own]
    return None if fatal or not named or not all(digest for _, digest in named) else dir_hash(named)


class _Walk:
    """Folders to visit, deepest state first; a folder reached through links carries their targets."""

    def __init__(self, root: str, blobs: str, most_files: int, leave_out: Container[str] | None = None) -> None:
        self.root = root
        self.blobs = blobs
        self.most_files = most_files
        self.leave_out = leave_out
        self.entries: list[Entry] = []
        self.problems: list[Problem] = []
        self.skipped: list[Skip] = []
        self.linked: list[str] = []
        self.control: list[str] | None = None
        self._todo: list[tuple[str, str, tuple[str, ...], int]] = [(root, "", (), 0)]

    def run(self) -> None:
        """Visit everything."""
        while self._todo:
            folder, prefix, trail, depth = self._todo.pop()
            try:
                # By descriptor: the kernel then looks up names and not paths, which is a tenth of a walk.
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    self._list(descriptor, folder, (prefix, trail, depth))
                finally:
                    os.close(descriptor)
            except OSError as exc:
                self.problems.append(Problem("unreadable", prefix.rstrip("/") or ".", f"cannot be listed: {exc.strerror}"))
            if len(self.entries) > self.most_files:
                self.problems.append(Problem("limit", prefix.rstrip("/") or ".", f"more than {self.most_files} files"))
                return

    def _list(self, descriptor: int, folder: str, state: tuple[str, tuple[str, ...], int]) -> None:
        prefix, trail, _ = state
        entries, left_out, base, new = self.entries, self.leave_out or (), folder.rstrip("/") + "/", tuple.__new__
        with os.scandir(descriptor) as items:
            for item in items:
                name, path = item.name, prefix + item.name
                # Nearly all of them go the shortest way, without a call that can be avoided.
                if not trail and name.isascii() and name.isprintable() and "\\" not in name and path not in left_out:
                    try:
                        s = item.stat(follow_symlinks=False)
                    except OSError as exc:
                        self.problems.append(Problem("unreadable", path, f"cannot be examined: {exc.strerror}"))
                        continue
                    if stat.S_ISREG(s.st_mode):
                        found = (path, base + name, s.st_size, s.st_dev, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)
                        entries.append(new(Entry, found))
                        continue
                self._visit(item, base + name, path, state)

    def _visit(self, item: os.DirEntry[str], real: str, path: str, state: tuple[str, tuple[str, ...], int]) -> None:
        _, trail, depth = state
        if self.leave_out is not None and path in self.leave_out:
            self.skipped.append(Skip(path, "left out as asked"))
            return
        if not _is_plain(item.name):
            self.problems.extend(_name_problems(item.name, path))
        if item.is_symlink():
            self._follow(real, path, trail, depth)
        elif item.is_dir(follow_symlinks=False):
            self._descend(real, path, trail, depth)
        else:
            try:
                self._file(real, path, item.stat(follow_symlinks=False))
                if trail:
                    self.linked.append(path)
            except OSError as exc:
                self.problems.append(Problem("unreadable", path, f"cannot be examined: {exc.strerror}"))

    def _descend(self, real: str, path: str, trail: tuple[str, ...], depth: int) -> None:
        if self.leave_out is None and path.rpartition("/")[2] in VERSION_CONTROL:
            read = "; of it settings and hooks are read" if self.control is not None else "; its hooks are never run"
            self.skipped.append(Skip(path, f"version control data, not part of the artifact{read}"))
            if self.control is not None:
                self._control(real, path)
        elif depth >= _DEEPEST:
            self.problems.append(Problem("limit", path, f"folders nested deeper than {_DEEPEST}"))
        else:
            self._todo.append((real, path + "/", trail, depth + 1))

    def _control(self, real: str, path: str) -> None:
        """Add the settings and hooks of a version control folder that are there: links among them are not followed."""
        for name in (*_SETTINGS, *(f"hooks/{hook}" for hook in _names(f"{real}/hooks"))):
            try:
                status = os.lstat(f"{real}/{name}")
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode) and not name.endswith(".sample") and self.control is not None:
                self.entries.append(_entry(f"{path}/{name}", f"{real}/{name}", status))
                self.control.append(f"{path}/{name}")

    def _file(self, real: str, path: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            self.entries.append(_entry(path, real, status))
        else:
            self.problems.append(Problem("special", path, f"is a {_kind_of(status.st_mode)}, not a file"))

    def _follow(self, link: str, path: str, trail: tuple[str, ...], depth: int) -> None:
        try:
            real = os.path.realpath(link)
            target = os.readlink(link)
        except OSError as exc:
            self.problems.append(Problem("dangling", path, f"cannot be followed: {exc.strerror}"))
            return
        if not self._inside(real):
            self.problems.append(Problem("escape", path, f"links to {target}, outside the artifact"))
            return
        try:
            status = os.stat(real, follow_symlinks=False)
        except OSError:
            self.problems.append(Problem("dangling", path, f"links to {target}, which is not there"))
            return
        if not stat.S_ISDIR(status.st_mode):
            if stat.S_ISLNK(status.st_mode):  # realpath gave up: a circle of links
                self.problems.append(Problem("loop", path, f"links to {target}, which leads back to it"))
            else:
                self._file(real, path, status)
                self.linked.append(path)
            return
        folder = os.path.realpath(os.path.dirname(link))
        if real in trail or folder == real or folder.startswith(real + "/"):
            self.problems.append(Problem("loop", path, f"links to {target}, which contains it"))
        else:
            self._descend(real, path, (*trail, real), depth)

    def _inside(self, real: str) -> bool:
        roots = (self.root, self.blobs) if self.blobs else (self.root,)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in roots)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))[:_MOST_HOOKS]
    except OSError:
        return []


def _entry(path: str, real: str, status: os.stat_result) -> Entry:
    return Entry(path, real, status.st_size, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _drop_blobs(walk: _Walk) -> None:
    """Leave out the blobs of a hub cache that a snapshot names: they are read under that name."""
    if not walk.linked:
        return
    named = {e.real: e.path for e in walk.entries if "/blobs/" in e.real and "/snapshots/" in f"/{e.path}"}
    if not named:
        return
    kept = []
    for entry in walk.entries:
        other = named.get(entry.real)
        if other is None or other == entry.path or "/snapshots/" in f"/{entry.path}":
            kept.append(entry)
        else:
            walk.skipped.append(Skip(entry.path, f"the content of {other}, read under that name"))
    walk.entries = kept


def _hub_blobs(root: str) -> str:
    """Return the `blobs` folder of the hub cache repository whose snapshot `root` is in, or an empty string."""
    parts = root.split("/")
    for index, part in enumerate(parts):
        if part == "snapshots" and parts[index - 1].startswith(_HUB_REPOSITORY):
            blobs = os.path.realpath("/".join([*parts[:index], "blobs"]))
            return blobs if os.path.isdir(blobs) else ""
    return ""


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isprintable() and "\\" not in name


def _name_problems(name: str, path: str) -> Iterable[Problem]:
    if _is_plain(name):
        return
    import unicodedata

    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        yield Problem("encoding", path, "has a name that is not UTF-8")
        return
    if any(unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"} for char in name):
        yield Problem("name", path, "has control or invisible characters in its name")
    elif "\\" in name:
        yield Problem("name", path, "has a backslash in its name, a folder separator on other systems")


def _collisions(walk: _Walk) -> None:
    seen: dict[str, str] = {}
    for entry in walk.entries:
        folded = entry.path.casefold()
        other = seen.setdefault(folded, entry.path)
        if other is not entry.path:
            detail = f"differs from {other} only by case: one replaces the other on some systems"
            walk.problems.append(Problem("collision", entry.path, detail))


def _kind_of(mode: int) -> str:
    tests = {"named pipe": stat.S_ISFIFO, "socket": stat.S_ISSOCK, "block device": stat.S_ISBLK, "character device": stat.S_ISCHR}
    return next((word for word, test in tests.items() if test(mode)), "special file")


def _shown(path: str) -> str:
    return path if path.isprintable() else path.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
