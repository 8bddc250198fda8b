"""What a statement is about: a path becomes an artifact with its digest, every byte read now.

No cache is used here, whatever there is: a gate and a record go by the bytes that lie there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stannary.core.errors import InputError
from stannary.core.evidence import Resource
from stannary.core.model import Artifact, ArtifactKind, Digest
from stannary.evidence.statement import subject_resource
from stannary.formats.hashing import Hashed, hash_file
from stannary.formats.tree import Entry, artifact_of, list_tree

__all__ = ["identify", "named_digest", "resource_of"]

_LARGE = 1 << 20  # from here on a thread pays
_DIGEST = re.compile(r"(?:sha256|dirHash1):([0-9a-fA-F]{64})")


def identify(path: str | Path, kind: ArtifactKind = "model") -> Artifact:
    """Return the artifact at a path. Raises UsageError, or a group of InputErrors: all that keeps it from having a digest."""
    tree = list_tree(os.fspath(path))
    problems: list[InputError] = [
        InputError(problem.detail, where=problem.path, code="ART001") for problem in tree.problems if problem.kind != "collision"
    ]
    hashes = _hashed(tree.entries)
    problems += [InputError(found.problem, where=name, code="ART002") for name, found in hashes.items() if found.problem]
    if not tree.entries and not problems:
        problems = [InputError("is empty: an artifact has at least one file", where=os.fspath(path), code="ART003")]
    if problems:
        msg = f"artifact {os.fspath(path)}"
        raise ExceptionGroup(msg, problems)
    artifact = artifact_of(tree, {name: found.sha256 for name, found in hashes.items()}, kind)
    if artifact is None:
        msg = "has no digest"
        raise InputError(msg, where=os.fspath(path), code="ART003")
    return artifact


def resource_of(artifact: Artifact) -> Resource:
    """Return the subject of statements about an artifact."""
    single = artifact.files[0].sha256 if len(artifact.files) == 1 and artifact.files[0].path == artifact.name else None
    return subject_resource(artifact.digest, artifact.name, single)


def named_digest(text: str) -> Digest | None:
    """Return the digest that a target names (`sha256:HEX`), or None when it is something else."""
    found = _DIGEST.fullmatch(text)
    return Digest(found[1].lower()) if found else None


def _hashed(entries: Sequence[Entry]) -> dict[str, Hashed]:
    """Hash small files here and large ones, the largest first, in threads."""
    large = sorted((entry for entry in entries if entry.size >= _LARGE), key=lambda entry: -entry.size)
    found: dict[str, Hashed] = {}
    with ThreadPoolExecutor(max_workers=max(1, min(len(large), os.cpu_count() or 1))) as pool:
        waiting = {entry.path: pool.submit(hash_file, entry.real) for entry in large} if large else {}
        for entry in entries:
            if entry.size < _LARGE:
                found[entry.path] = hash_file(entry.real)
        found.update((name, future.result()) for name, future in waiting.items())
    return found
