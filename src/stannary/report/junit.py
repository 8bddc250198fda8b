"""JUnit XML, as read by Jenkins, GitLab, Azure Pipelines and CircleCI: one suite a target, one case a file.

A finding at or above the threshold is a `failure`, unread content is an `error`, a file with nothing
to analyse is `skipped` only when it was not scanned at all.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from stannary.checks.static.result import ScanResult, TargetResult
from stannary.core.model import severity_rank
from stannary.report.escape import inline
from stannary.report.interface import Context
from stannary.report.outline import FileStory, stories
from stannary.report.wording import headline, location

__all__ = ["render"]

_LINES = 200  # findings told for one file


def render(result: ScanResult, context: Context) -> str:
    """Return one `testsuites` document."""
    suites = ET.Element("testsuites", name="stannary scan", time=f"{result.summary.seconds:.3f}")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for number, target in enumerate(result.targets):
        suite = ET.SubElement(suites, "testsuite", name=inline(target.path), id=str(number))
        suite.set("timestamp", context.started.strftime("%Y-%m-%dT%H:%M:%S"))
        counts = _suite(suite, target, context)
        for key, value in counts.items():
            suite.set(key, str(value))
            totals[key] += value
    for key, value in totals.items():
        suites.set(key, str(value))
    ET.indent(suites)
    note = f"<!-- {headline(result).replace('--', '-')} -->"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{note}\n{ET.tostring(suites, encoding="unicode")}\n'


def _suite(suite: ET.Element, target: TargetResult, context: Context) -> dict[str, int]:
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for story in stories(target):
        counts["tests"] += 1
        kind = _case(suite, story, target, context)
        if kind:
            counts[kind] += 1
    for error in target.errors:
        counts["tests"] += 1
        counts["errors"] += 1
        case = ET.SubElement(suite, "testcase", name=inline(error), classname=inline(target.path))
        ET.SubElement(case, "error", message=inline(error), type="target")
    return counts


def _case(suite: ET.Element, story: FileStory, target: TargetResult, context: Context) -> str:
    case = ET.SubElement(suite, "testcase", name=inline(story.file.path), classname=inline(target.path), time="0")
    failing = [f for f in story.findings if _fails(f.severity, context.fail_on)]
    if failing:
        lines = [_line(f.severity, f.rule, inline(f.message), inline(location(f))) for f in failing[:_LINES]]
        if len(failing) > _LINES:
            lines.append(f"and {len(failing) - _LINES} more, none worse")
        failure = ET.SubElement(case, "failure", message=lines[0], type=failing[0].rule)
        failure.text = "\n".join([*lines, *_fixes([f.rule for f in failing], context)])
        return "failures"
    if story.unread:
        reasons = [inline(gap.reason) for gap in story.file.missed] or [inline(story.file.reason or "could not be read")]
        error = ET.SubElement(case, "error", message=f"not analysed: {reasons[0]}", type="incomplete")
        error.text = "\n".join(reasons[:50])
        return "errors"
    if story.file.status == "skipped":
        ET.SubElement(case, "skipped", message=inline(story.file.reason or "nothing to analyse"))
        return "skipped"
    if story.telling:
        out = ET.SubElement(case, "system-out")
        out.text = "\n".join(_line(f.severity, f.rule, inline(f.message), inline(location(f))) for f in story.telling[:50])
    return ""


def _fails(severity: str, fail_on: str) -> bool:
    return fail_on != "never" and severity_rank(severity) <= severity_rank(fail_on)


def _line(severity: str, rule: str, message: str, where: str) -> str:
    return f"{severity} {rule}: {message}" + (f" [{where}]" if where else "")


def _fixes(rules: list[str], context: Context) -> list[str]:
    known = [context.rules[rule] for rule in dict.fromkeys(rules) if rule in context.rules]
    return [f"fix ({rule.id}): {' '.join(rule.fix.split())}" for rule in known]
