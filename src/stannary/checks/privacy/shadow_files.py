"""Shadows on disk, so that an audit goes on where it was: what they say of all samples, bound to what made them.

A file's name has a digest of the recipe, the plan, the data and the code that trains, so that shadows of another run are not looked
at; in it is a digest of that, of its number and of its content, so that one that was damaged, edited, renamed or brought from
elsewhere is not believed. That is no seal: who can write there, and means to deceive, can make it anew.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stannary import __version__
from stannary.core.errors import InputError

__all__ = ["ShadowFiles"]

_TRAINS = ("seeds.py", "shadows.py", "stacks.py", "recipes.py")  # what decides what a shadow says, beside torch
_AGAIN = "remove the file; its shadows are then trained again"


class ShadowFiles:
    """A folder with one `shadows-RUN-N.npz` for each group of shadows that was trained, `N` its first.

    Args:
        folder: made when something is written.
        made: the recipe and the plan.
        data: inputs `(n, *shape)` and labels `(n,)`.
    """

    def __init__(self, folder: Path, made: tuple[object, ...], data: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.folder = folder
        digest = hashlib.sha256(f"{_code()}\n{made!r}\n".encode())
        for part in data:
            array = np.ascontiguousarray(part.cpu().numpy())
            digest.update(f"{array.dtype.str} {array.shape}\n".encode() + array.tobytes())
        self._run = digest.hexdigest()

    def read(self, first: int, shape: tuple[int, ...]) -> torch.Tensor | None:
        """Return confidences of a group, None if they are not there. Raises InputError for a file that this run did not write."""
        path = self._path(first)
        if not path.exists():
            return None
        try:
            with path.open("rb") as content, np.load(content, allow_pickle=False) as stored:
                found, digest = stored["confidences"], str(stored["digest"])
        except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as exc:
            msg = f"the checkpoint cannot be read: {exc}"
            raise InputError(msg, where=str(path), help=_AGAIN) from exc
        if found.shape != shape or found.dtype != np.float64 or digest != self._digest(first, found):
            msg = "the checkpoint is not what this run wrote"
            raise InputError(msg, where=str(path), help=_AGAIN)
        return torch.from_numpy(found)

    def write(self, first: int, found: torch.Tensor) -> None:
        """Keep confidences `(g, n, 2)` of a group, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        array = found.numpy()
        with _replacing(self._path(first)) as part, part.open("wb") as file:
            np.savez(file, confidences=array, digest=np.array(self._digest(first, array)))

    def _digest(self, first: int, array: np.ndarray) -> str:
        return hashlib.sha256(f"{self._run}\n{first}\n{array.shape}\n".encode() + array.tobytes()).hexdigest()

    def _path(self, first: int) -> Path:
        return self.folder / f"shadows-{self._run[:16]}-{first}.npz"


@functools.cache
def _code() -> str:
    """Return what tells the code that trains from that of another version."""
    here = Path(__file__).parent
    digest = hashlib.sha256(f"stannary {__version__}, torch {torch.__version__}".encode())
    for name in _TRAINS:
        with contextlib.suppress(OSError):  # the version has to do
            digest.update((here / name).read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a file's content its name only when all of it is there."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
