"""What hardening did as one HTML page: no network, no script; the curves of both models as SVG in one plot."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from stannary.harden.card import HardeningResult
from stannary.report.escape import inline
from stannary.report.evaluation import plots
from stannary.report.evaluation.words import attack_rows
from stannary.report.hardening.words import VERDICTS, next_steps, rows, texts, why

__all__ = ["render"]

_TONE = {"hardened": "clean", "not shown": "incomplete", "weaker": "unsafe", "too costly": "unsafe", "masking": "suspicious"}


def render(result: HardeningResult, *, color: bool = False) -> str:  # noqa: ARG001 - the shape of every renderer
    """Return the page."""
    import jinja2
    from markupsafe import Markup

    base = resources.files("stannary.report").joinpath("templates")
    css = "".join(base.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", "evaluation.css"))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["inline"] = inline
    template = environment.from_string(base.joinpath("hardening.html.j2").read_text(encoding="utf-8"))
    digest = base64.b64encode(hashlib.sha256(css.encode("utf-8")).digest()).decode("ascii")
    page = template.render(
        css=Markup(css),  # noqa: S704 - our own files
        csp=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        result=result,
        tone=_TONE[result.verdict],
        verdict=VERDICTS[result.verdict],
        why=why(result),
        rows=rows(result),
        texts=texts(result),
        steps=next_steps(result),
        curve=Markup(_curve(result)),  # noqa: S704 - SVG of numbers
        rocs=[
            (name, Markup(plots.roc(card.privacy.roc)))  # noqa: S704 - SVG of numbers
            for name, card in (("before", result.before), ("after", result.after))
            if card.privacy is not None and card.privacy.roc
        ],
        attacks=[(name, attack_rows(card)) for name, card in (("before", result.before), ("after", result.after))],
        samples=result.after.data.n if result.after.data else 0,
    )
    return page.rstrip() + "\n"


def _curve(result: HardeningResult) -> str:
    """Return both curves in one plot, the original's dashed; nothing where there are none."""
    before, after = result.before.robustness, result.after.robustness
    if after is None:
        return ""
    beside = before.curve if before is not None else ()
    return plots.curve(after.curve, f"radius, {after.threat.norm}", mark=after.threat.eps, beside=beside)
