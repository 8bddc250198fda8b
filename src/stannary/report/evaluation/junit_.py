"""A card as JUnit XML: a test case a measurement that had a threshold, one for what could not be measured."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from stannary.checks.target.card import EvaluationResult
from stannary.report.evaluation.words import measured, title

__all__ = ["render"]


def render(card: EvaluationResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return one test suite."""
    failures = [f"<failure message={quoteattr(_plain(reason))}/>" for reason in card.reasons]
    errors = [f"<error message={quoteattr(_plain(reason))}/>" for reason in card.incomplete]
    rows = "\n".join(_plain(f"{name}: {value}") for name, value in measured(card))
    cases = [("thresholds", "".join(failures)), ("complete", "".join(errors))]
    body = "".join(f'  <testcase classname="stannary.evaluate" name="{name}">{inner}</testcase>\n' for name, inner in cases)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<testsuite name={quoteattr(_plain(title(card)))} tests="2" failures="{int(bool(failures))}" errors="{int(bool(errors))}"'
        f' time="{card.seconds:.3f}">\n{body}  <system-out>{escape(rows)}</system-out>\n</testsuite>\n'
    )


def _plain(text: str) -> str:
    """Return the text without what XML cannot hold."""
    return "".join(c if c >= " " and c not in "\ufffe\uffff" else " " for c in text)
