"""Inside a worker: a job's description comes in as bytes, its handler runs, what it came to goes out as bytes.

A handler never takes the worker down by raising: the reason goes back, with whether it may pass.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable

import msgspec

from stannary.core.errors import BackendError, StannaryError
from stannary.run.interface import Handler
from stannary.run.jobs.model import Job, JobSetup
from stannary.run.progress import OnProgress, Progress

__all__ = ["FACTORY", "Answer", "JobHandler", "decode_answer", "encode_job", "encode_setup", "open_handler", "read_progress"]

FACTORY = "stannary.run.jobs.handling:open_handler"
_PROGRESS_SECONDS = 0.5

JobHandler = Callable[[Job, OnProgress], bytes]


class Answer(msgspec.Struct, frozen=True):
    """What a run came to: a value, or why there is none."""

    value: bytes | None = None
    error: str = ""
    passing: bool = False


encode_job = msgspec.msgpack.Encoder().encode
encode_setup = msgspec.msgpack.Encoder().encode
_decode_job = msgspec.msgpack.Decoder(Job).decode
_decode_setup = msgspec.msgpack.Decoder(JobSetup).decode
_decode_answer = msgspec.msgpack.Decoder(Answer).decode
_encode_answer = msgspec.msgpack.Encoder().encode


def decode_answer(data: bytes) -> Answer:
    """Return the answer of a worker; what is none is a failure. A worker may have been taken over by what it read."""
    try:
        return _decode_answer(data)
    except msgspec.MsgspecError as error:
        return Answer(error=f"the worker's answer is none: {error}")


def open_handler(data: bytes) -> Handler:
    """Return what runs jobs in this process, as `stannary.run.worker` calls it."""
    setup = _decode_setup(data)
    module, _, name = setup.factory.partition(":")
    handler: JobHandler = getattr(importlib.import_module(module), name)(setup.data)

    def handle(payload: bytes, degraded: bool) -> bytes:  # noqa: FBT001 - positional in the Handler type
        del degraded
        job = _decode_job(payload)
        try:
            with _reporting(setup.progress, job.key) as report:
                return _encode_answer(Answer(value=handler(job, report)))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises belongs to its job
            return _encode_answer(Answer(error=_told(error), passing=_may_pass(error)))

    return handle


def read_progress(folder: str, key: str) -> dict[str, object]:
    """Return how far a job is, as its handler said last; nothing when it said nothing."""
    try:
        with open(_place(folder, key), "rb") as file:
            found: dict[str, object] = msgspec.json.decode(file.read(4096), type=dict[str, object])
    except (OSError, msgspec.MsgspecError):
        return {}
    return found


@contextlib.contextmanager
def _reporting(folder: str, key: str):  # type: ignore[no-untyped-def] # noqa: ANN202 - a context of OnProgress
    """Return what a handler reports to: a file that is replaced twice a second at most, and gone in the end."""
    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if folder and now - last >= _PROGRESS_SECONDS:
            last = now
            row = {
                "items": progress.items, "items_total": progress.items_total,
                "bytes": progress.bytes, "bytes_total": progress.bytes_total, "seconds": round(progress.elapsed, 1),
            }  # fmt: skip
            path = _place(folder, key)
            with contextlib.suppress(OSError):  # how far it is, is told when that is possible; the job goes on
                with open(f"{path}.{os.getpid()}", "wb") as file:
                    file.write(msgspec.json.encode(row))
                os.replace(f"{path}.{os.getpid()}", path)

    try:
        yield report
    finally:
        if folder and last:
            with contextlib.suppress(OSError):
                os.unlink(_place(folder, key))


def _place(folder: str, key: str) -> str:
    return os.path.join(folder, key.partition(":")[2] + ".json")


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(item) for item in error.exceptions)
    code = getattr(error, "code", None) if isinstance(error, StannaryError) else None
    return f"{type(error).__name__}{f' [{code}]' if code else ''}: {error}"


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_may_pass(item) for item in error.exceptions)
    return isinstance(error, BackendError | OSError)
