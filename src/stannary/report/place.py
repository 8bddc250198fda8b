"""Where a file is, for machines that map findings onto a checkout: never an absolute path of this host."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

from stannary.checks.static.result import TargetResult

__all__ = ["place"]


def place(target: TargetResult, file: str) -> str:
    """Join target and file to a path below the current folder.

    A target outside the current folder keeps its last name only.
    """
    root = target.path
    if "://" not in root:
        root = _below_here(root)
    if len(target.files) == 1 and PurePath(root).name == PurePath(file).name:
        return root
    if file == ".":
        return root or "."
    return file if root in ("", ".") else f"{root}/{file}"


def _below_here(path: str) -> str:
    here = os.path.relpath(path)
    return Path(here).resolve().name if here.startswith("..") else here
