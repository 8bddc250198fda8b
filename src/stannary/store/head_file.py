"""The remembered head: the last checkpoint that a ledger signed, kept beside it (or elsewhere: better).

Two slots are written in turn, so that one of them is whole whatever happens while the other is written. Each
holds a signed note, which says by itself whether it is whole. Only the first is flushed to the disk: after a loss
of power a head that is a little old still shows that what came before it was not taken away.
"""

from __future__ import annotations

import os
from pathlib import Path

from stannary.core.errors import BackendError

__all__ = ["HeadFile"]

_SLOT = 4096


class HeadFile:
    """Two slots for signed notes in one small file."""

    def __init__(self, path: str | Path, *, slots: list[str] | None = None) -> None:
        self.path = Path(path)
        self._slots = slots

    def as_now(self) -> HeadFile:
        """Return it as it is now, to be held against a state of the ledger that is taken up after this: never before.

        A head is remembered after it was committed. Read the other way round, one that was just added looks like one that is gone.
        """
        return HeadFile(self.path, slots=self.read())

    def read(self) -> list[str]:
        """Return what the two slots hold, unverified; nothing when there is no file."""
        if self._slots is not None:
            return self._slots
        try:
            content = self.path.read_bytes()[: 2 * _SLOT]
        except FileNotFoundError:
            return []
        slots = (content[:_SLOT], content[_SLOT:])
        return [slot.rstrip(b"\0").decode("utf-8", "replace") for slot in slots]

    def begin(self, note: str) -> None:
        """Put a note into both slots, durably. Raises BackendError when it cannot be written."""
        self.write(note, 0)
        self.write(note, 1)
        for path, flags in ((self.path, os.O_RDWR), (self.path.parent, os.O_RDONLY)):
            descriptor = os.open(path, flags | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def write(self, note: str, slot: int) -> None:
        """Put a note into slot 0 or 1. Raises BackendError when it cannot be written."""
        content = note.encode()
        if len(content) > _SLOT:
            msg = f"a checkpoint of {len(content)} bytes is too long to be remembered"
            raise BackendError(msg, where=str(self.path), code="LED020")
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                os.pwrite(descriptor, content.ljust(_SLOT, b"\0"), slot * _SLOT)
            finally:
                os.close(descriptor)
        except OSError as error:
            msg = f"the entries are in the ledger, but its head could not be remembered: {error.strerror}"
            raise BackendError(
                msg, where=str(self.path), code="LED020", help="free the disk, then `stannary ledger head`"
            ) from error
