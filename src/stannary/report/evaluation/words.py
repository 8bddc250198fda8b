"""How a card is put into words: the same in every format."""

from __future__ import annotations

from stannary.checks.target.card import (
    Against,
    AttackRun,
    Backdoor,
    BackdoorClass,
    BudgetCurve,
    Compared,
    EvaluationResult,
    Labels,
    MaskingPoint,
    Poisoning,
    Probes,
    Robustness,
)
from stannary.checks.target.statistics import Rate
from stannary.report.escape import inline
from stannary.report.wording import counted

__all__ = [
    "attack_rows",
    "budget_plots",
    "corruption_rows",
    "figure",
    "masking_row",
    "measured",
    "percent",
    "stood_all",
    "title",
    "verdict",
]

_VERDICTS = {"passed": "measured", "failed": "below the threshold", "incomplete": "incomplete", "error": "failed to run"}
_FLIPS = {
    "ulp_one": "the last bit of a column turns",
    "ulp_all": "the last bit of every column turns",
    "sd_1e-6_one": "a column moves a millionth of its deviation",
    "sd_1e-6_all": "every column moves a millionth of its deviation",
}
_TOLD = {
    "advantage": "advantage over guessing who was a member",
    "tpr_at_1pct": "members told at 1 % false alarms",
    "tpr_at_0.1pct": "members told at 0.1 % false alarms",
}
_NEEDED = 5  # columns named
_SUSPECTS = 10  # rows named


def percent(rate: Rate) -> str:
    """Return `93.0 % [86.1, 97.1], n = 100`."""
    return f"{rate.value * 100:.1f} % [{rate.low * 100:.1f}, {rate.high * 100:.1f}], n = {rate.n:,}"


def figure(value: float | str) -> str:
    """Return a value of a column as it is read: six digits of a number."""
    return f"{value:.6g}" if isinstance(value, (int, float)) else inline(value, 60)


def verdict(card: EvaluationResult) -> str:
    """Return in a few words how the evaluation ended."""
    stop = card.robustness.stop if card.robustness else None
    if stop is not None and card.outcome in ("passed", "failed"):
        return "passes the gate" if stop.decision == "pass" else "fails the gate"
    return _VERDICTS[card.outcome]


def title(card: EvaluationResult) -> str:
    """Return what was evaluated, on what."""
    on = f" on {counted(card.data.n, 'sample')} of {inline(card.data.path)}" if card.data else ""
    return f"{inline(card.model.name or card.model.path)}{on}"


def measured(card: EvaluationResult) -> list[tuple[str, str]]:
    """Return (what, value with its interval) of the card's main numbers."""
    rows: list[tuple[str, str]] = []
    if card.robustness:
        part = card.robustness
        size = f"{part.threat.norm} {part.threat.eps:g}" if part.threat.eps is not None else part.threat.norm
        rows += [("accuracy", percent(part.clean)), (f"robust accuracy, {size}", percent(part.robust))]
        if part.certified:
            rows.append(("certified", percent(part.certified)))
        if part.distance:
            d = part.distance
            rows.append((f"median smallest change, {d.norm}", f"{d.median:.4g} [{d.low:.4g}, {d.high:.4g}], n = {d.n:,}"))
        rows += [(f"decided otherwise when {_FLIPS.get(name, name)}", percent(value)) for name, value in part.brittleness.items()]
        rows += _budget(part)
        rows += _beyond(part)
        rows += [(f"smallest changes that need {name}", percent(value)) for name, value in list(part.needed.items())[:_NEEDED]]
    if card.against:
        rows += _against(card.against)
    if card.privacy:
        if card.privacy.auc:
            low, high = card.privacy.auc.low, card.privacy.auc.high
            rows.append((f"membership AUC ({card.privacy.attack})", f"{card.privacy.auc.value:.3f} [{low:.3f}, {high:.3f}]"))
        rows += [(_TOLD.get(name, name), percent(value)) for name, value in card.privacy.rates.items()]
        rows += [(_TOLD.get(name, name), f"not said: {inline(why)}") for name, why in card.privacy.refused.items()]
    if card.backdoor:
        rows += _backdoor(card.backdoor)
    if card.labels:
        rows += _labels(card.labels)
    if card.poisoning:
        rows += _poisoning(card.poisoning)
    if card.probes:
        rows += [(f"attempts that succeed: {name}", percent(value)) for name, value in card.probes.families.items()]
        rows.append(("spent", _probed(card.probes)))
    return [(inline(name, 100), value) for name, value in rows]


def _against(part: Against) -> list[tuple[str, str]]:
    name = inline(part.path.rpartition("/")[2] or part.path, 40)
    rows = [(f"accuracy beside {name}", _paired(part.accuracy)), (f"robust accuracy beside {name}", _paired(part.standing))]
    said = {"masked": "gradients are masked", "left": f"{counted(part.left, 'sample')} not attacked to the end on both"}
    why = "; ".join(text for field, text in said.items() if getattr(part, field))
    if part.verdict == "not comparable":
        why = why or "preset smoke shows no robustness, or something is incomplete"
    return [*rows, (f"beside {name}", part.verdict + (f" ({why})" if why else ""))]


def _paired(one: Compared) -> str:
    change = f"{one.difference * 100:+.1f} points [{one.low * 100:+.1f}, {one.high * 100:+.1f}] from {one.before.value * 100:.1f} %"
    return f"{change}; {one.gained} gained, {one.lost} lost of {one.before.n:,}, p = {one.p:.2g}"


def _budget(part: Robustness) -> list[tuple[str, str]]:
    """Return what the attack that turned the most samples took for them."""
    one = max(part.budgets, key=lambda curve: curve.fell, default=None)
    if one is None or one.half is None or one.most is None:
        return []
    unit = {1: one.unit.removesuffix("s") if one.unit == "iterations" else "query"}
    half, most = (f"{spent:,} {unit.get(spent, one.unit)}" for spent in (one.half, one.most))
    many = f"half of the {one.fell:,} that fall do within {half}, nine in ten within {most}"
    named = many if one.fell > 1 else f"the one that falls does within {half}"
    return [(f"budget of {inline(one.attack, 60)}", named)]


def budget_plots(part: Robustness) -> list[BudgetCurve]:
    """Return the curves over the budget that fall at all, those of the most samples first."""
    return sorted((curve for curve in part.budgets if curve.fell), key=lambda curve: -curve.fell)


def stood_all(part: Robustness) -> str:
    """Return the attacks that turned nothing, with what each was allowed to spend on a sample."""
    return ", ".join(f"{inline(one.attack, 60)} ({one.points[-1].eps:,.0f} {one.unit})" for one in part.budgets if not one.fell)


def masking_row(point: MaskingPoint) -> str:
    """Return a sign of masked gradients with its value and from where on it is one."""
    below = "below" if point.id == "slope" else "above"
    value = "" if point.value is None else f": {point.value:.3g}"
    limit = "" if point.threshold is None or point.value is None else f" (a sign {below} {point.threshold:.3g})"
    return f"{inline(point.title)}{value}{limit}" + (f"; {inline(point.note)}" if point.note else "")


def _beyond(part: Robustness) -> list[tuple[str, str]]:
    """Return the worst cases of what no radius describes."""
    rows = []
    if part.corrupted:
        rows.append(("accuracy under corruptions, mean", percent(part.corrupted["mean"])))
        rows += [
            (f"right under every corruption, severity {severity}", percent(part.corrupted[f"severity_{severity}"]))
            for severity in (1, 3, 5)
            if f"severity_{severity}" in part.corrupted
        ]
        worst = sorted((point.accuracy.value, point.severity, point.corruption) for point in part.corruptions)[:1]
        rows += [("worst corruption", f"{inline(name, 40)}, severity {severity}: {value:.1%}") for value, severity, name in worst]
    if part.poses:
        rows.append(("right in every pose", percent(part.poses)))
    if part.patch:
        one = part.patch
        rows.append((f"right under a patch of {one.side} x {one.side}", percent(one.accuracy)))
        rows.append(("turned by the patch", f"{percent(one.success)}; by noise {one.noise.value * 100:.1f} %"))
    return rows


def corruption_rows(part: Robustness) -> list[tuple[str, list[str]]]:
    """Return (kind, accuracy by severity, mild to severe), in the order of the card."""
    rows: dict[str, list[str]] = {}
    for point in part.corruptions:
        rows.setdefault(point.corruption, []).append(f"{point.accuracy.value * 100:.1f} %")
    return list(rows.items())


def _backdoor(part: Backdoor) -> list[tuple[str, str]]:
    said = f"{part.verdict}, score {part.score:.2f} (alarm from 0.50)" if part.score is not None else part.verdict
    rows = [("backdoor", said)] + [("why", inline(text)) for text in part.reasons]
    rows += [(f"smallest patch for {one.label}", _patch(one)) for one in part.classes[:_NEEDED]]
    if part.suspects:
        rows.append(("most suspicious rows", ", ".join(map(str, part.suspects[:_SUSPECTS]))))
    return rows + [(f"not run: {name}", inline(why)) for name, why in part.skipped.items()]


def _labels(part: Labels) -> list[tuple[str, str]]:
    rows = [("labels that are probably wrong", percent(part.wrong)), ("rows decided as labelled", percent(part.agreed))]
    rows += [
        (f"{inline(given, 40)}, probably {inline(suggested, 40)}", counted(number, "row"))
        for given, suggested, number in part.confused[:_NEEDED]
    ]
    if part.errors:
        rows.append(("least trusted rows", ", ".join(str(one.row) for one in part.errors[:_SUSPECTS])))
    return [*rows, ("judged by", inline(part.recipe))]


def _poisoning(part: Poisoning) -> list[tuple[str, str]]:
    rows = [("accuracy, trained on clean rows", percent(part.accuracy))]
    if part.tuned:
        rows.append(("accuracy, the model's last layer trained on clean rows", percent(part.tuned)))
    for one in part.points:
        won = f"success {percent(one.success)}; without {one.without.value * 100:.1f} %; accuracy {one.accuracy.value * 100:.1f} %"
        rows.append((f"{one.share * 100:g} % poisoned by {inline(one.attack, 60)}", won))
    rows += [(f"not made: {inline(name, 60)}", inline(why)) for name, why in part.skipped.items()]
    return [*rows, ("trained by", inline(part.recipe))]


def _patch(one: BackdoorClass) -> str:
    if one.patch is None:
        return "none works"
    return f"{one.patch:.3g}, {one.deviations or 0:.1f} deviations below the median, {counted(one.odd, 'odd row')}"


def _probed(part: Probes) -> str:
    spent = f"{part.requests:,} requests ({part.cached:,} from earlier), {part.tokens_in:,} tokens in, {part.tokens_out:,} out"
    return spent if part.price is None else f"{spent}, {part.price:.4g} {inline(part.currency, 10)}".rstrip()


def attack_rows(card: EvaluationResult) -> list[tuple[str, str, str, str]]:
    """Return (attack, survivors, passes and queries, seconds or why it was not run), one row an attack."""
    return [_attack(row) for row in (card.robustness.attacks if card.robustness else ())]


def _attack(row: AttackRun) -> tuple[str, str, str, str]:
    if row.skipped:
        return inline(row.id, 60), "", "", f"not run: {inline(row.skipped)}"
    spent = f"{row.forward:,} forward, {row.backward:,} backward" if row.backward else f"{row.queries:,} queries"
    return inline(row.id, 60), f"{row.survivors_in} to {row.survivors_out}", spent, inline(row.stopped) or f"{row.seconds:.2f} s"
