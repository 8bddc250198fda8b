"""Whether the outcome of a check, and the findings in it, satisfy a requirement."""

from __future__ import annotations

from stannary.core.evidence import Evidence, Reason, Verified
from stannary.core.model import SEVERITIES, Finding, severity_rank
from stannary.policy.model import Requirement
from stannary.policy.waivers import Waivers

__all__ = ["outcome_reason"]


def outcome_reason(requirement: Requirement, item: Verified[Evidence], waivers: Waivers) -> Reason:
    """Return whether the evidence passes, as far as outcome, verdict and findings go."""
    found = item.value
    rule, about = requirement.name, str(found.id)
    if found.outcome in ("incomplete", "error"):
        text = f"the check ended as {found.outcome}, which satisfies nothing"
        return Reason(rule=rule, ok=False, message=text, evidence=about, help=f"stannary evidence show {about[7:19]}")
    if requirement.verdicts and found.verdict not in requirement.verdicts:
        text = f"the verdict is {found.verdict or 'none'}, and has to be {' or '.join(requirement.verdicts)}"
        return Reason(rule=rule, ok=False, message=text, evidence=about, help=f"stannary evidence show {about[7:19]}")
    if requirement.max_severity is not None:
        return _findings_reason(requirement, found, waivers)
    if found.outcome != "passed":
        verdict = f" ({found.verdict})" if found.verdict else ""
        text = f"the check did not pass{verdict}"
        return Reason(rule=rule, ok=False, message=text, evidence=about, help=f"stannary evidence show {about[7:19]}")
    return Reason(rule=rule, ok=True, message=_passed(item), evidence=about)


def _findings_reason(requirement: Requirement, found: Evidence, waivers: Waivers) -> Reason:
    """Hold the findings against the limit. Those not listed in the evidence cannot be waived."""
    rule, about, limit = requirement.name, str(found.id), str(requirement.max_severity)
    least = len(SEVERITIES) if limit == "none" else severity_rank(limit)
    above = {name: count for name in SEVERITIES if severity_rank(name) < least and (count := getattr(found.counts, name))}
    if not above:
        return Reason(rule=rule, ok=True, message=f"no finding above {limit}", evidence=about)
    listed = [f for f in found.findings if severity_rank(f.severity) < least]
    open_, used = _open(listed, waivers)
    hidden = sum(above.values()) - len(listed)
    if not open_ and hidden <= 0:
        return Reason(rule=rule, ok=True, message=f"{len(listed)} findings above {limit}, each waived", evidence=about, waiver=used)
    counts = ", ".join(f"{count} {name}" for name, count in above.items())
    worst = min(open_, key=lambda f: (severity_rank(f.severity), f.rule), default=None)
    shown = f": {worst.rule} in {worst.where.file}: {worst.message[:160]}" if worst else ""
    expired = waivers.expired(worst.rule, worst.where.file) if worst else ""
    text = f"findings above {limit} ({counts}){shown}{expired}"
    return Reason(rule=rule, ok=False, message=text, evidence=about, help=f"stannary rule {worst.rule}" if worst else "")


def _open(listed: list[Finding], waivers: Waivers) -> tuple[list[Finding], str]:
    """Return the findings that no waiver covers, and the first waiver that covers one."""
    left: list[Finding] = []
    used = ""
    for finding in listed:
        waiver = waivers.of_finding(finding.rule, finding.where.file)
        if waiver is None:
            left.append(finding)
        else:
            used = used or str(waiver.value.id)
    return left, used


def _passed(item: Verified[Evidence]) -> str:
    found = item.value
    by = f", signed by {item.identity}" if item.identity else ""
    return f"{found.verdict or 'passed'} on {found.issued:%Y-%m-%d}{by}"
