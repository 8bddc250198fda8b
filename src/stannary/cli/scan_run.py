"""What `stannary scan` does once its command line is read: configuration, scan, reports, verdict, exit code.

Free of click, which `quick.py` spares the usual command lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from stannary import app
from stannary.checks.static.result import ScanResult
from stannary.checks.static.scan import ScanOptions, rules_of, was_interrupted
from stannary.checks.static.waivers import baseline_of, read_baseline, waivers_of
from stannary.cli import exits
from stannary.cli.config import Config, load
from stannary.cli.gather import Gathered
from stannary.cli.output import Outputs, emit, parse_outputs, write_file
from stannary.cli.progress import progress_bar
from stannary.cli.talk import Talk
from stannary.cli.trust import softening, without_softening
from stannary.core.clock import system_clock
from stannary.core.errors import UsageError
from stannary.core.model import severity_rank
from stannary.formats.interface import Limits
from stannary.report.escape import inline
from stannary.report.interface import Context, Show
from stannary.report.wording import counted, headline

if TYPE_CHECKING:
    from stannary.evidence.workspace import Workspace

__all__ = ["Options", "exit_code", "run_scan", "start"]

_LIMITS = tuple(field.name for field in msgspec.structs.fields(Limits))


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything `scan` was asked for: configuration, environment and flags together."""

    targets: tuple[str, ...]
    outputs: Outputs
    fail_on: str
    show: Show
    exit_zero: bool
    write_baseline: str | None
    offline: bool
    record: Workspace | None
    workspace: str | None
    engine: ScanOptions


def start(given: Mapping[str, Any], talk: Talk, *, config_file: str | None = None, flags: Mapping[str, Any] | None = None) -> int:
    """Do what the options of the command line ask for (by the names that `scan.py` declares) and return the exit code.

    `flags` are settings that were given as options common to all commands.
    """
    gathered = Gathered()
    gathered.step(lambda: app.check_names(given["targets"]))
    config = gathered.step(lambda: load(config_file))
    if config is None:
        gathered.step(lambda: parse_outputs(given["formats"], given["output"], "table"))
        gathered.check()
    assert config is not None  # noqa: S101 - else check() raised
    config = config.with_flags({**(flags or {}), **_flags(given)})
    talk.color = config["color"]
    config = _trusted(config, given["targets"], talk)
    options = _options(config, given, gathered)
    return run_scan(options, talk)


def _trusted(config: Config, targets: tuple[str, ...], talk: Talk) -> Config:
    """Return the configuration without what a file inside a target softens, and say what a file found upward softens."""
    file = inline(config.file)
    softened = softening(config)
    config, ignored = without_softening(config, targets)
    if ignored:
        talk.warning(
            f"{file} lies inside what is scanned, so what it softens is ignored: {inline('; '.join(ignored), 300)}",
            f"if the file is yours, name it: --config {file}",
        )
    elif softened and not config.explicit:
        talk.note(f"{file} is in force: {inline('; '.join(softened), 300)}")
    return config


def _flags(given: Mapping[str, Any]) -> dict[str, Any]:
    flags = {
        f"scan.{name.replace('_', '-')}": given[name]
        for name in ("fail_on", "show", "baseline", "advisories", "jobs", "jail", "digest")
    }
    flags |= {f"scan.limits.{name}": given.get(f"limit_{name}") for name in _LIMITS}
    flags["scan.cache"] = False if given["no_cache"] else given["cache"]
    flags["offline"] = given["offline"]
    return flags


def _options(config: Config, given: Mapping[str, Any], gathered: Gathered) -> Options:
    outputs = gathered.step(lambda: parse_outputs(given["formats"], given["output"], config["scan.format"]))
    baseline = gathered.step(lambda: read_baseline(config["scan.baseline"]) if config["scan.baseline"] else None)
    waivers = gathered.step(lambda: waivers_of(config.waivers, config.file))
    record = gathered.step(lambda: _workspace(given, config))
    gathered.check()
    assert outputs is not None and waivers is not None  # noqa: PT018, S101 - else check() raised
    return Options(
        targets=given["targets"],
        outputs=outputs,
        fail_on=config["scan.fail-on"],
        show=config["scan.show"],
        exit_zero=given["exit_zero"],
        write_baseline=given["write_baseline"],
        offline=config["offline"],
        record=record,
        workspace=app.registry_home(given["workspace"], record=record is not None),
        engine=msgspec.structs.replace(_engine(config), baseline=baseline, waivers=waivers),
    )


def _workspace(given: Mapping[str, Any], config: Config) -> Workspace | None:
    """Return the workspace to record in. Raises UsageError: before the scan, not after it."""
    if not given.get("record"):
        return None
    from stannary.cli.workspace import open_workspace

    if not config["scan.digest"]:
        msg = "--record needs the digest of what was scanned"
        raise UsageError(msg, where="--no-digest", code="USE012", help="leave out --no-digest")
    return open_workspace(given["workspace"], offline=config["offline"])


def _engine(config: Config) -> ScanOptions:
    cache = config["scan.cache"]
    jail = config["scan.jail"]
    return ScanOptions(
        jobs=config["scan.jobs"],
        jail=None if jail == "auto" else jail,
        hash=config["scan.digest"],
        cache=(_user_cache() if cache is True else cache) or None,
        limits=Limits(**{name: config[f"scan.limits.{name}"] for name in _LIMITS}),
        plugins=config["scan.plugins"],
        advisories=config["scan.advisories"],
    )


def run_scan(options: Options, talk: Talk) -> int:
    """Scan, write the reports, say the verdict, return the exit code. Raises what the error tree has."""
    started = system_clock()
    with progress_bar(talk, "scanning") as on_progress:
        wanted = msgspec.structs.replace(options.engine, on_progress=on_progress)
        result = app.scan(options.targets, wanted, offline=options.offline, stdin=sys.stdin.buffer, workspace=options.workspace)
    interrupted = was_interrupted(result)
    code = exit_code(result, options.fail_on)
    if options.write_baseline:
        code = _write_baseline(result, options.write_baseline, talk)
    if options.exit_zero and code in (exits.DENIED, exits.INCOMPLETE):
        code = exits.CLEAN
    context = _context(options, started, exits.INTERRUPTED if interrupted else code)
    emit(result, context, options.outputs, talk)
    if options.record is not None and not interrupted:
        for recorded in app.record_scan(result, options.record, started, context.finished):
            talk.note(f"recorded {recorded.id.hex[:12]} about {recorded.subject} as entry {recorded.receipt.index}")
    _say_verdict(result, options, talk, context.exit_code)
    return context.exit_code


def exit_code(result: ScanResult, fail_on: str) -> int:
    """Return the code a result asks for: findings at or above the threshold, then what was not read."""
    codes = [exits.CLEAN]
    if fail_on != "never":
        limit = severity_rank(fail_on)
        codes.extend(exits.DENIED for f in result.findings if f.waived is None and severity_rank(f.severity) <= limit)
    for target in result.targets:
        unread = target.errors or target.verdict == "incomplete" or any(f.missed or f.status == "failed" for f in target.files)
        codes.extend([exits.INCOMPLETE] if unread else [])
    return exits.worst(codes)


def _write_baseline(result: ScanResult, path: str, talk: Talk) -> int:
    """Record all findings as accepted; what was not read stays not read."""
    from stannary.report.json_ import dump

    baseline = baseline_of(result)
    write_file(path, dump(baseline))
    talk.note(f"wrote {counted(len(baseline.findings), 'finding')} to {inline(path)}; use it with --baseline {inline(path)}")
    return exit_code(result, "never")


def _context(options: Options, started: datetime, code: int) -> Context:
    return Context(
        rules=rules_of(options.engine).rules,
        fail_on=options.fail_on,
        exit_code=code,
        show=options.show,
        started=started,
        finished=system_clock(),
        command=("stannary", *sys.argv[1:]),
    )


def _say_verdict(result: ScanResult, options: Options, talk: Talk, code: int) -> None:
    """Say the outcome on stderr when stdout does not end with it."""
    if code == exits.INTERRUPTED:
        talk.verdict("interrupted: this is what was done until then, and it is not complete")
    if options.outputs.stdout == "table":
        return
    talk.verdict(f"{result.verdict}: {headline(result)} (exit {code})")


def _user_cache() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "stannary")
