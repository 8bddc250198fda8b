"""From facts to findings to a verdict. Pure: the same report and rules give the same answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

from stannary.checks.static.judges import run_judges
from stannary.checks.static.result import FileReport, ScanFinding, Verdict
from stannary.checks.static.ruleset import Hit, RuleSet
from stannary.core.model import severity_rank
from stannary.formats.interface import clip

if TYPE_CHECKING:
    from string import Formatter

__all__ = ["findings_of", "sort_findings", "verdict_of"]

_SEVERITY_LIMIT_PER_RULE = 200  # findings of one rule in one file; the rest is counted in the last
_OF_THE_WHOLE = frozenset({"pickle.bomb", "pickle.note"})  # few, and judged at once: of 10,000 names not all may be in time


@cache
def _formatter() -> Formatter:
    from string import Formatter  # most files have no finding

    class Clipped(Formatter):
        def get_value(self, key: int | str, args: Sequence[Any], kwargs: Any) -> Any:  # noqa: ANN401 - Formatter's signature
            return kwargs.get(key, "?") if isinstance(key, str) else super().get_value(key, args, kwargs)

        def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401, ARG002 - Formatter's signature
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            text = text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
            return clip(text, 160)

    return Clipped()


def findings_of(
    report: FileReport, rules: RuleSet, path: str, more: Iterable[Hit] = (), into: list[ScanFinding] | None = None
) -> list[ScanFinding]:
    """Judge a report: data rules and judges (and `more` hits), one finding for each distinct hit, worst first.

    `into`: the list that gets them, for a caller who may be interrupted.
    """
    seen: set[str] = set()
    counts: dict[str, int] = {}
    found: list[ScanFinding] = [] if into is None else into
    for hit in chain(_hits(report, rules), more):
        if counts.get(hit.rule, 0) >= _SEVERITY_LIMIT_PER_RULE:
            continue
        finding = _finding(hit, rules, path)
        if finding.fingerprint in seen:
            continue
        seen.add(finding.fingerprint)
        counts[hit.rule] = counts.get(hit.rule, 0) + 1
        found.append(finding)
    sort_findings(found)
    return found


def sort_findings(found: list[ScanFinding]) -> None:
    """Put the worst first."""
    found.sort(key=lambda f: (severity_rank(f.severity), f.rule, f.part, f.offset or 0))


def verdict_of(findings: Iterable[ScanFinding], *, missed: bool) -> Verdict:
    """Return the verdict: the worst finding decides, then coverage. Waived findings do not count."""
    worst = min((severity_rank(f.severity) for f in findings if f.waived is None), default=9)
    if worst <= 1:
        return "unsafe"
    if worst == 2:  # noqa: PLR2004 - medium
        return "suspicious"
    if missed:
        return "incomplete"
    return "unverified" if worst == 3 else "clean"  # noqa: PLR2004 - low


def _hits(report: FileReport, rules: RuleSet) -> Iterable[Hit]:
    yield from rules.judge([fact for fact in report.facts if fact.kind in _OF_THE_WHOLE])
    yield from run_judges(report.facts)  # first: they find the worst, and there may be more facts than time
    yield from rules.judge(report.facts)
    for judge in rules.judges:
        yield from judge(report.facts)


def _finding(hit: Hit, rules: RuleSet, path: str) -> ScanFinding:
    rule = rules.rules[hit.rule]
    fact = hit.fact
    message = hit.message or _formatter().vformat(rule.message, (), fact.data)
    evidence = dict(hit.evidence if hit.evidence is not None else fact.data)
    line = evidence.get("line")
    # Offsets move when a file is written again; the fingerprint does not depend on them.
    key = f"{hit.rule}\0{path}\0{fact.part}\0{message}"
    return ScanFinding(
        rule=rule.id,
        severity=hit.severity or rule.severity,
        file=path,
        part=fact.part,
        offset=fact.offset,
        line=line if isinstance(line, int) else None,
        message=message,
        evidence=evidence,
        atlas=rule.atlas,
        cwe=rule.cwe,
        owasp=rule.owasp,
        fingerprint=hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32],
    )
