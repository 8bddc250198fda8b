"""The code of a training run: a commit, and what the working tree had besides.

What was not committed is named by the digest of a listing, one line a path in the order of its bytes: the SHA-256 of the
contents as they lay there (`-` for a file that was deleted), two spaces, the path, a newline. Without deletions that is the
output of `sha256sum`, its escapes included, so every machine has the tools to make it again. Files that git ignores are not in it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from stannary.core.errors import UsageError
from stannary.core.evidence import Resource
from stannary.evidence.predicates.ours import ChangedFile, Uncommitted
from stannary.evidence.subject import identify, resource_of
from stannary.formats.hashing import hash_file

__all__ = ["Code", "code_at"]

_LISTED = 200  # a tree with more has them in the digest, and their number
_DELETED = "-"


class Code(NamedTuple):
    """What ran: its digests, and what its commit does not have."""

    resource: Resource
    changes: Uncommitted | None = None


def code_at(path: Path) -> Code:
    """Return the commit of a git working tree and what was not committed, or the digest of a file or folder.

    Raises:
        UsageError: git says that it is a working tree, and could not say what changed; or a changed file cannot be read.
    """
    if (path / ".git").exists() and (commit := _git(path, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")):
        remote = _git(path, "remote", "get-url", "origin") or ""
        changes = _uncommitted(path, commit)
        name = f"{path.resolve().name}{'+changes' if changes else ''}"
        return Code(Resource(name=name, uri=_without_secret(remote), digest={"gitCommit": commit}), changes)
    return Code(resource_of(identify(path, "code")))


def _uncommitted(path: Path, commit: str) -> Uncommitted | None:
    """Return what differs from the commit. Paths are those below the working tree, as git lists them."""
    # -z: paths as they are; no renames: each path by itself; all: every file of a new folder.
    told = _git(path, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    if told is None:
        raise _unknown(path, "git could not say what is changed")
    names = sorted({row[3:] for row in told.split("\0") if row}, key=os.fsencode)
    if not names:
        return None
    lines = hashlib.sha256()
    files: list[ChangedFile] = []
    for name in names:
        digest = _digest(path, name)
        lines.update(os.fsencode(_line(digest, name)))
        if len(files) < _LISTED:
            shown = name.encode("utf-8", "replace").decode()
            files.append(ChangedFile(path=shown, sha256="" if digest == _DELETED else digest))
    return Uncommitted(commit=commit, digest={"sha256": lines.hexdigest()}, files=tuple(files), omitted=len(names) - len(files))


def _line(digest: str, name: str) -> str:
    """Return the line of `sha256sum`: with a name that would end it, or hide that, escaped and a backslash in front."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{digest}  {escaped}\n"


def _digest(root: Path, name: str) -> str:
    """Return the SHA-256 of what lies there: a file's contents, a link's target, the listing of a nested repository."""
    path = root / name
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _DELETED
    except OSError as error:
        raise _unknown(path, str(error)) from error
    if stat.S_ISLNK(mode):
        return hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
    if stat.S_ISDIR(mode):
        return identify(path, "code").digest.hex
    found = hash_file(str(path))
    if found.problem:
        raise _unknown(path, found.problem)
    return found.sha256


def _unknown(path: Path, why: str) -> UsageError:
    msg = f"what is not committed cannot be stated: {why}"
    return UsageError(
        msg, where=str(path), code="TRN004", help="commit it, or name the code by its contents: code=[FILE or FOLDER without .git]"
    )


def _git(path: Path, *arguments: str) -> str | None:
    """Return what git says, None when it cannot."""
    try:
        done = subprocess.run(  # noqa: S603 - arguments of ours
            ["git", "-C", str(path), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return os.fsdecode(done.stdout).rstrip("\n")


def _without_secret(address: str) -> str:
    """Return a remote's address without user and password."""
    scheme, separator, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if separator else address
