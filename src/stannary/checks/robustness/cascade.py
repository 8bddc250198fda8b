"""The cascade: attacks one after another, each on the samples that survived those before; the worst case of each sample.

1. a sample that the target gets wrong as it is, is *wrong from the start* and not attacked;
2. each stage attacks the survivors; what it claims is asked again by `checker.check`, and what is refuted survives;
3. a sample is *robust* only when every stage that the target allows has gone through with it;
4. what was not attacked to the end (budget spent, target gone, a stop rule) is *unfinished*, and counts for nobody.

Samples are taken in blocks that know nothing of each other, so that the result is the same for one worker or many (at the same
number of torch threads), and after an interruption.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stannary.checks.robustness.averaged import Averaged, is_random
from stannary.checks.robustness.budget import NOT_GIVEN, STOOD, Unit
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.checkpoint import Checkpoint
from stannary.checks.robustness.engine import Attack, Found, attack_block, blocks, sizes
from stannary.checks.robustness.presets import Plan, describe
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.sharing import Part, alone, parts
from stannary.checks.target.counting import Counting, identity_of
from stannary.checks.target.interface import ACCESS, Access, Spend, Target
from stannary.core.errors import BackendError, InputError, UsageError

__all__ = [
    "BROKEN",
    "ROBUST",
    "STATUSES",
    "STORED",
    "UNFINISHED",
    "WRONG",
    "CascadeResult",
    "StageResult",
    "Tally",
    "cascade",
    "spent_on",
]

STATUSES = ("wrong", "broken", "robust", "unfinished")
WRONG, BROKEN, ROBUST, UNFINISHED = range(4)
STORED = 3  # the version of what a checkpoint holds of a block


@dataclass
class StageResult:
    """What one attack did: samples in and out, claims that the checker refuted, what was spent, why it was skipped.

    `longest`: the most that was spent on one sample, in `unit`s; without a unit that was not counted.
    """

    id: str
    access: Access
    params: dict[str, str | int | float | bool]
    survivors_in: int = 0
    survivors_out: int = 0
    refuted: int = 0
    seconds: float = 0.0
    skipped: str = ""
    spend: Spend = field(default_factory=Spend)
    unit: Unit | None = None
    longest: int = 0


@dataclass
class CascadeResult:
    """What a cascade found for each sample, in the order given.

    `status` `(n,)` int64 indexes `STATUSES`; `by` `(n,)` says which stage broke a sample, -1 where none; `x` `(n, *shape)` is the
    verified example, or the sample itself; `size` `(n,)` its distance, infinite where there is none; `cost` `(n, stages)` what each
    stage took for it, as `budget.Meter` counts. `spend` counts everything, the first look and the checker's queries included.
    `order`: in which the samples were taken. `stopped`: why not all were finished.
    """

    status: torch.Tensor
    by: torch.Tensor
    x: torch.Tensor
    size: torch.Tensor
    cost: torch.Tensor
    stages: list[StageResult]
    spend: Spend
    seconds: float
    params: dict[str, object]
    order: torch.Tensor
    stopped: str = ""

    def count(self, status: int) -> int:
        """Return how many samples have a status."""
        return int((self.status == status).sum())


class Tally(NamedTuple):
    """What a stop rule sees after each block: the statuses `(n,)` of the samples so far, in the order in which they were taken."""

    status: torch.Tensor
    spend: Spend


class _Work(NamedTuple):
    """A block, for whoever works on it."""

    x: np.ndarray
    labels: np.ndarray


def cascade(
    plan: Plan,
    problem: Problem,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    stop: Callable[[Tally], bool] | None = None,
    folder: Path | None = None,
    workers: int = 1,
) -> CascadeResult:
    """Attack samples with a plan and return the worst case of each.

    Args:
        plan: stages and the size of blocks.
        problem: target, domain, norm and radius. With `workers`, it is sent to other processes.
        x: samples `(n, *shape)` in the problem's domain.
        labels: `(n,)`, the true ones, or the wished ones of a targeted problem.
        stop: is asked after each block, in their order, whether enough is known.
        folder: of a checkpoint. Blocks found there are not computed again.
        workers: processes. A budget of queries cannot be shared among them.

    Raises:
        UsageError: no stage applies to the target and the norm, or the folder holds another run.
        InputError: samples outside the domain, or of a shape that is not the target's.
    """
    started = time.perf_counter()
    if not hasattr(problem.target, "spend"):
        problem = _over(problem, Counting(problem.target))  # what was not answered has to be noticed
    stages = _stages(plan, problem)
    _refuse(problem, x, labels, stages, workers)
    order = _order(plan, problem.seed, len(x))
    size = plan.block or sizes(x.device.type)[1]
    checkpoint = None if folder is None else Checkpoint(folder, _fingerprint(plan, problem, x, labels))
    at = order.to(x.device)
    work = [_Work(x[at[b.start : b.stop]].cpu().numpy(), labels[at[b.start : b.stop]].cpu().numpy()) for b in blocks(len(x), size)]
    made: list[Part] = []
    stopped = ""
    for part in parts(_block, (plan, problem), work, checkpoint=checkpoint, workers=workers):
        made.append(part)
        tally = Tally(torch.from_numpy(np.concatenate([p["status"] for p in made])), _spent(made))
        stopped = stopped or str(part["stopped"])
        if stopped or (stop is not None and stop(tally)):
            stopped = stopped or f"the stop rule decided after {len(tally.status)} samples"
            break
    if len(made) == len(work) and stopped.startswith("the stop rule"):
        stopped = ""  # it decided when all was done anyway
    result = _joined(made, x, order, stages)
    if not stopped and result.count(UNFINISHED):
        stopped = f"the target gave no answer to {result.spend.unanswered} of {result.spend.queries} queries"
    result.params = {"plan": plan.id, "norm": problem.norm, "eps": problem.eps, "seed": problem.seed, "block": size}
    result.params["workers"] = workers
    result.seconds, result.stopped = time.perf_counter() - started, stopped
    return result


def _order(plan: Plan, seed: int, n: int) -> torch.Tensor:
    """Return in which order samples are taken."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)) if plan.shuffle else torch.arange(n)


def _stages(plan: Plan, problem: Problem) -> list[StageResult]:
    """Return the stages with the reasons of those that cannot run."""
    made = []
    offers = ACCESS.index(problem.target.access)
    for attack in plan.stages:
        stage = StageResult(attack.id, attack.access, describe(attack))
        if ACCESS.index(attack.access) > offers:
            stage.skipped = f"takes {attack.access} access; the target offers {problem.target.access}"
        elif problem.norm not in attack.norms:
            stage.skipped = f"is not defined for {problem.norm}"
        made.append(stage)
    return made


def _refuse(problem: Problem, x: torch.Tensor, labels: torch.Tensor, stages: list[StageResult], workers: int) -> None:
    """Say no to what could only give a wrong result."""
    if all(stage.skipped for stage in stages):
        msg = f"no attack applies: {'; '.join(f'{stage.id} {stage.skipped}' for stage in stages)}"
        raise UsageError(msg)
    alone(problem.target, workers)
    if len(x) != len(labels) or tuple(x.shape[1:]) != tuple(problem.target.shape):
        msg = f"samples of shape {tuple(x.shape)} with {len(labels)} labels do not fit a target of shape {problem.target.shape}"
        raise InputError(msg)
    outside = int(problem.domain.violations(x, x).sum()) if len(x) else 0
    if outside:
        msg = f"{outside} of {len(x)} samples lie outside the domain as they are"
        raise InputError(msg, help="correct the domain, or leave these samples out")


def _fingerprint(plan: Plan, problem: Problem, x: torch.Tensor, labels: torch.Tensor) -> dict[str, object]:
    content = hashlib.sha256(x.cpu().contiguous().numpy().tobytes() + labels.cpu().contiguous().numpy().tobytes())
    return {
        "plan": plan.id, "stages": [describe(attack) for attack in plan.stages], "block": plan.block, "eot": plan.eot,
        "norm": problem.norm, "eps": problem.eps, "targeted": problem.targeted, "seed": problem.seed,
        "scale": None if problem.scale is None else problem.scale.tolist(),
        "target": identity_of(problem.target), "samples": content.hexdigest(), "device": x.device.type, "stored": STORED,
    }  # fmt: skip


def _block(held: tuple[Plan, Problem], number: int, item: _Work) -> Part:
    """Run the whole cascade on one block."""
    plan, problem = held
    device = problem.target.device
    x, labels = torch.from_numpy(item.x).to(device), torch.from_numpy(item.labels).to(device)
    before = _spend(problem)
    n = len(x)
    status, by = torch.full((n,), UNFINISHED, device=device), torch.full((n,), -1, device=device)
    best, size = x.clone(), torch.full((n,), float("inf"), dtype=x.dtype, device=device)
    stages = _stages(plan, problem)
    cost = torch.full((n, len(stages)), NOT_GIVEN, device=device)
    stopped = ""
    try:
        decided = problem.target.decide(x)
        wrong = problem.fooled(decided, labels) | (decided < 0)
        status[wrong] = WRONG
        silent = _spend(problem).unanswered
        if plan.eot > 1 and n and is_random(problem.target, x[: min(n, 16)]):
            problem = _over(problem, Averaged(problem.target, plan.eot))
        for index, (attack, stage) in enumerate(zip(plan.stages, stages, strict=True)):
            rest = (status == UNFINISHED).nonzero()[:, 0]
            if stage.skipped or not len(rest):
                continue
            cost[rest, index] = STOOD
            found, fooled, stopped = _stage(attack, problem, stage, (x[rest], labels[rest], number))
            finished = found.finished is not None and bool(found.finished.all())
            hit = rest[fooled]
            status[hit], by[hit], best[hit] = BROKEN, index, found.x[fooled]
            cost[rest, index] = spent_on(found, fooled, stage, problem)
            size[hit] = problem.size(best[hit], x[hit])
            if stopped or not finished:
                break
        else:
            # A model that falls silent where it is attacked was not beaten, and nobody knows what it would have said.
            if _spend(problem).unanswered == silent:
                status[status == UNFINISHED] = ROBUST
    except (InputError, BackendError) as exc:  # in the first look or the checker's: the same as in the middle of an attack
        stopped = str(exc)
    counts = [asdict(stage) for stage in stages]
    arrays = {"status": status, "by": by, "x": best, "size": size, "cost": cost}
    kept = {name: value.cpu().numpy() for name, value in arrays.items()}
    spend = vars(_spend(problem).since(before))
    return {**kept, "stages": np.array(json.dumps(counts)), "spend": np.array(json.dumps(spend)), "stopped": np.array(stopped)}


def _over(problem: Problem, target: Target) -> Problem:
    return Problem(
        target,
        problem.domain,
        norm=problem.norm,
        eps=problem.eps,
        targeted=problem.targeted,
        seed=problem.seed,
        scale=problem.scale,
    )


def _stage(
    attack: Attack, problem: Problem, stage: StageResult, samples: tuple[torch.Tensor, torch.Tensor, int]
) -> tuple[Found, torch.Tensor, str]:
    """Run one attack on the survivors; return what it found, which of that is verified, and why it stopped."""
    x, labels, block = samples
    before, started = _spend(problem), time.perf_counter()
    found = attack_block(attack, problem, x, labels, block=block)
    claimed = found.success.nonzero()[:, 0]
    verified = torch.zeros_like(found.success)
    stopped = found.stopped
    try:
        verified[claimed] = check(problem, found.x[claimed], x[claimed], labels[claimed])
    except (InputError, BackendError) as exc:  # no budget or no answer for a look: claims that nobody checked are none
        stopped = stopped or str(exc)
    stage.survivors_in, stage.survivors_out = len(x), len(x) - int(verified.sum())
    stage.refuted = int((found.success & ~verified).sum())
    stage.seconds, stage.spend = time.perf_counter() - started, _spend(problem).since(before)
    return found, verified, stopped


def spent_on(found: Found, fell: torch.Tensor, stage: StageResult, problem: Problem) -> torch.Tensor:
    """Return what each sample of a block took, `(n,)`, those that `fell` (bool) until they did; note the most in the stage."""
    meter = found.meter
    if meter is None:
        return torch.where(fell, 0, STOOD)
    stage.unit = meter.unit(stage.access)
    times = int(getattr(problem.target, "times", 1)) if stage.unit == "queries" else 1  # answers that are averaged
    stage.longest = times * int(meter.spent.max())
    cost = meter.costs(fell)
    return torch.where(cost > 0, times * cost, cost)


def _spend(problem: Problem) -> Spend:
    spend: Spend | None = getattr(problem.target, "spend", None)
    return Spend() if spend is None else spend.copy()


def _spent(made: list[Part]) -> Spend:
    each = [json.loads(str(part["spend"])) for part in made]
    return Spend(*(sum(one[name] for one in each) for name in vars(Spend())))


def _joined(made: list[Part], x: torch.Tensor, order: torch.Tensor, stages: list[StageResult]) -> CascadeResult:
    """Put the blocks together, in the order in which the samples were given; those that were not reached are unfinished."""
    n = len(x)
    status, by = torch.full((n,), UNFINISHED), torch.full((n,), -1)
    best, size = x.cpu().clone(), torch.full((n,), float("inf"), dtype=x.dtype)
    cost = torch.full((n, len(stages)), NOT_GIVEN)
    if made:
        at = order[: sum(len(part["status"]) for part in made)]
        columns = (
            torch.from_numpy(np.concatenate([part[name] for part in made])) for name in ("status", "by", "x", "size", "cost")
        )
        status[at], by[at], best[at], size[at], cost[at] = columns
    for part in made:
        for stage, counted in zip(stages, json.loads(str(part["stages"])), strict=True):
            stage.survivors_in += counted["survivors_in"]
            stage.survivors_out += counted["survivors_out"]
            stage.refuted += counted["refuted"]
            stage.seconds += counted["seconds"]
            stage.unit, stage.longest = stage.unit or counted["unit"], max(stage.longest, counted["longest"])
            stage.spend = Spend(*(now + counted["spend"][name] for name, now in vars(stage.spend).items()))
    return CascadeResult(status, by, best, size, cost, stages, _spent(made), 0.0, {}, order)
