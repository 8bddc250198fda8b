"""Results of blocks on disk, so that an interrupted cascade goes on where it was. Plain arrays, never pickles.

Each block is kept with a digest of its arrays, its number and the run, so that one that was damaged, edited or brought from another
folder is not believed. That is no seal: who can write there, and means to deceive, can make it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from stannary.core.errors import InputError, UsageError

__all__ = ["Checkpoint"]

_META = "cascade.json"
_DIGEST = "digest"


class Checkpoint:
    """A folder with `cascade.json`, which says what the run is, and one `block-N.npz` for each block that is done.

    Raises:
        UsageError: the folder holds another run: other samples, other attacks, another target.
    """

    def __init__(self, folder: Path, run: dict[str, object]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run = text = json.dumps(run, sort_keys=True, indent=1)
        path = folder / _META
        if not path.exists():
            self._write(path, text.encode())
        elif path.read_text(encoding="utf-8") != text:
            before = json.loads(path.read_text(encoding="utf-8"))
            other = sorted(key for key in {*before, *run} if before.get(key) != json.loads(text).get(key))
            msg = f"the folder holds another run, with a different {', '.join(other)}"
            raise UsageError(msg, where=str(folder), help="name an empty folder, or remove this one to begin again")

    def load(self, block: int) -> dict[str, np.ndarray] | None:
        """Return the arrays of a block, None if it is not there.

        Raises:
            InputError: the file is damaged.
        """
        path = self._path(block)
        if not path.exists():
            return None
        try:
            with path.open("rb") as content, np.load(content, allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as exc:
            msg = f"a stored block cannot be read: {exc}"
            raise InputError(msg, where=str(path), help="remove the file: the block is computed again") from exc
        if str(found.pop(_DIGEST, "")) != self._digest(block, found):
            msg = "a stored block is not what this run wrote"
            raise InputError(msg, where=str(path), help="remove the file: the block is computed again")
        return found

    def save(self, block: int, arrays: dict[str, np.ndarray]) -> None:
        """Write the arrays of a block, whole or not at all."""
        path = self._path(block)
        new = path.with_suffix(".new")
        with new.open("wb") as out:
            np.savez(out, **arrays, **{_DIGEST: np.array(self._digest(block, arrays))})
            out.flush()
            os.fsync(out.fileno())
        new.replace(path)

    def _digest(self, block: int, arrays: dict[str, np.ndarray]) -> str:
        digest = hashlib.sha256(f"{self._run}\n{block}".encode())
        for name, value in sorted((name, np.asarray(value)) for name, value in arrays.items()):
            digest.update(f"\n{name} {value.dtype.str} {value.shape}\n".encode() + value.tobytes())
        return digest.hexdigest()

    def _path(self, block: int) -> Path:
        return self.folder / f"block-{block:06}.npz"

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)
