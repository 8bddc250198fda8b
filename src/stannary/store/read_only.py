"""How a file of SQLite is opened where nothing can be written: on a read-only file system, or as somebody who may only read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["UNREADABLE", "options"]

UNREADABLE = "what was written last is in its -wal file, which is only read where its -shm is or can be made: copy the folder"


def options(path: Path) -> str:
    """Return the options of its URI.

    What was committed last may still lie in `-wal`, which a file that is called immutable is read without: as it was before, or
    empty. Without one the file is all there is and does not change, and SQLite would make a `-wal` to read it otherwise.
    """
    last = Path(f"{path}-wal")
    return "mode=ro" if last.exists() and last.stat().st_size else "mode=ro&immutable=1"
