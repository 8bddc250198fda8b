"""Read one file into facts: identify, read every way it can be read, follow what is embedded.

Depth-first, so that decompressed content is released before the next is produced. One budget
covers all of it; what is over the budget, or what a reader could not follow, becomes `Missed`.
"""

from __future__ import annotations

import gc
import hashlib
import mmap
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING

from stannary.checks.static.result import FileReport, Missed
from stannary.core.errors import BudgetExceeded, FormatError
from stannary.core.model import Json
from stannary.formats.identify import Format, identify, load_reader
from stannary.formats.interface import LARGE, RAN_OUT, Budget, Child, Expired, Fact, Limits, View
from stannary.run import alarm

if TYPE_CHECKING:
    import tempfile

__all__ = ["Walker", "read_file", "read_view"]

_SPILL = 8 << 20
_MISSED = 1000  # reasons kept for one file
_DEEP = 2  # containers around something before it is looked up among what was read
_DIGESTED = 64 << 20
_SWEPT = 3  # what was being read when the limit struck, and two of what it was in
# Formats whose readers look at parts of a file alone: pictures, recordings, compiled models, plain weights, lines of text.
_OPAQUE = frozenset({
    "media", "executorch", "tflite", "tensorrt", "ggml", "rknn", "ncnn", "lightgbm", "learned-weights", "jld2", "blend",
})  # fmt: skip
_SEARCHES, _SEARCHED = 16, 64 << 20  # parts of a file, and bytes of their start and of their end, that are searched
_SWEEPING = 0.25  # CPU seconds to sweep a file from which the reading was thrown out
_FACTS_OF_SWEEP = 256
_SOURCE = frozenset({"python", "notebook", "script", "jinja"})
_UNPACKING = 0.6  # part of the time that decompressing may take: what comes out has to be read too
_SMALL = 1 << 16
_GRACE = 0.3  # CPU seconds to tell what was seen and to sweep the rest
# A text in which nothing was found until then may go on: there is little to judge, and telling takes a third of the time.
_TEXTS = frozenset({"json", "keras-config", "lightgbm", "notebook", "openvino", "pmml", "text", "xgboost-json", "xml"})
_LONGER, _STEP, _QUIET = 0.25, 0.05, 64  # of the time, more; CPU seconds at a time; facts at most


@cache
def _stream_errors() -> tuple[type[Exception], ...]:
    """Return what decompressing raises. The libraries are imported here: few files are compressed."""
    import zlib
    from lzma import LZMAError

    return FormatError, EOFError, zlib.error, LZMAError, OSError, ValueError, RuntimeError


class Walker:
    """The sink that readers report to. One per file."""

    def __init__(
        self,
        budget: Budget,
        siblings: frozenset[str] = frozenset(),
        *,
        strict: bool = False,
        plugged: tuple[Format, ...] = (),
    ) -> None:
        self.budget = budget
        self.plugged = plugged  # formats that plug-ins bring
        self.siblings = siblings
        self.strict = strict  # tests: let a reader's own bug surface
        self.facts: list[Fact] = []
        self.missed: list[Missed] = []
        self.formats: list[str] = []
        self.inert_reasons: list[str] = []
        self._part = ""
        self._depth = 0
        self._full = False
        self._nested: set[bytes] = set()  # digests of what was read two and more containers deep
        self._swept = 0
        self._searched = 0
        self.swept = False  # the file itself, to its end
        self._limited = False  # a reader stopped at a limit, and what it left is not swept yet
        self._reading = ""  # the format
        self.longer = 0.0  # seconds that a quiet text may have beyond its time

    # What readers call

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:
        """Report a fact about the thing being read."""
        self.budget.facts -= 1
        if self.budget.facts < 0:
            if not self._full:
                self._full = True
                self.missed.append(Missed(f"more than {self.budget.limits.facts} facts", self._part, offset))
            return
        self.facts.append(Fact(kind, offset, data, self._part))

    def incomplete(self, reason: str, offset: int | None = None) -> None:
        """Say that something was not read."""
        if len(self.missed) < _MISSED:
            self.missed.append(Missed(reason, self._part, offset))

    def inert(self, reason: str) -> None:
        """Say that there is nothing to analyse in the thing being read. What is said of a part does not count for the whole."""
        if not self._depth:
            self.inert_reasons.append(reason)

    def child(self, name: str, content: memoryview | bytes, *, offset: int | None = None, hint: str = "") -> None:
        """Read embedded content now."""
        part = f"{self._part}!{name}" if self._part else name
        self._enter(Child(View(content, name), part, hint), offset)

    def inflate(self, name: str, chunks: Iterator[bytes], *, hint: str = "", size: int = 0) -> None:
        """Read decompressed content, in memory or from a scratch file when it is large."""
        import tempfile  # 6 ms, and few files are compressed

        part = f"{self._part}!{name}" if self._part else name
        problem = None
        with tempfile.SpooledTemporaryFile(max_size=_SPILL) as spool:
            total = 0
            try:
                for chunk in chunks:
                    self.budget.take_inflated(len(chunk))
                    self.budget.check_time()
                    spool.write(chunk)
                    total += len(chunk)
                    if total > _SPILL and time.process_time() > self.budget.halfway:
                        problem = f"{name}: {RAN_OUT}decompressing {total} bytes took most of the time"
                        break
            except _stream_errors() as exc:
                problem = f"{name}: decompression stopped after {total} bytes: {str(exc) or type(exc).__name__}"
            if problem is None and size and total != size:
                problem = f"{name}: {total} bytes where {size} were announced"
            if problem is not None:
                self.incomplete(problem)
            if total:
                self._enter_spool(spool, total, Child(View(b"", name), part, hint))

    # The walk

    def walk(self, view: View, hint: str = "") -> None:
        """Read a view in every way it can be read."""
        if self.budget.is_over():
            return  # the report says so
        try:
            rows = identify(view, hint, self.plugged)
        except (FormatError, ImportError, MemoryError) as exc:  # of a probe; the rest of the file is read
            self.incomplete(f"not identified: {str(exc) or type(exc).__name__}")
            return
        missed = len(self.missed)
        if not rows and len(view):
            self.incomplete("unknown binary format")
        for row in rows:
            if not self.budget.is_over():
                self._read(row, view)
        # `raw-weights` is a name's reading: it looks at nothing where the content is of another format.
        names = {row.name for row in rows}
        if len(self.missed) > missed or not names.isdisjoint(_OPAQUE) or names == {"raw-weights"}:
            self._search(view)
        if (self.budget.is_over() or self._limited) and self._swept < _SWEPT:
            self._swept += 1
            self._limited = False
            self.sweep(view, code=any(row.name in _SOURCE for row in rows))

    def _search(self, view: View) -> None:
        """Search what no reader understands for imports of a pickle: some other program finds it there and loads it."""
        if self.budget.is_over() or self._searched >= _SEARCHES:
            return
        from stannary.formats.unread import sweep  # as above

        self._searched += 1
        before = len(self.facts)
        read = {(f.data["module"], f.data["name"]) for f in self.facts if f.kind == "pickle.global" and f.part == self._part}
        where = "among bytes that are of no format, or that no reader of this one looks at"
        sweep(view.data[:_SEARCHED], self, where=where)
        if len(view) > _SEARCHED:
            sweep(view.data[max(_SEARCHED, len(view) - _SEARCHED) :], self, where=where)
        if read:  # what the machine has told of is no second fact
            told, new = self.facts[:before], self.facts[before:]
            self.facts = told + [f for f in new if (f.data.get("module"), f.data.get("name")) not in read]

    def sweep(self, view: View, *, code: bool) -> None:
        """Search what the limit left unread for names that end nearly every exploit."""
        from stannary.formats.unread import sweep  # hostile files only

        before = len(self.facts)
        self.budget.closing = True
        self.budget.facts = max(self.budget.facts, _FACTS_OF_SWEEP)
        try:
            sweep(view.data, self, code=code)
            self.swept = self.swept or not self._part
        finally:
            self.facts = self.facts[before:] + self.facts[:before]  # to the front: judging has limits as well
            self.budget.closing = False

    def _read(self, row: Format, view: View) -> None:
        name = f"{self._part}:{row.name}" if self._part else row.name
        self.formats.append(name)
        self._reading = row.name
        try:
            load_reader(row)(view, self)
        except BudgetExceeded as exc:
            self._limited = True
            self.incomplete(f"{row.name}: {exc.message}", exc.offset)
        except FormatError as exc:
            self.incomplete(f"{row.name}: {exc.message}", exc.offset)
            self.fact("format.malformed", exc.offset, format=row.name, reason=exc.message)
        except RecursionError as exc:
            self.incomplete(f"{row.name}: {type(exc).__name__}")
        except MemoryError:
            self.budget.crowd(row.name)
        except Exception as exc:  # a reader's bug on hostile input must not hide the rest of the file
            if self.strict:
                raise
            self.incomplete(f"{row.name}: reader failed: {type(exc).__name__}: {exc}")

    def _enter(self, child: Child, offset: int | None) -> None:
        if self._depth >= self.budget.limits.depth:
            self.fact("walk.nesting", offset, levels=self.budget.limits.depth)
            self.incomplete(f"{child.part}: nested deeper than {self.budget.limits.depth}", offset)
            return
        if not len(child.view) or (self._depth >= _DEEP and self._again(child)):
            return
        part, siblings = self._part, self.siblings
        self._part = child.part
        self._depth += 1
        try:
            self.walk(child.view, child.hint)
        finally:
            self._part, self.siblings = part, siblings
            self._depth -= 1

    def _again(self, child: Child) -> bool:
        """Tell whether the same was read before: archives that overlap in themselves unfold exponentially."""
        if len(child.view) > _DIGESTED:
            return False
        found = hashlib.sha256(f"{child.view.name}\0{child.hint}\0".encode("utf-8", "surrogatepass"))
        found.update(child.view.data)
        known = found.digest() in self._nested
        self._nested.add(found.digest())
        return known

    def _enter_spool(self, spool: tempfile.SpooledTemporaryFile[bytes], total: int, child: Child) -> None:
        if total <= _SPILL:
            spool.seek(0)
            self._enter(Child(View(spool.read(), child.view.name), child.part, child.hint), None)
            return
        spool.flush()
        mapped = mmap.mmap(spool.fileno(), total, access=mmap.ACCESS_READ)
        view = View(mapped, child.view.name)
        try:
            self._enter(Child(view, child.part, child.hint), None)
        finally:
            _unmap(mapped, view)

    def go_on(self, timer: alarm.Alarm) -> float:
        """Return for how many CPU seconds the reading may go on although its time is up, 0 for not at all."""
        if self._depth or self._reading not in _TEXTS or len(self.facts) > _QUIET or self.longer <= 0:
            return 0.0
        step = min(_STEP, self.longer)
        self.longer -= step
        timer.grace = _GRACE / 3
        return step

    def took_little(self, view: View) -> bool:
        """Tell whether so little was seen that judging it needs no more memory than reading it: two system calls a file less."""
        quiet = not self.missed and len(self.facts) <= _QUIET and not self.budget.expired
        return quiet and len(view) <= _SMALL and self.budget.inflated == self.budget.limits.inflated

    def leave(self) -> None:
        """Stand at the file itself again, wherever the reading was thrown out from."""
        self._part, self._depth = "", 0

    def report(self) -> FileReport:
        """Return what was seen."""
        if self.budget.expired:
            self.missed.append(Missed(self.budget.expired))
        return FileReport(tuple(self.formats), tuple(self.facts), tuple(self.missed), "; ".join(dict.fromkeys(self.inert_reasons)))


def read_view(
    view: View,
    *,
    limits: Limits | None = None,
    siblings: frozenset[str] = frozenset(),
    strict: bool = False,
    plugged: tuple[Format, ...] = (),
) -> FileReport:
    """Read a view into facts. Never raises for anything the content does."""
    walker = Walker(Budget(limits), siblings, strict=strict, plugged=plugged)
    if not len(view):
        walker.incomplete("empty file")
        return walker.report()
    # A hostile stream makes millions of containers; collecting them again and again is quadratic.
    collecting = gc.isenabled()
    gc.disable()
    try:
        _walk(walker, view)
    finally:
        if collecting:
            gc.enable()
    return walker.report()


def _walk(walker: Walker, view: View) -> None:
    """Walk within the limits of processor time and memory, which readers need not look at."""
    budget = walker.budget
    scale = max(1.0, len(view) / LARGE)
    bound = alarm.bound_memory(int(budget.limits.memory * scale))
    try:
        with (
            bound as budget.more_memory,
            alarm.hold(budget.limits.processor * scale, budget.expire, grace=_GRACE) as timer,
        ):
            timer.more = partial(walker.go_on, timer)
            walker.longer = budget.limits.processor * scale * _LONGER
            if timer.active:
                budget.halfway = timer.deadline - budget.limits.processor * scale * (1 - _UNPACKING)
            walker.walk(view)
            bound.kept = walker.took_little(view)
    except (BudgetExceeded, Expired):  # it struck outside of a reader; the budget knows
        budget.expired = budget.expired or f"{RAN_OUT}the time is up"
    except MemoryError:
        budget.crowd("it")
    if budget.is_over() and not walker.swept:
        gc.collect()  # what the exception held on to
        walker.leave()
        with suppress(BudgetExceeded, Expired, MemoryError), alarm.hold(_SWEEPING, budget.expire):
            walker.sweep(view, code=False)


def _unmap(mapped: mmap.mmap, view: View) -> None:
    """Close a mapping. Slices of it live on in an exception that refers to itself, until they are collected."""
    with suppress(BufferError):
        view.data.release()
        mapped.close()
        return
    gc.collect()
    with suppress(BufferError):  # a reader kept a slice; it dies with the walk
        view.data.release()
        mapped.close()


@lru_cache(maxsize=4)
def _listing(folder: str) -> frozenset[str]:
    """Return the names in a folder; thousands of files of one folder share it."""
    return frozenset(os.listdir(folder))  # noqa: PTH208 - hot path


def read_file(
    path: str,
    *,
    name: str = "",
    limits: Limits | None = None,
    siblings: frozenset[str] | None = None,
    strict: bool = False,
    plugged: tuple[Format, ...] = (),
) -> FileReport:
    """Map a regular file and read it. Raises OSError when it cannot be opened or mapped.

    `siblings` are the names in its folder, listed here when they are not given.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        if size == 0:
            return read_view(View(b"", name or path), limits=limits)
        if siblings is None:
            siblings = _listing(os.path.dirname(path) or ".")  # noqa: PTH120 - hot path
        if size <= 1 << 16:
            view = View(os.read(descriptor, size), name or path, path)
            return read_view(view, limits=limits, siblings=siblings, strict=strict, plugged=plugged)
        mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        view = View(mapped, name or path, path)
        try:
            return read_view(view, limits=limits, siblings=siblings, strict=strict, plugged=plugged)
        finally:
            _unmap(mapped, view)
    finally:
        os.close(descriptor)
