"""One HTML file: no network, no script, no external resource, at most 300 kB, light and dark, printable.

A content security policy with the digest of the style sheet forbids everything else, so even text
that slipped through the escaping could not load or run anything. Large results are cut until the
page fits, and the page says what was left out and where all of it is.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, NamedTuple

from stannary.checks.static.result import ScanFinding, ScanResult, TargetResult
from stannary.checks.static.ruleset import Rule
from stannary.core.model import SEVERITIES, severity_rank
from stannary.report.escape import inline
from stannary.report.interface import Context
from stannary.report.outline import FileStory, display_name, stories
from stannary.report.taxa import url_of
from stannary.report.wording import (
    VERDICT_MEANING,
    VERDICTS,
    counted,
    file_count,
    headline,
    human_seconds,
    human_size,
    location,
    tally,
)

__all__ = ["LIMIT", "render"]

LIMIT = 300_000  # bytes
_RING = 2 * 3.14159265 * 42  # circumference of the ring, radius 42


class Cut(NamedTuple):
    """How much of a result is put on the page."""

    files: int = 150
    groups: int = 30
    occurrences: int = 20
    evidence: int = 12
    text: int = 400
    unread: int = 200
    passed: int = 1200

    def smaller(self) -> Cut:
        """Return about two thirds of everything."""
        return Cut(*(max(3, value * 2 // 3) for value in self))


def render(result: ScanResult, context: Context) -> str:
    """Return the page."""
    cut = Cut()
    page = _render(result, context, cut)
    while len(page.encode("utf-8")) > LIMIT and cut != cut.smaller():
        cut = cut.smaller()
        page = _render(result, context, cut)
    return page


def _render(result: ScanResult, context: Context, cut: Cut) -> str:
    import jinja2
    from markupsafe import Markup

    base = resources.files("stannary.report").joinpath("templates")
    css = base.joinpath("report.css").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["prose"] = _prose
    template = environment.from_string(base.joinpath("scan.html.j2").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    page = template.render(
        css=Markup(css),  # noqa: S704 - our own file
        csp=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        **_model(result, context, cut),
    )
    return page.rstrip() + "\n"


def _prose(text: str) -> str:
    """Return a rule's text as markup: what stands between backticks is code, everything is escaped."""
    from markupsafe import Markup

    parts = (
        Markup("<code>{}</code>").format(part) if odd % 2 else Markup("{}").format(part) for odd, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def _model(result: ScanResult, context: Context, cut: Cut) -> dict[str, Any]:
    several = len(result.targets) > 1
    told = [
        (inline(display_name(target, story.file.path, several=several), cut.text), story)
        for target in result.targets
        for story in stories(target)
    ]
    found = [(name, story) for name, story in told if story.findings]
    gaps = [gap for name, story in told for gap in _gaps(name, story, cut)]
    passed = [(name, story) for name, story in told if story.file.verdict == "clean" and not story.findings]
    waived = [(finding, inline(finding.waived or "", cut.text)) for _, story in told for finding in story.waived]
    counts = tally(result)
    explained: set[str] = set()
    return {
        "verdict": result.verdict,
        "meaning": VERDICT_MEANING[result.verdict],
        "headline": headline(result),
        "ring": _ring(counts),
        "verdicts": [(verdict, counts[verdict]) for verdict in VERDICTS],
        "severities": [(severity, getattr(result.summary, severity)) for severity in SEVERITIES],
        "targets": [_target(target, cut) for target in result.targets[: cut.files]],
        "targets_left": max(0, len(result.targets) - cut.files),
        "files": [_file(name, story, context, cut, explained) for name, story in found[: cut.files]],
        "files_left": counted(len(found) - cut.files, "more file with findings", "more files with findings")
        if len(found) > cut.files
        else "",
        "gaps": gaps[: cut.unread],
        "gap_count": len(gaps),
        "passed": [_passed(name, story) for name, story in passed[: cut.passed]],
        "passed_count": len(passed),
        "waived": [(f.rule, inline(f.file, 200), inline(f.message, cut.text), reason) for f, reason in waived[: cut.unread]],
        "waived_count": len(waived),
        "formats": _formats(story for _, story in told),
        "facts": _facts(result, context),
    }


def _ring(counts: Counter[str]) -> list[dict[str, Any]]:
    total = sum(counts.values())
    arcs: list[dict[str, Any]] = []
    start = 0.0
    for verdict in VERDICTS:
        if not counts[verdict]:
            continue
        length = _RING * counts[verdict] / total
        arcs.append({"verdict": verdict, "length": f"{length:.2f}", "rest": f"{_RING - length:.2f}", "start": f"{-start:.2f}"})
        start += length
    return arcs


def _target(target: TargetResult, cut: Cut) -> dict[str, Any]:
    return {
        "path": inline(target.path, cut.text),
        "verdict": target.verdict,
        "digest": target.digest or "",
        "size": human_size(target.size),
        "files": counted(file_count(target), "file"),
        "kind": target.kind,
        "errors": [inline(error, cut.text) for error in target.errors[: cut.unread]],
        "source": [(inline(key, 60), inline(value, cut.text)) for key, value in target.source.items()],
    }


def _file(name: str, story: FileStory, context: Context, cut: Cut, explained: set[str]) -> dict[str, Any]:
    by_rule: dict[str, list[ScanFinding]] = {}
    for finding in story.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    worst = min(severity_rank(finding.severity) for finding in story.findings)
    groups = list(by_rule.items())
    return {
        "path": name,
        "verdict": story.file.verdict,
        "format": inline(story.file.format, 60),
        "size": human_size(story.file.size),
        "sha256": story.file.sha256 or "",
        "open": worst <= 1,
        "groups": [_group(rule, found, context, cut, explained) for rule, found in groups[: cut.groups]],
        "groups_left": max(0, len(groups) - cut.groups),
    }


def _group(rule_id: str, found: Sequence[ScanFinding], context: Context, cut: Cut, explained: set[str]) -> dict[str, Any]:
    rule = context.rules.get(rule_id)
    first = rule_id not in explained
    explained.add(rule_id)
    return {
        "rule": rule_id,
        "severity": found[0].severity,
        "title": rule.title if rule else "",
        "message": inline(found[0].message, cut.text),
        "where": inline(location(found[0]), 80) if len(found) == 1 else "",
        "count": len(found),
        "story": _story(rule) if rule and first else None,
        "anchor": first,
        "known": rule is not None,
        "occurrences": [_occurrence(finding, cut) for finding in found[: cut.occurrences]],
        "left": max(0, len(found) - cut.occurrences),
    }


def _story(rule: Rule) -> dict[str, Any]:
    return {
        "parts": [
            ("What it is", rule.what),
            ("Why it matters", rule.why),
            ("How it is used", rule.exploit),
            ("What to do", rule.fix),
        ],
        "ids": [(ident, url_of(ident)) for ident in (*rule.cwe, *rule.atlas, *rule.owasp)],
    }


def _occurrence(finding: ScanFinding, cut: Cut) -> dict[str, Any]:
    evidence = list(finding.evidence.items())
    return {
        "message": inline(finding.message, cut.text),
        "where": inline(location(finding), cut.text),
        "evidence": [
            (inline(key, 60), inline(value, cut.text)) for key, value in evidence[: cut.evidence] if value not in (None, "", [], {})
        ],
        "fingerprint": finding.fingerprint,
    }


def _gaps(name: str, story: FileStory, cut: Cut) -> list[tuple[str, str, str]]:
    file = story.file
    if file.missed:
        return [
            (
                name,
                inline(f"{gap.part} @ {gap.offset}" if gap.offset is not None else gap.part, cut.text).strip(),
                inline(gap.reason, cut.text),
            )
            for gap in file.missed
        ]
    return [(name, "", inline(file.reason or "could not be read", cut.text))] if file.status == "failed" else []


def _passed(name: str, story: FileStory) -> tuple[str, str, str, str]:
    note = inline(story.file.reason, 120) if story.file.reason else ""
    return name, inline(story.file.format, 60), human_size(story.file.size), note


def _formats(told: Iterable[FileStory]) -> list[tuple[str, int, str]]:
    files: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for story in told:
        name = inline(story.file.format, 60) or "not recognised"
        files[name] += 1
        size[name] += story.file.size
    return [(name, count, human_size(size[name])) for name, count in files.most_common(40)]


def _facts(result: ScanResult, context: Context) -> list[tuple[str, str]]:
    return [
        ("Scanned", context.started.strftime("%d %B %Y, %H:%M:%S UTC")),
        ("Took", human_seconds(result.summary.seconds)),
        ("Tool", f"{result.tool.name} {result.tool.version}"),
        ("Rule set", result.tool.ruleset),
        ("Isolation reached", result.tool.jail),
        ("Fails on", f"{context.fail_on} and worse" if context.fail_on not in {"never", "critical"} else context.fail_on),
        ("Exit code", str(context.exit_code)),
        *((("Command", inline(" ".join(context.command))),) if context.command else ()),
    ]
