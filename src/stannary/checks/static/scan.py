"""Scan files and folders: list, read each file in a jailed process, judge, put together.

    result = stannary.scan("models/")            # what the command line does
    result = scan_paths([Target(path="m.pkl")], ScanOptions(jobs=2))

Reading happens in jailed workers (`scan_worker.py` in `stannary.run.pool`); the parent opens
files only to hash the large ones. What a worker says is data; a worker that dies or hangs
costs the file it was on, which is then *failed* and carries a finding (SCN001).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from stannary.checks.static import ruleset, wire
from stannary.checks.static.result import ScanResult
from stannary.checks.static.ruleset import RuleSet
from stannary.checks.static.scan_assembly import INTERRUPTED, Collected, assemble
from stannary.checks.static.scan_plan import LARGE, Place, Plan, Target, large_files, make_plan
from stannary.checks.static.scan_worker import Answer, Settings, Work
from stannary.checks.static.waivers import Acceptance, Baseline, Waiver, read_baseline, waivers_of
from stannary.core.errors import Bug, UsageError
from stannary.formats.hashing import BackgroundHasher, Hashed
from stannary.formats.interface import Limits
from stannary.run import interrupt, scratch
from stannary.run.interface import Done, Executor, Failed, Job, Lost, Outcome, Setup, Ticket
from stannary.run.jail import Jail, Level
from stannary.run.progress import Progress, Tracker

if TYPE_CHECKING:
    from stannary.checks.static.plugins import Plugins

__all__ = ["ScanOptions", "Target", "rules_of", "scan", "scan_paths", "was_interrupted"]

_MANY = 64  # files from which readers are imported that one file may not need
_PICKLES = frozenset({".pkl", ".pickle", ".joblib"})
_WORKER = "stannary.checks.static.scan_worker:factory"


class ScanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to scan.

    Attributes:
        jobs: worker processes; 0 for one a processor.
        jail: the level that must hold; None for the best this platform has by itself.
        hash: SHA-256 of every byte, and with it the identity of the target.
        cache: folder for facts by content, or None.
        limits: bounds for each file; memory: bytes a worker may use.
        baseline: accepted findings; waivers: accepted with reason, owner and end.
        strict: let a reader's own bug surface as `Bug` instead of an incomplete file.
        advisories: a dump of OSV records, matched with pinned dependencies; '' for none.
        plugins: names of the plug-ins to use (`plugins.py`); none is looked for otherwise.
        on_progress: called at most ten times a second.
        today: the day that waivers are measured against; None for now, UTC.
    """

    jobs: int = 0
    jail: Level | None = None
    hash: bool = True
    cache: str | None = None
    limits: Limits = Limits()
    memory: int = 1 << 30
    baseline: Baseline | None = None
    waivers: tuple[Waiver, ...] = ()
    strict: bool = False
    plugins: tuple[str, ...] = ()
    advisories: str = ""
    on_progress: Callable[[Progress], None] | None = None
    today: date | None = None


def scan(*paths: str | os.PathLike[str], **options: Any) -> ScanResult:  # noqa: ANN401 - the fields of ScanOptions
    """Scan files and folders and return the result.

    Options are the fields of ScanOptions; `baseline` may be a path, `waivers` a list of tables
    as in the configuration file, `limits` a mapping. Raises UsageError, JailUnavailable.
    """
    if isinstance(options.get("baseline"), str | os.PathLike):
        options["baseline"] = read_baseline(os.fspath(options["baseline"]))
    rows = options.get("waivers", ())
    if any(isinstance(row, Mapping) for row in rows):
        options["waivers"] = waivers_of(rows)
    if isinstance(options.get("limits"), Mapping):
        options["limits"] = Limits(**options["limits"])
    if isinstance(options.get("cache"), os.PathLike):
        options["cache"] = os.fspath(options["cache"])
    try:
        chosen = ScanOptions(**options)
    except TypeError as exc:
        raise UsageError(str(exc), where="stannary.scan", code="SCAN002") from exc
    return scan_paths([Target(path=os.fspath(path)) for path in paths], chosen)


def scan_paths(targets: Sequence[Target], options: ScanOptions) -> ScanResult:
    """Scan targets. Raises UsageError (a path, an option, a plug-in), JailUnavailable, BackendError.

    Ctrl-C ends the workers and returns what was done by then; `was_interrupted` tells.
    """
    started = time.perf_counter()
    rules = rules_of(options)
    plan = make_plan(targets)
    collected = _Run(plan, options).run()
    acceptance = Acceptance(options.waivers, options.baseline, options.today or _today())
    return assemble(plan, collected, rules, acceptance, time.perf_counter() - started)


def rules_of(options: ScanOptions) -> RuleSet:
    """Return the rules that a scan goes by: the shipped ones, with those of its plug-ins. Raises UsageError."""
    return _plugins(options).rules if options.plugins else ruleset.load()


def was_interrupted(result: ScanResult) -> bool:
    """Tell whether Ctrl-C ended the scan before everything was read."""
    return any(INTERRUPTED in target.errors for target in result.targets)


def _plugins(options: ScanOptions) -> Plugins:
    from stannary.checks.static import plugins

    return plugins.load(tuple(options.plugins))


def _today() -> date:
    from datetime import UTC, datetime

    return datetime.now(UTC).date()


class _Run:
    """Gives out the work and collects the answers."""

    def __init__(self, plan: Plan, options: ScanOptions) -> None:
        self.plan = plan
        self.options = options
        self.cache = ""
        self.version = ""
        if options.cache:
            from stannary.checks.static import cache

            self.cache = cache.open_folder(options.cache)
            self.version = cache.reader_version(options.limits, _plugins(options).version if options.plugins else "")
        self.tickets: dict[Ticket, Place] = {}
        self.answers: dict[Place, Answer] = {}
        self.lost: dict[Place, str] = {}
        self.siblings: dict[int, str] = {}  # digests of the names in folders, for the cache
        self.hashes: dict[tuple[int, int], Hashed] = {}
        self.waiting: dict[tuple[int, int], list[Place]] = {}  # for their hash, before they are looked up
        self.hasher: BackgroundHasher | None = None
        self.compiled: set[str] = set()  # modules that workers compiled
        self.large = large_files(plan) if options.hash else []
        self.tracker = Tracker(options.on_progress, plan.files, plan.size)
        self.decode = msgspec.msgpack.Decoder(Answer).decode
        self.encode = msgspec.msgpack.Encoder().encode

    def run(self) -> Collected:
        """Do everything."""
        interrupted = False
        jail = "none"
        folder = scratch.make()
        try:
            executor = None
            try:
                executor = self._executor(folder)
                self._collect(executor)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                with interrupt.hold():
                    if executor is not None:
                        jail = _level_of(executor)
                        executor.close()
                    if self.hasher is not None:
                        self.hasher.stop()
        finally:
            scratch.remove(folder)
        self.tracker.finish()
        if self.compiled:
            from stannary.checks.static import compiled

            compiled.keep(self.compiled)
        return Collected(self.answers, self.lost, self.hashes, interrupted, jail)

    def _executor(self, folder: str) -> Executor:
        options, plan = self.options, self.plan
        settings = Settings(
            options.limits, plan.folders, options.hash, options.strict, self.cache, self.version, tuple(options.plugins),
            options.advisories,
        )  # fmt: skip
        if options.advisories:
            from stannary.checks.dependencies.advisories import load_once

            load_once(options.advisories)  # a file that is none is an error now, and the workers inherit what was read
        try:
            encoded = msgspec.msgpack.encode(settings)
        except UnicodeEncodeError:
            folders = tuple(tuple(map(wire.shown, names)) for names in settings.folders)
            encoded = msgspec.msgpack.encode(msgspec.structs.replace(settings, folders=folders))
        setup = Setup(_WORKER, encoded)
        if not hasattr(os, "fork"):
            from stannary.run.inline import Inline

            return Inline(setup)
        from stannary.run.pool import Pool

        _import_readers(plan)
        read = (*plan.granted, *filter(None, (self.cache, options.advisories)))
        jail = Jail(
            level=options.jail, read=read, write=(folder,), memory=options.memory,
            file_size=options.limits.inflated, processor_seconds=int(options.limits.seconds * 2) + 10,
        )  # fmt: skip
        work = plan.files + sum(map(len, plan.repositories))
        workers = max(1, min(options.jobs or _processors(), work))
        return Pool(setup, jail, workers=workers, seconds=_seconds(options.limits))

    def _collect(self, executor: Executor) -> None:
        # The workers are forked by now; threads may start.
        if self.large:
            self.hasher = BackgroundHasher(min(self.options.jobs or _processors(), len(self.large)))
            for key, entry in enumerate(self.large):
                self.hasher.add(key, entry.real)
        self._submit_all(executor)
        pause = None if self.hasher is None else 0.1
        while True:
            interrupt.check()
            for outcome in executor.results(pause):
                self._take(outcome)
            if self.hasher is None:
                return
            self._take_hashes(executor)
            if not self.tickets and not self.hasher.pending:
                return
            if not self.tickets:
                self.hasher.wait(0.1)
            self.tracker.advance(0, 0, extra=self.hasher.bytes)

    def _submit_all(self, executor: Executor) -> None:
        plan, hashing = self.plan, self.options.hash
        for place in plan.order():
            repository, target, index = place
            large = not repository and plan.trees[target].entries[index].size >= LARGE
            if large and hashing and self.cache:
                entry = plan.trees[target].entries[index]
                self.waiting.setdefault((entry.device, entry.inode), []).append(place)
            else:
                self._submit(executor, place, plan.work(place, hash_it=hashing and not large))

    def _submit(self, executor: Executor, place: Place, work: Work) -> None:
        try:
            payload = self.encode(work)
        except UnicodeEncodeError:
            files = None if work.files is None else tuple(map(wire.wired, work.files))
            payload = self.encode(
                msgspec.structs.replace(work, real=wire.wired(work.real), name=wire.shown(work.name), files=files)
            )
        self.tickets[executor.submit(Job(payload, self.plan.bytes_of(place)))] = place

    def _take(self, outcome: Outcome) -> None:
        place = self.tickets.pop(outcome.ticket)
        match outcome:
            case Done():
                try:
                    answer = self.decode(outcome.value)
                except (msgspec.DecodeError, RecursionError):
                    answer = Answer(problem="its reader answered with something that is not an answer")
                self.answers[place] = answer
                if answer.entry:
                    self._remember(place, answer)
                self.compiled.update(answer.compiled)
            case Failed():
                if self.options.strict:
                    raise Bug(outcome.error, where=self.plan.name(place))
                self.answers[place] = Answer(problem=f"its reader failed: {outcome.error}")
            case Lost():
                self.lost[place] = f"its reader {outcome.reason}"
        if self.options.on_progress is not None and not place[0]:
            size = self.plan.bytes_of(place)
            hashed = self.hasher.bytes if self.hasher is not None else 0
            self.tracker.advance(1, 0 if self.hasher is not None and size >= LARGE else size, self.plan.name(place), extra=hashed)

    def _remember(self, place: Place, answer: Answer) -> None:
        if self.cache and answer.sha256:
            from stannary.checks.static import cache

            base = self.plan.name(place).rpartition("/")[2]
            folder = self.plan.folder_of[place[1]][place[2]]
            if folder not in self.siblings:
                self.siblings[folder] = cache.siblings_digest(self.plan.folders[folder])
            cache.store(self.cache, cache.entry_key(answer.sha256, base, self.siblings[folder], self.version), answer.entry)
        answer.entry = b""

    def _take_hashes(self, executor: Executor) -> None:
        if self.hasher is None:
            return
        for key, hashed in self.hasher.take():
            entry = self.large[key]
            inode = (entry.device, entry.inode)
            self.hashes[inode] = hashed
            for place in self.waiting.pop(inode, ()):
                self._submit(executor, place, self.plan.work(place, hash_it=False, sha256=hashed.sha256))


def _seconds(limits: Limits) -> float:
    """Return when a reader that does not keep its own time is killed: well after it should have stopped by itself."""
    return limits.seconds * 1.5 + 10


def _level_of(executor: Executor) -> str:
    held = getattr(executor, "held", None)
    return "none" if held is None else str(held.level)


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_readers(plan: Plan) -> None:
    """Import once, before the fork, what every worker would import for itself.

    It also leaves compiled modules on disk where an installer did not, which jailed workers cannot.
    """
    from stannary.formats.identify import FORMATS, load_probe

    suffixes = {os.path.splitext(entry.path)[1].lower() for tree in plan.trees for entry in tree.entries[:2000]}
    if plan.files >= _MANY and not suffixes <= _PICKLES:
        for row in FORMATS:
            if row.probe:
                load_probe(row)
    if plan.files > 1 and suffixes & {*_PICKLES, ".pt", ".pth", ".bin", ".ckpt"}:
        import stannary.checks.static.alike
        import stannary.checks.static.judges.pickle_calls  # noqa: F401 - for its effect
