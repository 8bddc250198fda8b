"""The report for people at a terminal; piped, the same words without colour or wrapping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stannary.checks.static.result import FileResult, Missed, ScanFinding, ScanResult, TargetResult
from stannary.report.escape import inline, visible
from stannary.report.interface import Context
from stannary.report.outline import FileStory, last_name, stories
from stannary.report.wording import VERDICTS, counted, file_count, first_sentence, headline, human_size, location

__all__ = ["STYLES", "Row", "document", "painted", "render"]

_FEW = 10  # targets of which each gets its lines, also when there is nothing to say about it
_TARGETS = 200  # targets that are told in full
_FILES = 40  # files with findings that are told in full
_FINDINGS = 12  # findings told for one file
_MISSED = 12  # unread parts named for one target
_LABEL = 10  # columns of the severity

STYLES = {
    "unsafe": "bold white on red",
    "suspicious": "bold black on yellow",
    "incomplete": "bold white on magenta",
    "unverified": "bold black on cyan",
    "clean": "bold black on green",
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
    "path": "bold",
    "rule": "bold",
    "dim": "dim",
    "loud": "bold magenta",
    "plain": "",
}

Span = tuple[str, str]  # style name, text (already visible)


class Row(NamedTuple):
    """A line: what stands before the hanging indent, and what is wrapped behind it."""

    head: tuple[Span, ...] = ()
    body: tuple[Span, ...] = ()


def render(result: ScanResult, context: Context) -> str:
    """Return the table as text: with escapes when `context.color`, wrapped when `context.width`."""
    rows = document(result, context)
    if context.color:
        return painted(rows, context.width or 100)
    return "".join(f"{line}\n" for row in rows for line in _plain(row))


def document(result: ScanResult, context: Context) -> list[Row]:
    """Return the rows of the report, without deciding how they are drawn."""
    rows: list[Row] = []
    explained: set[str] = set()
    shown = [target for target in result.targets if _worth_telling(target, context, len(result.targets))]
    limit = len(shown) if context.show == "all" else _TARGETS
    for target in shown[:limit]:
        rows.extend(_target(target, context, explained))
        rows.append(Row())
    if len(shown) > limit:
        rows.extend((_more_targets(shown[limit:]), Row()))
    if len(shown) < len(result.targets):
        rest = counted(len(result.targets) - len(shown), "target")
        rows.extend(
            (Row((("clean", " CLEAN "), ("plain", " ")), (("path", rest), ("dim", "  name them with --show clean"))), Row())
        )
    rows.append(Row(body=(("plain", headline(result)),)))
    return rows


def painted(rows: Iterable[Row], width: int) -> str:
    """Return rows with terminal escapes, wrapped at `width` columns."""
    from io import StringIO

    from rich.console import Console

    out = StringIO()
    draw(rows, Console(file=out, width=width, force_terminal=True, color_system="standard", highlight=False, legacy_windows=False))
    return out.getvalue()


def draw(rows: Iterable[Row], console: object) -> None:
    """Print rows on a rich console."""
    from rich.console import Console
    from rich.text import Text

    assert isinstance(console, Console)  # noqa: S101 - the type is not imported at module level
    for row in rows:
        head = Text.assemble(*((text, STYLES[style]) for style, text in row.head))
        body = Text.assemble(*((text, STYLES[style]) for style, text in row.body))
        room = max(20, console.width - head.cell_len)
        for number, line in enumerate(body.wrap(console, room) if row.body else [body]):
            line.rstrip()
            prefix = head if number == 0 else Text(" " * head.cell_len)
            console.print(Text.assemble(prefix, line), no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)


def _plain(row: Row) -> Iterator[str]:
    yield "".join(text for _, text in (*row.head, *row.body)).rstrip()


def _target(target: TargetResult, context: Context, explained: set[str]) -> Iterator[Row]:
    told = stories(target)
    single = target.files[0] if len(target.files) == 1 else None
    about = _about(single) if single else f"{counted(file_count(target), 'file')}, {human_size(target.size)}"
    yield Row(
        ((target.verdict, f" {target.verdict.upper()} "), ("plain", " ")),
        (("path", inline(target.path)), ("dim", f"  {about}")),
    )
    for error in target.errors:
        yield Row((("loud", "  error  "),), (("plain", inline(error)),))
    everything = context.show == "all"
    shown = [story for story in told if (story.findings or story.waived if everything else story.telling)]
    limit = len(shown) if everything else _FILES
    for story in shown[:limit]:
        yield from _story(story, target, context, explained)
    if len(shown) > limit:
        yield from _more_files(shown[limit:])
    yield from _unread(told, everything=everything)
    yield from _quiet(told, context)


def _worth_telling(target: TargetResult, context: Context, of: int) -> bool:
    return of <= _FEW or context.show != "findings" or target.verdict != "clean" or bool(target.errors)


def _more_targets(rest: Sequence[TargetResult]) -> Row:
    counts = Counter(target.verdict for target in rest)
    verdicts = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict])
    return Row(body=(("loud", f"and {counted(len(rest), 'target')} more ({verdicts}); see them with --show all"),))


def _story(story: FileStory, target: TargetResult, context: Context, explained: set[str]) -> Iterator[Row]:
    everything = context.show == "all"
    if len(target.files) > 1 or last_name(story.file.path) != last_name(target.path):
        detail = f"  {_about(story.file)}" if story.file.format else ""
        yield Row((("plain", "  "),), (("path", inline(story.file.path)), ("dim", detail)))
    findings = story.findings if everything else story.telling
    limit = len(findings) if everything else _FINDINGS
    for finding in findings[:limit]:
        yield from _finding(finding, context, explained)
    if len(findings) > limit:
        rest = findings[limit:]
        yield Row((("plain", "    "),), (("dim", f"and {counted(len(rest), 'finding')} more in this file ({_by_severity(rest)})"),))
    for finding in story.waived if everything else ():
        yield Row(
            (("dim", f"    {'waived':<{_LABEL}}"), ("dim", f"{finding.rule:<8} ")),
            (("dim", f"{inline(finding.message)} ({inline(finding.waived or '')})"),),
        )


def _finding(finding: ScanFinding, context: Context, explained: set[str]) -> Iterator[Row]:
    where = inline(location(finding))
    yield Row(
        ((finding.severity, f"    {finding.severity:<{_LABEL}}"), ("rule", f"{finding.rule:<8} ")),
        (("plain", inline(finding.message)), ("dim", f"  [{where}]" if where else "")),
    )
    rule = context.rules.get(finding.rule)
    if rule is not None and finding.rule not in explained:
        explained.add(finding.rule)
        yield Row((("dim", " " * (_LABEL + 13)),), (("dim", first_sentence(rule.why)),))


def _more_files(rest: Sequence[FileStory]) -> Iterator[Row]:
    found = [finding for story in rest for finding in story.telling]
    text = f"and {counted(len(rest), 'file')} more with {counted(len(found), 'finding')} ({_by_severity(found)})"
    text += "; see them with --show all or --format html=report.html"
    yield Row((("plain", "  "),), (("loud", text),))


def _unread(told: Sequence[FileStory], *, everything: bool) -> Iterator[Row]:
    missed = [(story, part) for story in told for part in _gaps(story)]
    if not missed:
        return
    yield Row(
        (("plain", "  "),),
        (
            ("loud", "NOT READ"),
            ("dim", f"  {counted(len(missed), 'part')} of this could not be analysed, so it is not called clean"),
        ),
    )
    limit = len(missed) if everything else _MISSED
    for story, gap in missed[:limit]:
        where = inline(
            ": ".join(filter(None, (story.file.path, gap.part))) + (f" @ {gap.offset}" if gap.offset is not None else "")
        )
        yield Row((("plain", "    "),), (("plain", where), ("dim", f"  {inline(gap.reason)}")))
    if len(missed) > limit:
        yield Row((("plain", "    "),), (("dim", f"and {len(missed) - limit:,} more; see them with --show all"),))


def _gaps(story: FileStory) -> Iterable[Missed]:
    if story.file.missed:
        return story.file.missed
    if story.file.status == "failed":
        return (Missed(story.file.reason or "could not be read"),)
    return ()


def _quiet(told: Sequence[FileStory], context: Context) -> Iterator[Row]:
    notes = sum(story.notes for story in told)
    if notes and context.show != "all":
        yield Row((("plain", "  "),), (("dim", f"{counted(notes, 'note')} of severity info not shown; --show all does"),))
    if context.show == "findings":
        return
    for story in told:
        if story.file.verdict == "clean" and not story.telling:
            skipped = f"  {inline(story.file.reason)}" if story.file.reason else ""
            yield Row((("low", "  clean   "),), (("plain", inline(story.file.path)), ("dim", f"  {_about(story.file)}{skipped}")))


def _about(file: FileResult) -> str:
    size = "" if file.format == "repository" else human_size(file.size)
    return ", ".join(filter(None, (visible(file.format), size)))


def _by_severity(findings: Iterable[ScanFinding]) -> str:
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.severity] = counts.get(finding.severity, 0) + 1
    return ", ".join(
        f"{counts[severity]:,} {severity}" for severity in ("critical", "high", "medium", "low", "info") if severity in counts
    )
