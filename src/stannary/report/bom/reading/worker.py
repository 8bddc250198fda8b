"""What happens in the jail: one file, from bytes to facts. Answers are data; what they say is checked by nobody here."""

from __future__ import annotations

import gc
import mmap
import os
from collections.abc import Callable

import msgspec

from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats.hashing import identity_of
from stannary.formats.headers import header_of
from stannary.formats.interface import Budget, Expired, Limits, View
from stannary.formats.licences import from_text
from stannary.report.bom.reading import card, code, config, locks, training
from stannary.report.bom.reading.answer import Answer, Work
from stannary.run import alarm

__all__ = ["LIMITS", "factory"]

LIMITS = Limits(seconds=60.0, processor=3.0, memory=512 << 20, operations=20_000_000)
_TEXT = 16 << 20
_INLINE = 1 << 16


def factory(_data: bytes) -> Callable[[bytes, bool], bytes]:
    """Return the handler of a worker."""
    gc.disable()
    decode, encode = msgspec.msgpack.Decoder(Work).decode, msgspec.msgpack.Encoder().encode

    def handle(payload: bytes, degraded: bool) -> bytes:  # noqa: FBT001 - the Handler type
        work = decode(payload)
        if degraded:  # it killed a worker: once is enough
            return encode(Answer(problem="its reader died"))
        try:
            return encode(_read(work))
        except (OSError, MemoryError, UnicodeEncodeError) as error:
            return encode(Answer(problem=f"cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}"))

    return handle


def _read(work: Work) -> Answer:
    descriptor = os.open(work.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if tuple(identity_of(status)) != tuple(work.identity):
            return Answer(problem="changed after it was hashed")
        if not status.st_size:
            return Answer()
        if status.st_size <= _INLINE:
            return _bounded(View(os.read(descriptor, _INLINE), work.name.rpartition("/")[2], work.real), work)
        with mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ) as mapped:
            view = View(mapped, work.name.rpartition("/")[2], work.real)
            try:
                return _bounded(view, work)
            finally:
                gc.collect()  # exceptions keep frames, and frames slices of the mapping
                view.data.release()
    finally:
        os.close(descriptor)


def _bounded(view: View, work: Work) -> Answer:
    """Read within limits of processor time and memory."""
    budget = Budget(LIMITS)
    answer = Answer()
    try:
        with alarm.bound_memory(LIMITS.memory), alarm.hold(LIMITS.processor, budget.expire, grace=0.2):
            _facts(view, work, budget, answer)
    except (BudgetExceeded, Expired) as error:
        answer.problem = getattr(error, "message", "") or budget.expired or "took too long"
    except FormatError as error:
        answer.problem = error.message
    except (MemoryError, RecursionError) as error:
        answer.problem = f"takes more than there is: {type(error).__name__}"
    return answer


def _facts(view: View, work: Work, budget: Budget, answer: Answer) -> None:
    base = work.name.rpartition("/")[2].lower()
    match work.role:
        case "weights":
            answer.header = header_of(view, budget)
        case "card":
            answer.card, answer.problem = card.read(view.text(_TEXT))
        case "config":
            answer.config = config.read(view.text(_TEXT), base)
        case "lock":
            answer.packages = tuple(locks.read(view, base, budget))
        case "licence":
            answer.licences = tuple(row.id for row in from_text(view.text(_TEXT)))
        case "python" | "notebook":
            text = view.text(_TEXT)
            source = code.source_of_notebook(text) if work.role == "notebook" else text
            answer.imports = code.candidates(source)
            answer.trains = training.likely(source, work.name)
        case "training":
            text = view.text(_TEXT)
            notebook = base.endswith(".ipynb")
            answer.training = training.read(
                code.source_of_notebook(text, keep=lambda cell: training.likely(cell, "")) if notebook else text
            )
        case "imports":
            text = view.text(_TEXT)
            notebook = base.endswith(".ipynb")
            answer.imports = code.confirm(code.source_of_notebook(text, keep=lambda _: False) if notebook else text)
