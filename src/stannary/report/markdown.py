"""Markdown for pull-request comments and job summaries (GitHub's limit is 65,536 characters a comment).

Text from artifacts stands in code spans only: no mention, link or HTML in it comes alive.
"""

from __future__ import annotations

from collections.abc import Iterator

from stannary.checks.static.result import ScanFinding, ScanResult, TargetResult
from stannary.report.escape import code_span
from stannary.report.interface import Context
from stannary.report.outline import FileStory, display_name, stories
from stannary.report.wording import VERDICT_MEANING, VERDICTS, counted, headline, human_size, location, tally

__all__ = ["render"]

_MARK = {"unsafe": "🛑", "suspicious": "⚠️", "incomplete": "❔", "unverified": "🔎", "clean": "✅"}
_FINDINGS = 60
_UNREAD = 30
_STORIES = 12


def render(result: ScanResult, context: Context) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    verdict = result.verdict
    counts = tally(result)
    lines = [
        f"## {_MARK[verdict]} stannary: {verdict}",
        "",
        VERDICT_MEANING[verdict],
        "",
        "| " + " | ".join(VERDICTS) + " | files | read |",
        "|" + " ---: |" * (len(VERDICTS) + 2),
        "| "
        + " | ".join(f"{counts[v]:,}" for v in VERDICTS)
        + f" | {result.summary.files:,} | {human_size(result.summary.bytes)} |",
        "",
    ]
    told = [(target, story) for target in result.targets for story in stories(target)]
    lines.extend(_findings(told, several=len(result.targets) > 1))
    lines.extend(_unread(told, result))
    lines.extend(_rules(result, context))
    lines.append(f"<sub>{headline(result)} · stannary {result.tool.version} · rules `{result.tool.ruleset[:19]}`</sub>")
    return "\n".join(lines) + "\n"


def _findings(told: list[tuple[TargetResult, FileStory]], *, several: bool) -> Iterator[str]:
    rows = [(target, story, finding) for target, story in told for finding in story.telling]
    if not rows:
        return
    yield "### Findings"
    yield ""
    yield "| severity | rule | file | what | where |"
    yield "| --- | --- | --- | --- | --- |"
    for target, story, finding in rows[:_FINDINGS]:
        yield _row(target, story, finding, several=several)
    yield ""
    if len(rows) > _FINDINGS:
        yield f"… and {counted(len(rows) - _FINDINGS, 'finding')} more, not shown here."
        yield ""


def _row(target: TargetResult, story: FileStory, finding: ScanFinding, *, several: bool) -> str:
    name = display_name(target, story.file.path, several=several)
    where = code_span(location(finding), table=True, limit=80) if location(finding) else ""
    message = code_span(finding.message, table=True, limit=200)
    return f"| **{finding.severity}** | {finding.rule} | {code_span(name, table=True, limit=120)} | {message} | {where} |"


def _unread(told: list[tuple[TargetResult, FileStory]], result: ScanResult) -> Iterator[str]:
    parts = [
        f"{code_span(target.path, limit=120)}: {code_span(error, limit=200)}"
        for target in result.targets
        for error in target.errors
    ]
    for target, story in told:
        name = code_span(display_name(target, story.file.path, several=len(result.targets) > 1), limit=120)
        parts.extend(
            f"{name}: {code_span(f'{gap.part}: {gap.reason}' if gap.part else gap.reason, limit=200)}" for gap in story.file.missed
        )
        if story.file.status == "failed" and not story.file.missed:
            parts.append(f"{name}: {code_span(story.file.reason or 'could not be read', limit=200)}")
    if not parts:
        return
    yield f"### Not read ({len(parts):,})"
    yield ""
    yield "These could not be analysed, so nothing is said about them:"
    yield ""
    yield from (f"- {part}" for part in parts[:_UNREAD])
    if len(parts) > _UNREAD:
        yield f"- … and {len(parts) - _UNREAD:,} more"
    yield ""


def _rules(result: ScanResult, context: Context) -> Iterator[str]:
    named = dict.fromkeys(f.rule for f in result.findings if f.waived is None and f.severity != "info")
    known = [context.rules[rule] for rule in named if rule in context.rules]
    if not known:
        return
    yield "<details><summary>What these rules mean, and what to do</summary>"
    yield ""
    for rule in known[:_STORIES]:
        yield f"**{rule.id}: {rule.title}.** {_flat(rule.why)} *Fix:* {_flat(rule.fix)}"
        yield ""
    yield "</details>"
    yield ""


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")
