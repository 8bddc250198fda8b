"""How a result of hardening is put into words: the same in every format."""

from __future__ import annotations

from stannary.checks.target.statistics import Rate
from stannary.harden.card import Compared, HardeningResult
from stannary.report.escape import inline

__all__ = ["VERDICTS", "rows", "texts"]

VERDICTS = {
    "hardened": "hardened",
    "not shown": "not shown to be hardened",
    "weaker": "weaker than before",
    "masking": "masked, which is no hardening",
}


def rows(result: HardeningResult) -> list[tuple[str, str, str, str]]:
    """Return (what, before, after, the difference with its interval)."""
    found: list[tuple[str, str, str, str]] = []
    if result.standing is not None:
        threat = result.before.robustness.threat if result.before.robustness else None
        what = f"robust accuracy, {threat.norm} {threat.eps:g}" if threat and threat.eps is not None else "robust accuracy"
        found.append(_compared(what, result.standing))
    old, new = result.before.privacy, result.after.privacy
    if old is not None and new is not None and old.auc is not None and new.auc is not None:
        change = f"{new.auc.value - old.auc.value:+.3f}"
        found.append(("membership AUC", _area(old.auc), _area(new.auc), change))
    found.append(_compared("accuracy", result.accuracy))
    certified = result.after.robustness.certified if result.after.robustness else None
    if certified is not None:
        found.append(("certified", "", _share(certified), ""))
    for row in result.latency:
        what = f"latency, {row.batch} at a time"
        found.append((what, f"{row.before:.3g} ms", f"{row.after:.3g} ms", f"{row.after / max(row.before, 1e-9):.2f}x"))
    return found


def texts(result: HardeningResult) -> list[str]:
    """Return what is said beside the numbers, unescaped."""
    found = [*result.notes]
    if result.standing is not None:
        one = result.standing
        found.append(f"paired: {one.gained} samples gained, {one.lost} lost, McNemar's exact p = {one.p:.2g}")
    if result.privacy is not None:
        found.append(f"differential privacy: epsilon {result.privacy['epsilon']:.4g} at delta {result.privacy['delta']:.2g}")
    for side, card in (("the original", result.before), ("the hardened model", result.after)):
        found += [f"not measured of {side}: {text}" for text in card.incomplete]
    return found


def _compared(what: str, one: Compared) -> tuple[str, str, str, str]:
    change = f"{one.difference * 100:+.1f} points [{one.low * 100:+.1f}, {one.high * 100:+.1f}]"
    return inline(what, 100), _share(one.before), _share(one.after), change


def _share(rate: Rate) -> str:
    return f"{rate.value * 100:.1f} % [{rate.low * 100:.1f}, {rate.high * 100:.1f}]"


def _area(rate: Rate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
