"""What a scan does inside the jail: one file, or one repository folder, from bytes to findings.

Work and answers are msgpack. The parent sends where a file is and what it was when it was
listed; the answer says what the file was when it was read, so that a file that is swapped or
written to meanwhile is never called clean.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from stannary.checks.static import cache, compiled, ruleset, wire
from stannary.checks.static.quiet import Quiet
from stannary.checks.static.result import FileReport, Missed, ScanFinding
from stannary.checks.static.ruleset import Hit
from stannary.checks.static.verdict import findings_of, sort_findings
from stannary.checks.static.walk import Walker, read_file, read_view
from stannary.core.errors import BudgetExceeded, FormatError
from stannary.formats import stall
from stannary.formats.hashing import FileIdentity, hash_file, identity_of
from stannary.formats.identify import Format
from stannary.formats.interface import RAN_OUT, Budget, Limits, View
from stannary.run import alarm

if TYPE_CHECKING:
    from stannary.checks.static.alike import Alike

__all__ = ["Answer", "Settings", "Work", "factory"]


_INLINE = 1 << 16  # bytes of a file that is read in one go
_LEFT = 50_000  # objects that were made and not let go of; a source of a thousand lines leaves some 5,000 in cycles
_JUDGING = 0.25  # CPU seconds for judging the facts of one file
_UNJUDGED = Missed("there was more in it than could be judged in time")


class Settings(msgspec.Struct, frozen=True):
    """What all work of a scan shares. `folders`: the names in each folder that has files to read."""

    limits: Limits
    folders: tuple[tuple[str, ...], ...]
    hash: bool = True
    strict: bool = False
    cache: str = ""
    version: str = ""
    plugins: tuple[str, ...] = ()
    advisories: str = ""


class Work(msgspec.Struct, frozen=True, array_like=True):
    """A file to read; or, with `files`, a repository folder. `name` is its path within the target."""

    real: str
    name: str
    folder: int
    device: int
    inode: int
    hash: bool
    sha256: str = ""
    files: tuple[str, ...] | None = None


class Answer(msgspec.Struct, array_like=True):
    """What came of it. `problem`: why it was not read. `entry`: facts for the cache, under `sha256`.

    `compiled`: modules that were compiled for it, and should be kept so.
    """

    formats: tuple[str, ...] = ()
    findings: tuple[ScanFinding, ...] = ()
    missed: tuple[Missed, ...] = ()
    skipped: str = ""
    sha256: str = ""
    identity: tuple[int, int, int, int, int] | None = None
    problem: str = ""
    entry: bytes = b""
    compiled: tuple[str, ...] = ()


def factory(data: bytes) -> Callable[[bytes, bool], bytes]:
    """Return the handler of a worker from encoded Settings."""
    # What hostile streams make is let go of by reference counts, and looking for cycles in it meanwhile would be quadratic.
    gc.disable()
    return _Reader(msgspec.msgpack.decode(data, type=Settings)).handle


class _Reader:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plugged: tuple[Format, ...] = ()
        if settings.plugins:
            from stannary.checks.static import plugins

            self.plugged, self.rules, _ = plugins.load(settings.plugins)
        else:
            self.rules = ruleset.load()
        self.decode = msgspec.msgpack.Decoder(Work).decode
        self.encode = msgspec.msgpack.Encoder().encode
        self._modules = len(sys.modules)
        self._folder = -1
        self._names: frozenset[str] = frozenset()
        self._digest = ""
        # With plug-ins, or facts to keep, every file is read in full.
        self._alike: Alike | None = None
        self._remembers = not (settings.plugins or settings.cache)
        self._quiet = Quiet(self.rules)

    def handle(self, payload: bytes, degraded: bool) -> bytes:  # noqa: FBT001 - the Handler type
        """Read one thing and answer."""
        work = self.decode(payload)
        if work.real[:1] == "\0":
            work = msgspec.structs.replace(work, real=wire.unwired(work.real))
        limits = _reduced(self.settings.limits) if degraded else self.settings.limits
        stall.avoid(degraded)
        if gc.get_count()[0] > _LEFT:
            gc.collect()  # between files, when earlier ones left cycles: thousands of sources would fill what a reader may have
        try:
            answer = self._file(work, limits, keep=not degraded) if work.files is None else self._repository(work, limits)
        except OSError as exc:
            answer = Answer(problem=f"cannot be read: {exc.strerror or exc}")
        if len(sys.modules) != self._modules:
            answer.compiled = compiled.uncompiled(self._modules)
            self._modules = len(sys.modules)
        try:
            return self.encode(answer)
        except (UnicodeEncodeError, OverflowError):  # a reader names a file beside the one it read, or tells a size of 65 bits
            return wire.packed(answer)

    def _file(self, work: Work, limits: Limits, *, keep: bool) -> Answer:
        before, content = _opened(work)
        if before is None:
            return Answer(problem="was replaced by another file during the scan")
        if before.size <= _INLINE:
            return self._small(work, before, limits, keep=keep, content=content)
        alarm.free_memory()
        digest = work.sha256
        if work.hash:
            hashed = hash_file(work.real)
            if hashed.problem:
                return Answer(problem=hashed.problem)
            digest = hashed.sha256
            if hashed.identity != before:
                return Answer(problem="changed during the scan")
        report, entry = self._report(work, digest, limits, keep=keep)
        if identity_of(os.stat(work.real, follow_symlinks=False)) != before:
            return Answer(problem="changed during the scan")
        return self._answer(work, report, digest, before, entry)

    def _small(self, work: Work, before: FileIdentity, limits: Limits, *, keep: bool, content: bytes) -> Answer:
        """Read a small file that was opened once; what is hashed and read are the same bytes."""
        if len(content) != before.size:
            return Answer(problem="changed during the scan")
        digest = hashlib.sha256(content).hexdigest() if work.hash else work.sha256
        alike = self._memory() if keep and content[:1] == b"\x80" else None
        if alike is not None and alike.knows(View(content, work.name.rpartition("/")[2], work.real), content):
            answer = Answer(("pickle",), sha256=digest, identity=before)
        else:
            report, entry = self._report(work, digest, limits, keep=keep, content=content)
            answer = self._answer(work, report, digest, before, entry)
            if alike is not None and not answer.findings:
                alike.learn(content, report)
        if identity_of(os.stat(work.real, follow_symlinks=False)) != before:
            return Answer(problem="changed during the scan")
        return answer

    def _memory(self) -> Alike | None:
        if self._alike is None and self._remembers:
            from stannary.checks.static.alike import Alike  # with the readers of pickles, which few folders do without

            self._alike = Alike()
        return self._alike

    def _vulnerable(self, report: FileReport) -> Iterator[Hit]:
        if not self.settings.advisories or not any(fact.kind == "requirements.entry" for fact in report.facts):
            return iter(())
        from stannary.checks.dependencies.advisories import load_once
        from stannary.checks.dependencies.judge import match_advisories

        return match_advisories(report.facts, load_once(self.settings.advisories))

    def _answer(self, work: Work, report: FileReport, digest: str, before: FileIdentity, entry: bytes) -> Answer:
        findings: list[ScanFinding] = []
        key = b"" if self.settings.advisories else self._quiet.key(report)
        expired = False
        if not self._quiet.knows(key):
            judging = alarm.hold(_JUDGING, _stop_judging, again=False)
            # Wherever it strikes, what was found until then is in the list.
            with suppress(BudgetExceeded), judging:
                findings_of(report, self.rules, work.name, self._vulnerable(report), findings)
            expired = judging.expired
            if expired:
                sort_findings(findings)
            elif not findings:
                self._quiet.learn(key)
        return Answer(
            tuple(dict.fromkeys([name for name in report.formats if ":" not in name])),
            tuple(findings),
            (*report.missed, _UNJUDGED) if expired else report.missed,
            report.skipped,
            digest,
            before,
            "",
            entry,
        )

    def _report(
        self, work: Work, digest: str, limits: Limits, *, keep: bool, content: bytes | None = None
    ) -> tuple[FileReport, bytes]:
        settings = self.settings
        self._enter(work.folder)
        base = work.name.rpartition("/")[2]
        if ".git/hooks/" in work.name and f"/{work.name}".endswith(f"/.git/hooks/{base}"):  # where it lies makes a program of it
            base = f".git/hooks/{base}"
        if not (settings.cache and digest):
            return self._read(work, base, limits, content), b""
        known = cache.load(settings.cache, cache.entry_key(digest, base, self._digest, settings.version))
        if known is not None:
            return known, b""
        started = time.monotonic()
        report = self._read(work, base, limits, content)
        # What time ran out for depends on the machine, and must not be remembered.
        hurried = any(missed.reason.startswith(RAN_OUT) for missed in report.missed)
        if hurried or not keep or time.monotonic() - started > limits.seconds / 2:
            return report, b""
        return report, cache.pack(report)

    def _read(self, work: Work, base: str, limits: Limits, content: bytes | None) -> FileReport:
        strict, names, plugged = self.settings.strict, self._names, self.plugged
        if content is None:
            return read_file(work.real, name=base, limits=limits, siblings=names, strict=strict, plugged=plugged)
        return read_view(View(content, base, work.real), limits=limits, siblings=names, strict=strict, plugged=plugged)

    def _enter(self, folder: int) -> None:
        if folder != self._folder:
            names = self.settings.folders[folder]
            self._folder = folder
            self._names = frozenset(names)
            self._digest = cache.siblings_digest(names) if self.settings.cache else ""

    def _repository(self, work: Work, limits: Limits) -> Answer:
        alarm.free_memory()
        files = tuple(map(wire.unwired, work.files or ()))
        walker = Walker(Budget(limits), frozenset(files), strict=self.settings.strict, plugged=self.plugged)
        walker.formats.append("repository")
        try:
            from stannary.formats.repository import read_repository  # only for folders that look like one

            read_repository(work.real, files, walker)
        except FormatError as exc:
            walker.incomplete(f"repository: {exc.message}", exc.offset)
        except (RecursionError, MemoryError) as exc:
            walker.incomplete(f"repository: {type(exc).__name__}")
        except Exception as exc:  # a reader's bug on hostile input must not hide the files
            if self.settings.strict:
                raise
            walker.incomplete(f"repository: reader failed: {type(exc).__name__}: {exc}")
        report = walker.report()
        return Answer(report.formats, tuple(findings_of(report, self.rules, work.name)), report.missed, report.skipped)


def _opened(work: Work) -> tuple[FileIdentity | None, bytes]:
    """Return what a file is, and all of it when it is small; None when it is no longer the one that was listed.

    A write between the first look and the reading changes what the last look finds, in `_file` and `_small`. Raises OSError.
    """
    try:
        # A pipe that was put in its place is not waited for.
        descriptor = os.open(work.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        status = os.stat(work.real, follow_symlinks=False)
        if (status.st_dev, status.st_ino) != (work.device, work.inode):  # by a link, say
            return None, b""
        raise
    try:
        before = identity_of(os.fstat(descriptor))
        if (before.device, before.inode) != (work.device, work.inode):
            return None, b""
        return before, os.read(descriptor, _INLINE + 1) if before.size <= _INLINE else b""
    finally:
        os.close(descriptor)


def _stop_judging(*, last: bool) -> None:
    del last
    raise BudgetExceeded(_UNJUDGED.reason)


def _reduced(limits: Limits) -> Limits:
    """Return limits for a second try: small enough to stop by itself and report what was seen."""
    return msgspec.structs.replace(
        limits, seconds=limits.seconds / 4, operations=limits.operations // 8, inflated=limits.inflated // 8, text=limits.text // 4
    )
