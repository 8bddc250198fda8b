"""A card as one HTML page: no network, no script, at most 300 kB; pictures of examples as data, plots as SVG."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from stannary.checks.target.card import EvaluationResult, Example
from stannary.report.escape import inline
from stannary.report.evaluation import plots
from stannary.report.evaluation.words import attack_rows, budget_plots, corruption_rows, figure, measured, stood_all, title, verdict

__all__ = ["LIMIT", "render"]

LIMIT = 300_000  # bytes
_EXAMPLES = 24
_TONE = {"passed": "clean", "failed": "unsafe", "incomplete": "incomplete", "error": "unsafe"}


def render(card: EvaluationResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return the page; with fewer examples until it fits."""
    examples = _EXAMPLES
    page = _page(card, examples)
    while len(page.encode("utf-8")) > LIMIT and examples:
        examples //= 2
        page = _page(card, examples)
    return page


def _page(card: EvaluationResult, examples: int) -> str:
    import jinja2
    from markupsafe import Markup

    base = resources.files("stannary.report").joinpath("templates")
    css = "".join(base.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "evaluation.css"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["inline"], environment.filters["figure"] = inline, figure
    template = environment.from_string(base.joinpath("evaluation.html.j2").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    robustness, privacy = card.robustness, card.privacy
    shown = list(robustness.examples[:examples]) if robustness else []
    page = template.render(
        css=Markup(css),  # noqa: S704 - our own files
        csp=f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'",
        card=card,
        tone=_TONE[card.outcome],
        verdict=verdict(card),
        title=title(card),
        rows=measured(card),
        attacks=attack_rows(card),
        corruptions=corruption_rows(robustness) if robustness else [],
        patch=_base64(robustness.patch.picture) if robustness and robustness.patch else "",
        curve=Markup(plots.curve(robustness.curve, f"radius, {robustness.threat.norm}", mark=robustness.threat.eps))  # noqa: S704 - SVG of numbers
        if robustness
        else "",
        budgets=[
            (one, Markup(plots.curve(one.points[1:], f"{one.unit} a sample", log=True)))  # noqa: S704 - SVG of numbers
            for one in (budget_plots(robustness) if robustness else [])
        ],
        stood_all=stood_all(robustness) if robustness else "",
        roc=Markup(plots.roc(privacy.roc)) if privacy else "",  # noqa: S704 - SVG of numbers
        extraction=Markup(plots.curve(privacy.extraction, "queries", log=True)) if privacy else "",  # noqa: S704 - SVG of numbers
        pictures=[example for example in shown if _is_picture(example)],
        changed=[example for example in shown if example.changes],
        transcripts=examples,
        mislabelled=2 * examples,
        left=len(robustness.examples) - len(shown) if robustness else 0,
    )
    return page.rstrip() + "\n"


def _is_picture(example: Example) -> bool:
    """Tell whether both pictures are base64 and nothing else: they become addresses."""
    return bool(_base64(example.before) and _base64(example.after))


def _base64(text: str) -> str:
    """Return the text if it is base64, nothing otherwise."""
    try:
        return text if base64.b64decode(text, validate=True) else ""
    except ValueError:
        return ""
