"""Tables: the smallest allowed change of each sample, found by several attacks of which the best counts.

A radius means little where columns have units, types and prices of their own. Every sample is therefore attacked for the smallest
change that its domain allows, and accuracies at radii are read off the distances that were found.

1. a sample that the target gets wrong as it is, is *wrong from the start* and not attacked;
2. each stage attacks all others (with a stop rule: those that still stand at the radius); the checker asks every claim again;
3. a sample for which nothing was found is *robust* only when every stage went through with it and the target answered every time;
4. what was not attacked to the end is *unfinished*, and counts as broken where a rate needs a worst case.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from stannary.checks.robustness.budget import NOT_GIVEN, STOOD
from stannary.checks.robustness.cascade import BROKEN, ROBUST, STORED, UNFINISHED, WRONG, StageResult, spent_on
from stannary.checks.robustness.checker import check
from stannary.checks.robustness.checkpoint import Checkpoint
from stannary.checks.robustness.engine import Attack, Found, attack_block, blocks
from stannary.checks.robustness.presets import describe
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.sharing import Part, alone, parts
from stannary.checks.robustness.table_stages import table_stages
from stannary.checks.robustness.tree_local import local_trees
from stannary.checks.target.counting import Counting, identity_of
from stannary.checks.target.data import Dataset
from stannary.checks.target.domain import TableDomain
from stannary.checks.target.interface import ACCESS, Spend
from stannary.checks.target.statistics import StopRule
from stannary.core.errors import BackendError, InputError, UsageError

__all__ = ["Smallest", "TableOptions", "smallest", "standing"]

BLOCK = 64  # in which a table of the usual 500 samples can be shared; 512 took as much CPU
GATE_BLOCK = 32


@dataclass(frozen=True)
class TableOptions:
    """What to measure on a table.

    Args:
        preset: `smoke`, `gate`, `standard` or `paranoid`.
        norm: `l2`, `linf`, `l1` in units of the domain's scales (standard deviations, when inferred); `l0`; `cost`.
        eps: a radius whose robust accuracy is wanted; None for distances alone.
        seed: of everything random.
        stop: decides about the accuracy at `eps`, block by block on samples in random order; only with `eps`.
        folder: of a checkpoint, from which an interrupted run goes on.
        first: attacks that come before all others, such as a `Replay`.
        workers: processes; the results are those of one. A budget of queries cannot be shared among them.
    """

    preset: str = "standard"
    norm: str = "l2"
    eps: float | None = None
    seed: int = 0
    stop: StopRule | None = None
    folder: Path | None = None
    first: tuple[Attack, ...] = ()
    workers: int = 1


@dataclass
class Smallest:
    """What was found for each sample, in the order given.

    Args:
        status: `(n,)` int64, indexes `cascade.STATUSES`; *broken*: a change was found, whatever its size.
        by: `(n,)` the stage that found the smallest change, -1 where there is none.
        x: `(n, columns)` the verified example, or the sample itself.
        size: `(n,)` its distance; infinite where there is none.
        cost: `(n, stages)` what each stage took to bring it within the radius, as `budget.Meter` counts.
        stages: what each stage did; `survivors_out` of them are not broken within the radius (or at all, without one).
        problem: target, domain, norm and scale.
        spend: all of it.
        done: `(n,)` bool: attacked to the end by every stage, with an answer to every query; of others the size is what was
            found so far.
        stopped: why not all samples were attacked to the end.
        seen: `(n,)` bool: those that were taken before the stop rule decided.
        notes: what a reader has to know before believing it.
    """

    status: torch.Tensor
    by: torch.Tensor
    x: torch.Tensor
    size: torch.Tensor
    cost: torch.Tensor
    done: torch.Tensor
    stages: list[StageResult]
    problem: Problem
    spend: Spend
    seconds: float = 0.0
    stopped: str = ""
    seen: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    notes: tuple[str, ...] = ()


def smallest(
    target: Counting,
    data: Dataset,
    domain: TableDomain,
    options: TableOptions,
    *,
    pool: Dataset | None = None,
    tick: Callable[[int], None] | None = None,
) -> Smallest:
    """Find the smallest allowed change of each sample that makes the target decide otherwise.

    Args:
        target: the model, counted.
        data: samples, labelled as the target numbers its classes.
        domain: what may change, and how.
        options: what to measure.
        pool: more labelled rows of the same columns, where attacks may begin; `data` itself without.
        tick: called with the number of samples done.

    Raises:
        UsageError: a stop rule without a radius, no attack for this norm, or a checkpoint of another run.
        InputError: samples outside the domain, or of another shape than the target's.
    """
    started = time.perf_counter()
    if options.stop is not None and options.eps is None:
        msg = "a stop rule needs a radius to decide about"
        raise UsageError(msg)
    alone(target, options.workers)
    problem = _problem(target, domain, options, data.x)
    rows = pool if pool is not None and len(pool) else data
    before = target.spend.copy()
    trees, why = local_trees(target, rows.x, data.names)
    attacks = (*options.first, *table_stages(options.preset, (rows.x, rows.y), trees))
    stages = _stages(attacks, problem)
    _refuse(problem, data, stages)
    n = len(data)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(options.seed))
    found = _nothing(problem, stages, data.x)
    found.spend = target.spend.since(before)
    checkpoint = None if options.folder is None else Checkpoint(options.folder, _fingerprint(attacks, problem, data, options))
    places = [order[block.start : block.stop] for block in blocks(n, _block_size(options))]
    work = [(data.x[at].numpy(), data.y[at].numpy()) for at in places]
    done = parts(_block, (attacks, problem, options.eps), work, checkpoint=checkpoint, workers=options.workers)
    with closing(done):
        for at, part in zip(places, done, strict=False):  # a stop rule may end it
            _take(found, part, at)
            if tick is not None:
                tick(len(at))
            if found.stopped or (options.stop is not None and _decided(options.stop, found, at, options.eps)):
                break
    if trees is None:
        found.stages.append(StageResult("trees", "decision", {}, skipped=why))
    found.notes = _doubts(found, len(rows.y.unique()))
    found.seconds = time.perf_counter() - started
    return found


def _problem(target: Counting, domain: TableDomain, options: TableOptions, x: torch.Tensor) -> Problem:
    scale = domain.scale(x) if options.norm in ("l2", "linf", "l1") else None
    eps = None if options.stop is None else options.eps  # without a rule, the smallest change is wanted, whatever the radius
    return Problem(target, domain, norm=options.norm, eps=eps, seed=options.seed, scale=scale)


def _nothing(problem: Problem, stages: list[StageResult], x: torch.Tensor) -> Smallest:
    n = len(x)
    none = torch.zeros(n, dtype=torch.bool)
    far = torch.full((n,), torch.inf, dtype=torch.float64)
    places = torch.full((n,), UNFINISHED), torch.full((n,), -1)
    cost = torch.full((n, len(stages)), NOT_GIVEN)
    return Smallest(*places, x.clone(), far, cost, none, stages, problem, Spend(), seen=none.clone())


def _stages(attacks: tuple[Attack, ...], problem: Problem) -> list[StageResult]:
    made = []
    offers = ACCESS.index(problem.target.access)
    for attack in attacks:
        stage = StageResult(attack.id, attack.access, describe(attack))
        if ACCESS.index(attack.access) > offers:
            stage.skipped = f"takes {attack.access} access; the target offers {problem.target.access}"
        elif problem.norm not in attack.norms:
            stage.skipped = f"is not defined for {problem.norm}"
        made.append(stage)
    return made


def _refuse(problem: Problem, data: Dataset, stages: list[StageResult]) -> None:
    if all(stage.skipped for stage in stages):
        msg = f"no attack applies: {'; '.join(f'{stage.id} {stage.skipped}' for stage in stages)}"
        raise UsageError(msg)
    if tuple(data.shape) != tuple(problem.target.shape) or len(data.x) != len(data.y):
        msg = f"samples of shape {tuple(data.shape)} do not fit a target of shape {tuple(problem.target.shape)}"
        raise InputError(msg)
    outside = int(problem.domain.violations(data.x, data.x).sum()) if len(data) else 0
    if outside:
        msg = f"{outside} of {len(data)} samples lie outside the domain as they are"
        raise InputError(msg, help="correct the domain, or leave these samples out")


def _fingerprint(attacks: tuple[Attack, ...], problem: Problem, data: Dataset, options: TableOptions) -> dict[str, object]:
    return {
        "plan": f"table-{options.preset}", "stages": [describe(attack) for attack in attacks], "norm": problem.norm,
        "eps": options.eps, "seed": options.seed, "block": _block_size(options),
        "gate": options.stop is not None, "data": data.digest, "rows": data.rows.tolist(),
        "target": identity_of(problem.target), "domain": getattr(problem.domain, "digest", ""), "stored": STORED,
    }  # fmt: skip


def _block_size(options: TableOptions) -> int:
    return BLOCK if options.stop is None else GATE_BLOCK


def _block(held: tuple[tuple[Attack, ...], Problem, float | None], number: int, samples: tuple[np.ndarray, np.ndarray]) -> Part:
    """Attack one block with all stages; return arrays by name."""
    attacks, problem, eps = held
    x, labels = (torch.from_numpy(part) for part in samples)
    before, n = _spend(problem), len(x)
    status, by = torch.full((n,), UNFINISHED), torch.full((n,), -1)
    best, size = x.clone(), torch.full((n,), torch.inf, dtype=torch.float64)
    cost = torch.full((n, len(attacks)), NOT_GIVEN)
    stages, stopped, through = _stages(attacks, problem), "", torch.ones(n, dtype=torch.bool)
    silent = before.unanswered
    try:
        decided = problem.target.decide(x)
        status[problem.fooled(decided, labels) | (decided < 0)] = WRONG
        silent = _spend(problem).unanswered
        for index, (attack, stage) in enumerate(zip(attacks, stages, strict=True)):
            # Where a rule decides about a radius, what is broken within it needs no smaller change.
            wanted = standing(size, problem.eps) if problem.eps is not None else torch.ones_like(through)
            rest = ((status != WRONG) & wanted).nonzero()[:, 0]
            if stage.skipped or not len(rest):
                continue
            stage.survivors_in = int(standing(size[rest], eps).sum())
            cost[rest, index] = STOOD
            found, verified, stopped = _stage(attack, problem, stage, (x[rest], labels[rest], number), eps)
            within = verified & ~standing(found.size.double(), eps)
            cost[rest, index] = spent_on(found, within, stage, problem)
            nearer = verified & (found.size.double() < size[rest])
            hit = rest[nearer]
            status[hit], by[hit], best[hit], size[hit] = BROKEN, index, found.x[nearer], found.size[nearer].double()
            stage.survivors_out = int(standing(size[rest], eps).sum())
            through[rest] &= torch.zeros_like(verified) if found.finished is None else found.finished
            if stopped:
                break
    except (InputError, BackendError) as exc:  # in the first look: the same as in the middle of an attack
        stopped = str(exc)
    # A model that falls silent where it is attacked was not beaten, and nobody knows what it would have said.
    done = through if not stopped and _spend(problem).unanswered == silent else torch.zeros_like(through)
    status[(status == UNFINISHED) & done] = ROBUST
    arrays = {"status": status, "by": by, "x": best, "size": size, "cost": cost, "done": done | (status == WRONG)}
    return {
        **{name: value.numpy() for name, value in arrays.items()},
        "stages": np.array(json.dumps([asdict(stage) for stage in stages])),
        "spend": np.array(json.dumps(vars(_spend(problem).since(before)))),
        "stopped": np.array(stopped),
    }


def standing(size: torch.Tensor, eps: float | None) -> torch.Tensor:
    """Tell for which distances `(n,)` (infinite: nothing was found) a sample stands at a radius; without one, at any."""
    return size.isinf() if eps is None else ~(size <= eps)


def _stage(
    attack: Attack, problem: Problem, stage: StageResult, samples: tuple[torch.Tensor, torch.Tensor, int], eps: float | None
) -> tuple[Found, torch.Tensor, str]:
    """Run one attack; return what it found, what of that is verified, and why it stopped."""
    x, labels, block = samples
    before, started = _spend(problem), time.perf_counter()
    found = attack_block(attack, problem, x, labels, block=block, within=eps)
    claimed, stopped = found.success.nonzero()[:, 0], found.stopped
    verified = torch.zeros_like(found.success)
    anywhere = Problem(problem.target, problem.domain, norm=problem.norm, seed=problem.seed, scale=problem.scale)
    try:
        verified[claimed] = check(anywhere, found.x[claimed], x[claimed], labels[claimed])
    except (InputError, BackendError) as exc:  # no budget or no answer for a look: claims that nobody checked are none
        stopped = stopped or str(exc)
    stage.refuted = int((found.success & ~verified).sum())
    stage.seconds, stage.spend = time.perf_counter() - started, _spend(problem).since(before)
    return found, verified, stopped


def _take(found: Smallest, part: Part, at: torch.Tensor) -> None:
    """Put the results of a block in their places."""
    for name in ("status", "by", "x", "size", "cost", "done"):
        getattr(found, name)[at] = torch.from_numpy(part[name])
    found.seen[at] = True
    found.stopped = str(part["stopped"])
    found.spend = _sum(found.spend, json.loads(str(part["spend"])))
    for stage, counted in zip(found.stages, json.loads(str(part["stages"])), strict=True):
        for name in ("survivors_in", "survivors_out", "refuted", "seconds"):
            setattr(stage, name, getattr(stage, name) + counted[name])
        stage.unit, stage.longest = stage.unit or counted["unit"], max(stage.longest, counted["longest"])
        stage.spend = _sum(stage.spend, counted["spend"])


def _sum(spend: Spend, more: dict[str, int]) -> Spend:
    return Spend(*(now + more[name] for name, now in vars(spend).items()))


def _decided(rule: StopRule, found: Smallest, at: torch.Tensor, eps: float | None) -> bool:
    """Show the samples of a block to the rule, without those that nobody can judge; tell whether it has decided."""
    for place in at.tolist():
        if rule.decision() != "inconclusive":
            break
        stands = int(found.status[place]) != WRONG and bool(standing(found.size[place], eps))
        if not stands or bool(found.done[place]):
            rule.see(stands)
    return rule.decision() != "inconclusive"


def _doubts(found: Smallest, classes: int) -> tuple[str, ...]:
    """Return what a reader has to know before believing the figures."""
    notes = []
    seen = found.seen
    unfinished = int((~found.done & seen).sum())
    if unfinished:
        why = found.stopped or f"the target gave no answer to {found.spend.unanswered} of {found.spend.queries} queries"
        notes.append(f"{unfinished} of {int(seen.sum())} samples were not attacked to the end: {why}")
    elif found.spend.unanswered:
        asked = f"{found.spend.unanswered} of {found.spend.queries} queries"
        notes.append(f"the model gave no answer (NaN) to {asked}: samples without one count as wrong")
    attacked = seen & (found.status != WRONG)
    if bool(attacked.any()) and not bool((found.status[attacked] == BROKEN).any()) and not unfinished:
        notes.append("no input was found that the model decides otherwise: it may be constant, which is no robustness")
    if classes < 2:  # noqa: PLR2004 - of labels
        notes.append("all samples have one label: attacks had no rows of another to begin at")
    return tuple(notes)


def _spend(problem: Problem) -> Spend:
    spend: Spend | None = getattr(problem.target, "spend", None)
    return Spend() if spend is None else spend.copy()
