"""How a result of hardening is put into words: the same in every format."""

from __future__ import annotations

import shlex

from stannary.checks.target.card import Compared
from stannary.checks.target.statistics import Rate
from stannary.harden.card import HardeningResult, price_of
from stannary.report.escape import inline

__all__ = ["VERDICTS", "next_steps", "rows", "texts", "why"]

VERDICTS = {
    "hardened": "hardened",
    "not shown": "not shown to be hardened",
    "weaker": "weaker than before",
    "too costly": "not hardened: too much accuracy is lost",
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
    if result.max_accuracy_loss is not None:
        most = f"{result.max_accuracy_loss * 100:g} points"
        found.append(f"accuracy may fall by {most} at most, by the worse end of its interval (--max-accuracy-loss)")
    if result.privacy is not None:
        found.append(f"differential privacy: epsilon {result.privacy['epsilon']:.4g} at delta {result.privacy['delta']:.2g}")
    for side, card in (("the original", result.before), ("the hardened model", result.after)):
        found += [f"not measured of {side}: {text}" for text in card.incomplete]
    return found


def why(result: HardeningResult) -> str:
    """Return in a sentence what the verdict goes by."""
    if result.verdict == "masking":
        return "This method hides what attackers look at. Who attacks without it is not stopped, so no verdict rises by it."
    if result.verdict == "too costly" or (result.verdict == "not shown" and _price(result) == "unsure" and _won(result)):
        return _lost(result)
    if result.judged_by == "privacy":
        said = {"hardened": "lies below", "weaker": "lies above"}.get(result.verdict, "overlaps")
        return f"The interval of the area under the curve of membership inference {said} that of the original."
    if result.standing is None:
        return "Nothing was compared under attack."
    one = result.standing
    if not one.gained and not one.lost:
        return "Both stand the same samples: nothing changed under attack."
    span = f"from {one.low * 100:+.1f} to {one.high * 100:+.1f} points"
    if result.verdict == "hardened":
        return f"The whole interval of the difference under attack, {span}, lies above zero."
    if result.verdict == "weaker":
        return f"The whole interval of the difference under attack, {span}, lies below zero."
    beside = "holds zero: chance alone may have made it" if one.low <= 0 else "is above zero, but the attacks were not whole"
    return f"The interval of the difference under attack, {span}, {beside}."


def _price(result: HardeningResult) -> str:
    return price_of(result.accuracy, result.max_accuracy_loss, result.chance)


def _won(result: HardeningResult) -> bool:
    """Tell whether the attacks alone would have the model called hardened."""
    if result.before.incomplete or result.after.incomplete:
        return False
    if result.standing is not None:
        return result.standing.low > 0
    sides = [card.privacy.auc if card.privacy else None for card in (result.before, result.after)]
    return sides[0] is not None and sides[1] is not None and sides[1].high < sides[0].low


def _lost(result: HardeningResult) -> str:
    """Return what accuracy fell by, and what it may fall by."""
    one, most = result.accuracy, result.max_accuracy_loss
    fell = f"{-one.difference * 100:.1f} points, from {one.before.value:.1%} to {one.after.value:.1%}"
    if result.chance is not None and one.after.value <= result.chance < one.before.value:
        return f"Accuracy fell by {fell}: no more than always deciding for the commonest class gets right ({result.chance:.1%})."
    span = f"the interval goes to {-one.low * 100:.1f}"
    allowed = f"{(most or 0) * 100:g} points may be lost (--max-accuracy-loss)"
    if result.verdict == "too costly":
        return f"Accuracy fell by {fell} ({span}): {allowed}."
    return f"Accuracy fell by {fell}, but {span}, and {allowed}: the test samples are too few to tell."


def next_steps(result: HardeningResult) -> list[str]:
    """Return what to do next, unescaped."""
    made = shlex.quote(result.output or "MODEL")
    if result.verdict == "masking":
        return ["take a method that trains the model: adversarial-training, trades, free, tree-robust"]
    if result.verdict == "weaker":
        return ["keep the original", "try a smaller --eps, or another method"]
    if result.verdict == "too costly":
        steps = ["keep the original", "train for longer, or at a smaller --eps"]
        return [*steps, "if what it stands is worth what it costs, say so: --max-accuracy-loss R"]
    if result.verdict == "not shown" and _price(result) == "unsure" and _won(result):
        return ["keep the original until the cost is known", "judge on more samples, which narrows the interval: --test FILE"]
    if result.verdict == "not shown":
        steps = ["keep the original until a difference is shown"]
        if any("too weak" in text for text in result.notes):
            steps.append("attack for real: --preset gate or standard")
        elif result.standing is not None and result.standing.difference > 0:
            steps.append("attack more samples, which narrows the interval: --samples N")
        return [*steps, "train for longer, at another --eps, or by another method (stannary harden --help)"]
    steps = [f"stannary scan {made} --record, and stannary sign {made} --record"]
    if result.accuracy.high < 0:
        steps.append(f"say whether {-result.accuracy.difference * 100:.1f} points of accuracy are worth it: that loss is no chance")
    return [*steps, f"bound what it stands by a policy, and ask: stannary gate {made} --policy FILE"]


def _compared(what: str, one: Compared) -> tuple[str, str, str, str]:
    change = f"{one.difference * 100:+.1f} points [{one.low * 100:+.1f}, {one.high * 100:+.1f}]"
    return inline(what, 100), _share(one.before), _share(one.after), change


def _share(rate: Rate) -> str:
    return f"{rate.value * 100:.1f} % [{rate.low * 100:.1f}, {rate.high * 100:.1f}]"


def _area(rate: Rate) -> str:
    return f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
