"""Where reports go: one to stdout, any number to files, each complete or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence

import msgspec

from stannary.checks.static.result import ScanResult
from stannary.cli.talk import Talk, wants_color
from stannary.core.errors import UsageError
from stannary.report.interface import FORMATS, Context, renderer

__all__ = ["Outputs", "emit", "parse_outputs", "write_file"]

_BY_SUFFIX = {".json": "json", ".sarif": "sarif", ".xml": "junit", ".md": "markdown", ".html": "html", ".htm": "html"}


class Outputs(msgspec.Struct, frozen=True):
    """The format of stdout (empty: nothing) and (format, path) of each file."""

    stdout: str
    files: tuple[tuple[str, str], ...] = ()


def parse_outputs(given: Sequence[str], output: str | None, default: str, known: Callable[[str], object] = renderer) -> Outputs:
    """Read `--format NAME`, `--format NAME=FILE` and `-o FILE`, whose ending names the format when nothing else does.

    `known` raises UsageError for a name that is no format. Raises UsageError, or an ExceptionGroup of them.
    """
    problems: list[UsageError] = []
    plain: list[str] = []
    files: list[tuple[str, str]] = []
    if all("=" in item for item in given):
        given = (*given, _BY_SUFFIX.get(os.path.splitext(output or "")[1].lower()) or _only_a_name(default))
    for item in given:
        name, equals, path = item.partition("=")
        try:
            known(name)
        except UsageError as error:
            problems.append(error)
            continue
        if equals:
            files.append((name, path))
        else:
            plain.append(name)
    if len(set(plain)) > 1:
        names = ", ".join(dict.fromkeys(plain))
        problems.append(
            UsageError(f"stdout takes one format, not {names}", code="USE006", help=f"write files: --format {plain[-1]}=FILE")
        )
    stdout = plain[0] if plain else default  # without one there are problems
    if output not in (None, "-"):
        files.append((stdout, str(output)))
        stdout = ""
    for _, path in files:
        problem = _unwritable(path)
        if problem:
            problems.append(
                UsageError(problem, where=path or "--format", code="IO002", help="name a file in a folder that is there")
            )
    if problems:
        msg = "outputs"
        raise ExceptionGroup(msg, problems)
    return Outputs(stdout, tuple(files))


def emit(result: ScanResult, context: Context, outputs: Outputs, talk: Talk) -> None:
    """Write every report. Raises OSError; a reader of stdout that went away is not an error."""
    for name, path in outputs.files:
        write_file(path, renderer(name)(result, context))
        talk.detail(f"wrote {name} to {path}")
    if not outputs.stdout:
        return
    if outputs.stdout == "table":
        color = wants_color(sys.stdout, talk.color)
        width = os.get_terminal_size(sys.stdout.fileno()).columns if color and sys.stdout.isatty() else 0
        context = msgspec.structs.replace(context, color=color, width=width)
    text = renderer(outputs.stdout)(result, context)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_file(path: str, text: str) -> None:
    """Write a file as a whole: a reader sees the old content or the new, never half of it."""
    from pathlib import Path  # 3 ms that a report to stdout does not pay

    target = Path(path)
    if not target.is_file() and target.exists():  # a device or a pipe: it cannot be replaced
        with target.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    if not target.parent.is_dir():  # said of the folder that was named, and not of the scratch file
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    import tempfile

    descriptor, scratch = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(scratch).chmod(0o666 & ~umask)
        Path(scratch).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(scratch).unlink()
        raise


def _only_a_name(default: str) -> str:
    """Return the configured format. Raises UsageError for `NAME=FILE`: a configuration found upward writes no files."""
    if "=" in default:
        msg = f"names the format of stdout and no file; got {default!r}"
        raise UsageError(msg, where="scan.format", code="USE004", help="write files with --format NAME=FILE")
    return default


def _unwritable(path: str) -> str:
    if not path:
        return f"needs a file name, as in {next(iter(FORMATS))}=FILE"
    from pathlib import Path

    target = Path(path)
    if target.is_dir():
        return "is a folder"
    if not target.parent.is_dir():
        return "its folder is not there"
    return "" if os.access(target if target.exists() else target.parent, os.W_OK) else "cannot be written"
