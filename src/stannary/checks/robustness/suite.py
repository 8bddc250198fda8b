"""The suite: what `stannary evaluate --suite robustness` measures, put together into a part of the report card.

Pictures and arrays are attacked inside a ball by a cascade; tables by `table_suite`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch

from stannary.checks.robustness import cascade as whole
from stannary.checks.robustness.attacks.fmn import FMN
from stannary.checks.robustness.budget import budget_curves
from stannary.checks.robustness.checker import shown
from stannary.checks.robustness.company import company_matters, costs
from stannary.checks.robustness.curve import curve, median_of
from stannary.checks.robustness.masking import allows, masking_report
from stannary.checks.robustness.picture import is_picture, png
from stannary.checks.robustness.presets import Plan, plan_of, preset
from stannary.checks.robustness.replay import Replay, load, store
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.surrogate import without_gradients
from stannary.checks.target.card import AttackRun, CurvePoint, Example, Robustness, Stop, Threat
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.interface import Domain, Target
from stannary.checks.target.statistics import Rate, StopRule, clopper_pearson, rate

__all__ = ["Measured", "Options", "metric_of", "robustness"]

_SHOWN = 12
_ALPHA = 0.05
_MASKED_NORMS = ("linf", "l2")  # in which signs of masked gradients are looked for
_LEVELS = 16  # of what is no flag and no count of a few
_ROUNDED = 1 + 1e-6  # an example on the border lies within


@dataclass(frozen=True)
class Options:
    """What to measure.

    Args:
        preset: `smoke`, `gate`, `standard` or `paranoid`.
        norm: of the radius: `linf`, `l2`, `l1`.
        eps: the radius.
        seed: of everything random.
        least: the robust accuracy that the gate's stop rule decides about; None for no rule.
        fab: whether FAB takes part.
        workers: processes.
        folder: where verified examples are stored, by digest.
        replay: digest of examples of an earlier version, tried first.
        checkpoint: folder from which an interrupted run goes on.
        domain: digest of the domain's file, for the record.
        eot: answers averaged where the target is random; 0 for the preset's own.
        surrogate: a model with gradients on which examples are made, too; without it, one is made for a target that has none.
        attacks: by name, which are made after those of the preset; see `presets.plan_of`.
        curve: look for the smallest changes, too, and give the accuracy over the radius; takes gradients.
    """

    preset: str = "standard"
    norm: str = "linf"
    eps: float = 0.1
    seed: int = 0
    least: float | None = None
    fab: bool = True
    workers: int = 1
    folder: Path | None = None
    replay: str = ""
    checkpoint: Path | None = None
    domain: str = ""
    eot: int = 0
    curve: bool = False
    surrogate: Target | None = None
    attacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """The part of the card, what could not be measured, and of each sample its status and how far the example is that was found.

    `status` `(n,)` as `cascade` gives it; `size` `(n,)`: 0 for samples that are wrong as they are, infinite for those that stood.
    """

    part: Robustness
    incomplete: tuple[str, ...]
    status: torch.Tensor
    size: torch.Tensor


def metric_of(norm: str, eps: float) -> str:
    """Return the name under which policies bound the robust accuracy, as `robustness.linf.eps_0.1`."""
    return f"robustness.{norm}.eps_{eps:g}"


def robustness(target: Counting, data: Dataset, domain: Domain, options: Options, pool: Dataset | None = None) -> Measured:
    """Measure how a classifier stands attacks on the samples of `data`, in a domain. Tables: `table_card.table_robustness`.

    A target without gradients is attacked through a surrogate, too: the given one, or one that imitates it on `pool` (`data`
    without it).

    Raises:
        UsageError, InputError: as `cascade`.
    """
    plan = preset(options.preset, target.classes, fab=options.fab)
    if options.attacks:
        plan = replace(plan, stages=(*plan.stages, *plan_of(options.attacks, target.classes).stages))
    chance, moody = options.norm not in _MASKED_NORMS, ""
    if priced := costs(target):  # before the attacks spend what there is
        moody = company_matters(target, data.x, chance=chance)
    plan, unable = without_gradients(plan, target, pool or data, options.norm, options.seed, options.surrogate)
    replayed = 0
    if options.replay and options.folder is not None:
        again = Replay(*load(options.folder, options.replay))
        plan = Plan(plan.id, (again, *plan.stages), block=plan.block, shuffle=plan.shuffle, eot=plan.eot)
        replayed = again.rounds
    if options.eot:
        plan = replace(plan, eot=options.eot)
    problem = Problem(target, domain, norm=options.norm, eps=options.eps, seed=options.seed)
    rule = StopRule(options.least, _ALPHA) if options.least is not None and plan.id == "gate" else None
    stop = _stopping(rule) if rule else None
    result = whole.cascade(plan, problem, data.x, data.y, stop=stop, folder=options.checkpoint, workers=options.workers)
    found = _measured(result, problem, data, options, (rule, replayed))
    if unable:
        found = replace(found, incomplete=(*found.incomplete, unable))
    if moody := moody if priced else company_matters(target, data.x, chance=chance):
        part = msgspec.structs.replace(found.part, robust=msgspec.structs.replace(found.part.robust, low=0.0))
        found = replace(found, part=part, incomplete=(*found.incomplete, moody))
    failed = rule is not None and rule.decision() == "fail"
    if options.curve:
        found = _with_curve(found, problem, data)
    return found if plan.id == "smoke" or failed else _unmasked(found, problem, data)  # neither of these claims robustness


def _with_curve(found: Measured, problem: Problem, data: Dataset) -> Measured:
    """Add the accuracy over the radius and the median smallest change: an upper bound, by what all attacks found."""
    attack = FMN(40)
    if problem.target.access != "white" or problem.norm not in attack.norms or bool((found.status == whole.UNFINISHED).any()):
        return found
    made = curve(problem, data.x, data.y, attack=attack)
    part = found.part
    if made.stopped:
        run = AttackRun(id="curve", survivors_in=len(data), survivors_out=len(data), skipped=made.stopped)
        return replace(found, part=msgspec.structs.replace(part, attacks=(*part.attacks, run)))
    size = torch.minimum(made.size.cpu(), found.size)
    points = tuple(
        CurvePoint(eps=point.eps, accuracy=rate(int((size > point.eps * _ROUNDED).sum()), len(size))) for point in made.points
    )
    runs = (*part.attacks, *made.attacks)
    return replace(found, part=msgspec.structs.replace(part, curve=points, distance=median_of(problem.norm, size), attacks=runs))


def _unmasked(found: Measured, problem: Problem, data: Dataset) -> Measured:
    """Look for signs that gradients are masked. Of a masked model the accuracy under attack has no lower bound."""
    if problem.target.access != "white" or problem.norm not in _MASKED_NORMS:
        return found
    report = masking_report(problem, data.x, data.y)
    part = msgspec.structs.replace(found.part, masking=report.points, masked=report.masked)
    missed = found.incomplete
    if report.stopped:
        missed = (*missed, f"whether gradients are masked is not known: {report.stopped}")
    elif report.masked:
        signs = ", ".join(point.id for point in report.points if point.warn)
        missed = (*missed, f"gradients are masked ({signs}): attacks that follow them say nothing, and robustness is not shown")
    if not allows(report):
        part = msgspec.structs.replace(part, robust=msgspec.structs.replace(part.robust, low=0.0))
    return replace(found, part=part, incomplete=missed)


def _stopping(rule: StopRule) -> Callable[[whole.Tally], bool]:
    """Return what tells the cascade that the rule has decided. Each sample is shown to the rule once, in the order drawn."""

    def stop(tally: whole.Tally) -> bool:
        for status in tally.status[rule.n :].tolist():
            if status == whole.UNFINISHED or rule.decision() != "inconclusive":
                break
            rule.see(status == whole.ROBUST)
        return rule.decision() != "inconclusive"

    return stop


def _measured(
    result: whole.CascadeResult, problem: Problem, data: Dataset, options: Options, extra: tuple[StopRule | None, int]
) -> Measured:
    rule, replayed = extra
    decided = rule is not None and rule.decision() != "inconclusive"
    seen = result.status != whole.UNFINISHED if decided else torch.ones_like(result.status, dtype=torch.bool)
    n = int(seen.sum())
    unfinished = int((result.status[seen] == whole.UNFINISHED).sum())
    stood = result.count(whole.ROBUST)
    broken = result.status == whole.BROKEN
    incomplete = [f"{unfinished} of {n} samples were not attacked to the end: {result.stopped}"] if unfinished else []
    incomplete += _doubts(result, data, seen, unfinished)
    incomplete += [coarse] if (coarse := _too_near(data, problem)) else []
    if rule is not None and not decided:
        incomplete.append(f"the stop rule did not decide about {rule.threshold:g} within {rule.n} samples")
    adversarials = ""
    if options.folder is not None and bool(broken.any()):
        adversarials = store(options.folder, data.x[broken], result.x[broken])
    part = Robustness(
        preset=options.preset,
        threat=Threat(norm=problem.norm, eps=options.eps, knowledge=problem.target.access, domain=options.domain),
        clean=rate(n - result.count(whole.WRONG), n),
        robust=_bounded(stood, unfinished, n),
        attacks=tuple(map(_run, result.stages)),
        budgets=budget_curves(result.stages, result.cost[seen], (result.status == whole.UNFINISHED)[seen]),
        stop=None
        if rule is None
        else Stop(rule="beta-binomial e-process", alpha=_ALPHA, threshold=rule.threshold, decision=rule.decision(), samples=rule.n),
        examples=_examples(result, problem, data),
        adversarials=adversarials,
        replayed=replayed,
        unfinished=unfinished,
    )
    size = torch.where(broken, result.size, torch.inf).masked_fill(result.status == whole.WRONG, 0.0)
    return Measured(part, tuple(incomplete), result.status, size)


def _doubts(result: whole.CascadeResult, data: Dataset, seen: torch.Tensor, unfinished: int) -> list[str]:
    """Return what a reader has to know of a model that does not answer, or always the same."""
    found = []
    if result.spend.unanswered and not unfinished:
        asked = f"{result.spend.unanswered} of {result.spend.queries} queries"
        found.append(f"the model gave no answer (NaN) to {asked}: samples without one count as wrong")
    right = data.y.cpu()[seen & (result.status != whole.WRONG)].unique()
    known = data.y.cpu()[seen].unique()
    if len(right) == 1 and len(known) > 1 and not result.count(whole.BROKEN):
        name = _named(data, int(right[0]))
        found.append(
            f"all samples that it gets right are of one class ({name}), and none was turned: it may be constant, no robustness"
        )
    return found


def _too_near(data: Dataset, problem: Problem) -> str:
    """Tell that the radius is less than one step of data in whole numbers, as of grey levels from 0 to 255."""
    span = float(data.x.max() - data.x.min()) if len(data) else 0.0
    if problem.norm == "l0" or problem.eps is None or problem.eps >= 1 or span < _LEVELS or bool((data.x != data.x.round()).any()):
        return ""
    seen = f"whole numbers from {float(data.x.min()):g} to {float(data.x.max()):g}"
    return (
        f"the inputs are {seen}, and a radius of {problem.eps:g} is less than one step of them: is it meant of inputs from 0 to 1?"
    )


def _bounded(stood: int, unfinished: int, n: int) -> Rate:
    """Return the robust accuracy: what is unfinished counts as broken, and might all have stood."""
    low, _ = clopper_pearson(stood, n)
    _, high = clopper_pearson(stood + unfinished, n)
    return Rate(value=stood / n if n else 0.0, low=low, high=high, n=n)


def _run(stage: whole.StageResult) -> AttackRun:
    return AttackRun(
        id=stage.id,
        params=stage.params,
        survivors_in=stage.survivors_in,
        survivors_out=stage.survivors_out,
        **vars(stage.spend),
        seconds=stage.seconds,
        skipped=stage.skipped,
    )


def _examples(result: whole.CascadeResult, problem: Problem, data: Dataset) -> tuple[Example, ...]:
    """Return the successes with the smallest changes, as people see them."""
    broken = (result.status == whole.BROKEN).nonzero()[:, 0]
    chosen = broken[result.size[broken].argsort(stable=True)][:_SHOWN]
    if not len(chosen):
        return ()
    decided = shown(problem, result.x[chosen], data.label_names)
    low, high = (float(value.min()) for value in problem.domain.span(data.x))
    shows = is_picture(data.shape)
    found = []
    for at, sample in enumerate(chosen.tolist()):
        before, after = data.x[sample], result.x[sample]
        found.append(
            Example(
                sample=int(data.rows[sample]),
                attack=result.stages[int(result.by[sample])].id,
                label=_named(data, int(data.y[sample])),
                decided=decided[at],
                distance=float(result.size[sample]),
                before=png(before, low, high) if shows else "",
                after=png(after, low, high) if shows else "",
            )
        )
    return tuple(found)


def _named(data: Dataset, label: int) -> str:
    return data.label_names[label] if 0 <= label < len(data.label_names) else str(label)
