"""What `stannary bom` does once its command line is read."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stannary import __version__, app
from stannary.cli import exits
from stannary.cli.talk import Talk
from stannary.cli.workspace import open_workspace, write_json
from stannary.core.clock import system_clock
from stannary.core.errors import InputError, StannaryError, UsageError, named_by_caller
from stannary.report.escape import inline

if TYPE_CHECKING:
    from stannary.evidence.workspace import Workspace
    from stannary.report.bom.inventory import Inventory
    from stannary.report.bom.score import Score

__all__ = ["compare_files", "start", "validate_files"]

# pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS#SUBPATH (github.com/package-url/purl-spec)
_PURL = re.compile(r"pkg:[A-Za-z.+][A-Za-z0-9.+-]*(/[^\s/?#@]+)+(@[^\s?#]+)?(\?[^\s#]+)?(#\S+)?")


def start(target: str, given: Mapping[str, Any], talk: Talk) -> int:
    """Write the bill of materials of a target and return the exit code. Raises what the error tree has."""
    from stannary.report.bom import cyclonedx, spdx
    from stannary.report.bom.options import BomOptions
    from stannary.report.bom.score import score

    app.check_names([target])
    options = BomOptions(
        timestamp=_moment(given["timestamp"]),
        tool_version=__version__,
        spec_version=given["spec_version"],
        supplier=given["supplier"],
        version=given["model_version"],
        purl=_purl(given["purl"]),
    )
    workspace = _workspace(given)
    made = app.take_bom(
        target,
        workspace if given["evidence"] else None,
        name=given["name"],
        offline=given["offline"],
        jobs=given["jobs"],
        jail=None if given["jail"] == "auto" else given["jail"],
        home=app.registry_home(given["workspace"], record=given["record"]),
    )
    for problem in made.refused:
        talk.warning(f"{problem} (this counts for nothing)", problem.help or "stannary evidence list")
    document = cyclonedx.render(made.inventory, options)
    found = score(document)
    kind = "spdx" if given["form"] == "spdx" else "cyclonedx"
    if kind == "spdx":
        document = spdx.render(made.inventory, options)
    recorded = ""
    if given["record"] and kind == "spdx" and made.inventory.unread:
        # The evidence would read as passed: SPDX has no place where a document says that it is incomplete.
        talk.warning(
            "not recorded: it is incomplete, and an SPDX document cannot say so", "record the CycloneDX document, which can"
        )
    elif given["record"]:
        assert workspace is not None  # noqa: S101 - _workspace opens one for --record
        entry = app.record_bom(made, kind, document, workspace)
        recorded = str(entry.id)
        talk.note(f"recorded {entry.id.hex[:12]} ({kind}) about {entry.subject} as entry {entry.receipt.index}")
    _write(_text(given["form"], document, made.inventory, found, recorded), given["output"])
    return _finish(made.inventory, found, given, talk)


def _workspace(given: Mapping[str, Any]) -> Workspace | None:
    """Return the workspace to read evidence from and to record in: the one named, or found; only --record needs one."""
    if given["record"] or given["workspace"]:
        return open_workspace(given["workspace"])
    if not given["evidence"]:
        return None
    try:
        return open_workspace(None)
    except UsageError:
        return None


def _purl(text: str) -> str:
    """Return a package URL as it is. Raises UsageError for what is none: whoever reads the document resolves it."""
    if text and not _PURL.fullmatch(text):
        msg = f"is no package URL: {text[:80]!r}"
        raise UsageError(msg, where="--purl", code="BOM001", help="as in pkg:huggingface/OWNER/NAME@REVISION")
    return text


def _moment(text: str | None) -> datetime:
    """Return the time that is given, now otherwise. Raises UsageError."""
    if not text:
        return system_clock().replace(microsecond=0)
    try:
        found = datetime.fromtimestamp(int(text), UTC) if text.isascii() and text.isdigit() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        msg = f"is a time such as 2026-11-25T09:00:00Z, or seconds since 1970; got {text[:40]!r}"
        raise UsageError(msg, where="--timestamp", code="BOM001") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _text(form: str, document: dict[str, Any], inventory: Inventory, found: Score, recorded: str) -> str:
    from stannary.report.bom.summary import document_of, table
    from stannary.report.json_ import dump

    if form == "table":
        return table(inventory, found)
    return dump(document_of(inventory, found, recorded) if form == "json" else document)


def _write(text: str, output: str | None) -> None:
    if output in (None, "-"):
        click.echo(text, nl=False)
        return
    from stannary.cli.output import write_file

    write_file(str(output), text)


def _finish(inventory: Inventory, found: Score, given: Mapping[str, Any], talk: Talk) -> int:
    """Say how complete it is, and return the exit code."""
    codes = [exits.CLEAN]
    unread = inventory.unread
    if unread:
        path, reason = unread[0]
        more = f", and {len(unread) - 1} more" if len(unread) > 1 else ""
        talk.verdict(f"incomplete: {inline(path, 200)} was not read ({inline(reason, 200)}){more}")
        codes.append(exits.INCOMPLETE)
    wanted = given["min_score"]
    if wanted is not None and found.points < wanted:
        codes.append(exits.DENIED)
        first = next((row for row in found.missing if not row.human), None)
        talk.verdict(f"completeness {found.points:g} of 100 is less than {wanted:g}")
        if first is not None:
            talk.note(f"first of {len(found.missing)} missing fields: {first.field}: {first.put}")
    elif given["form"] != "table":
        talk.note(f"completeness {found.points:g} of 100; `--format table` tells what is missing and where to put it")
    return exits.CLEAN if given["exit_zero"] else exits.worst(codes)


def validate_files(files: Sequence[str], form: str, talk: Talk, *, strict: bool = False) -> int:
    """Validate documents and return the exit code. Raises a group of what could not be read."""
    from stannary.report.bom.validate import validate

    found = []
    problems: list[StannaryError] = []
    for file in files:
        try:
            found.append(validate(_read(file), file))
        except InputError as error:
            problems.append(UsageError(error.message, where=error.where, code=error.code, help=error.help))
        except OSError as error:  # the others are told all the same
            problems.append(UsageError((error.strerror or str(error)).lower(), where=file, code="IO001"))
    if form == "json":
        from stannary.report.bom.documents import ValidationDocument

        write_json(ValidationDocument(documents=tuple(found)))
    for row in found if form == "table" else ():
        for problem in row.problems:
            click.echo(f"{inline(row.file)}:{problem.line}: {inline(problem.path, 300)} {inline(problem.message, 500)}")
        if row.omitted:
            click.echo(f"{inline(row.file)}: and {row.omitted} more")
    for row in found:
        count = len(row.problems) + row.omitted
        told = f"{count} problem{'s' if count > 1 else ''}"
        verdict = "valid" if row.sound else f"valid by its schema, but {told}" if row.valid else f"not valid: {told}"
        talk.verdict(f"{inline(row.file)}: {row.format} {row.version}, {verdict}")
    if problems:
        msg = "bills of materials"
        raise ExceptionGroup(msg, problems)
    return exits.CLEAN if all(row.sound if strict else row.valid for row in found) else exits.DENIED


def _read(file: str) -> bytes:
    from stannary.report.bom.validate import LARGEST

    if file == "-":
        return sys.stdin.buffer.read(LARGEST + 1)
    with Path(file).open("rb") as stream:
        return stream.read(LARGEST + 1)


def compare_files(old: Path, new: Path, form: str) -> int:
    """Compare two documents, print what differs, and return the exit code."""
    from stannary.report.bom.diff import compare, load, table

    with named_by_caller():  # 1 says that they differ, and 3 would say that something could not be analysed
        before, after = load(_read(str(old)), str(old)), load(_read(str(new)), str(new))
    found = compare(before, after)
    if form == "json":
        write_json(found)
    else:
        click.echo(table(found), nl=False)
    return exits.DENIED if found.changes else exits.CLEAN
