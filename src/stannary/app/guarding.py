"""Work on a model that nobody vouches for, in a process of its own, in the guard: what evaluations and hardening share.

The caller never reads the model. What the process says is data: a result, or an error that it tells of.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stannary.core.errors import BackendError, Bug, InputError, IntegrityError, PolicyDenied, StannaryError, UsageError
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.run.jail import Jail, Level

__all__ = ["Note", "Told", "guarded", "jail_of", "left_behind", "listened", "raised", "scratch_folder", "served", "tell"]

Note = Callable[[str], None]
_DAYS = 20 * 24 * 3600.0  # an evaluation takes what it takes; Ctrl-C ends it
_LOOK = 0.5
_MEMORY = 1 << 38  # address space is no measure of a network's memory; the machine's own is the limit
_ERRORS = {kind.__name__: kind for kind in (BackendError, Bug, InputError, IntegrityError, PolicyDenied, UsageError)}
# What libraries of arrays look at to know the machine; nothing of another process.
_MACHINE = (
    "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices/system", "/sys/fs/cgroup",
)  # fmt: skip
_ITSELF = "/proc/self"  # found by the process that enters the guard: resolved here it would be this one
_SAID = 300


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An error as the process tells it."""

    kind: str
    message: str
    where: str | None = None
    code: str | None = None
    help: str | None = None


def tell(error: BaseException, where: str) -> Told:
    """Return an error as what is told of it; one that is not ours is a bug, with its place."""
    if isinstance(error, StannaryError):
        kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS), "Bug")
        return Told(kind=kind, message=error.message, where=error.where, code=error.code, help=error.help)
    if isinstance(error, MemoryError):
        return Told(kind="InputError", message="there is not enough memory for it", where=where, code="EVA005")
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = f": {lines[-1][:300]}" if lines else ""  # libraries put pages of their own source before what they say
    return Told(kind="Bug", message=f"{type(error).__name__}{last} ({Path(place.filename).name}:{place.lineno})", where=where)


def raised(told: Told) -> StannaryError:
    """Return the error that was told of, to be raised."""
    made: type[StannaryError] = _ERRORS.get(told.kind, Bug)
    return made(told.message, where=told.where, code=told.code, help=told.help)


def scratch_folder(stack: ExitStack) -> str:
    """Make a folder that is gone when the stack is left."""
    from stannary.run import scratch

    folder = scratch.make()
    stack.callback(scratch.remove, folder)
    return folder


def guarded(factory: str, jail: Jail, payload: Callable[[str], bytes], where: str, note: Note) -> tuple[bytes, str]:
    """Have a guarded process work on a payload, show how far it says it is, and return its answer and the guard that held.

    Args:
        factory: `module:function` of the handler, as `run.interface.Setup` takes it.
        jail: of the process; the first folder in which it may write is where it says how far it is.
        payload: is told the level that holds, and returns what the process is given.
        where: the model, for messages.
        note: is told how far it is.

    Raises:
        InputError: the process died.
        JailUnavailable: the guard that was asked for cannot be had.
    """
    from stannary.run.interface import Done, Job, Lost, Setup
    from stannary.run.pool import Pool

    progress, said = Path(jail.write[0], "progress"), ""
    with Pool(Setup(factory), jail, seconds=_DAYS) as pool:
        held = pool.started()
        level = held.level if held is not None else "none"
        pool.submit(Job(payload(level)))
        while True:
            for outcome in pool.results(timeout=_LOOK):
                if isinstance(outcome, Done):
                    return outcome.value, level
                msg = f"the process that worked on it ended: {outcome.reason if isinstance(outcome, Lost) else outcome.error}"
                raise InputError(msg, where=where, code="EVA004")
            said = listened(progress, note, said)


def listened(progress: Path, note: Note, said: str) -> str:
    """Say how far the process is, if that is not what was `said`; return it."""
    with contextlib.suppress(OSError):  # nothing to tell yet
        now = inline(left_behind(progress, _SAID).decode("utf-8", "replace"))  # neither its length nor its signs are trusted
        if now != said:
            note(now)
        return now
    return said


def left_behind(path: Path, most: int = -1) -> bytes:
    """Return what a guarded process wrote to a file, `most` bytes at most. A link, a pipe or a device in its place is not followed.

    Raises:
        OSError: there is no such file, or it is none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file", str(path))
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)


def jail_of(level: Level | None, folder: str, read: Iterable[str | None], write: Iterable[str | None] = ()) -> Jail:
    """Return a jail in which these paths can be read, and these folders and `folder` written; folders are made."""
    from stannary.run.jail import Jail

    written = [Path(path) for path in write if path]
    for path in written:
        path.mkdir(parents=True, exist_ok=True)
    return Jail(
        level=level,
        read=(*(str(Path(path).resolve()) for path in (*read, *_MACHINE) if path and Path(path).exists()), _ITSELF),
        write=(folder, "/dev/null", *(str(path.resolve()) for path in written)),
        memory=_MEMORY,
        open_files=1024,
    )


def served(folder: str) -> Note:
    """Return what the process calls to say how far it is."""
    progress = Path(folder, "progress")
    new = progress.with_suffix(".new")

    def note(text: str) -> None:
        new.write_text(text, encoding="utf-8")
        new.replace(progress)

    return note
