"""A decision as JUnit XML: a suite for the policy, a case for each reason."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from stannary.core.evidence import Decision
from stannary.report.decision import DecisionContext, next_step
from stannary.report.escape import inline

__all__ = ["render"]


def render(decision: Decision, context: DecisionContext) -> str:
    """Return one `testsuites` document."""
    counts = {
        "tests": str(len(decision.reasons)),
        "failures": str(sum(not reason.ok for reason in decision.reasons)),
        "errors": "0",
        "skipped": "0",
    }
    suites = ET.Element("testsuites", {"name": "stannary gate", "time": "0", **counts})
    suite = ET.SubElement(suites, "testsuite", {"name": inline(decision.policy_name), "id": "0", **counts})
    suite.set("timestamp", decision.decided.strftime("%Y-%m-%dT%H:%M:%S"))
    for reason in decision.reasons:
        case = ET.SubElement(suite, "testcase", name=inline(reason.rule), classname=inline(context.target), time="0")
        about = f"evidence {reason.evidence}" if reason.evidence else ""
        if reason.ok:
            ET.SubElement(case, "system-out").text = "\n".join(filter(None, (inline(reason.message), about)))
            continue
        failure = ET.SubElement(case, "failure", message=inline(reason.message), type=inline(reason.rule))
        after = f"next: {inline(next_step(reason.help, context.target))}" if reason.help else ""
        failure.text = "\n".join(filter(None, (inline(reason.message), about, after)))
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'
