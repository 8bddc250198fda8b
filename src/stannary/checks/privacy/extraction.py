"""Extraction: how good a copy of the model can be had for how many queries, as a curve of fidelity over the budget.

Fidelity is the share of inputs, none of which was asked, on which the copy decides as the target does. Every budget is what the
target's counter says was asked; what is asked to judge the copy is not among it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from stannary.checks.privacy.linear_solving import solve_linear
from stannary.checks.privacy.seeds import generator
from stannary.checks.privacy.surrogates import Surrogate, network, train_surrogate
from stannary.checks.privacy.tree_solving import solve_tree
from stannary.checks.target.card import CurvePoint
from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import BudgetSpent, Target
from stannary.checks.target.statistics import Rate, rate
from stannary.core.errors import UsageError

__all__ = ["BUDGETS", "STRATEGIES", "Copied", "Extraction", "extract"]

BUDGETS = (100, 500, 2000, 5000)
_ASKED = 1024
_SEED_SHARE = 0.1  # of the greatest budget: JBDA's first samples
_MOST_SEEDS = 200
_JBDA_STEPS = 400
_STEP = 0.1  # of a feature's spread: Papernot's lambda


@dataclass(frozen=True)
class Copied:
    """One copy: how it was made, with how many queries, and how faithful it is. `exact`: equations or paths were solved."""

    strategy: str
    queries: int
    fidelity: Rate
    surrogate: str
    cpu_s: float
    exact: bool = False


@dataclass(frozen=True)
class Extraction:
    """All copies, and of every budget the best: what the attacker has who asks no more."""

    copies: tuple[Copied, ...]
    judged: int  # queries that judged them
    notes: tuple[str, ...] = ()

    @property
    def curve(self) -> tuple[CurvePoint, ...]:
        """Return the most faithful copy for each number of queries, by the value of its fidelity; it never falls."""
        points: list[CurvePoint] = []
        for one in sorted(self.copies, key=lambda copy: (copy.queries, -copy.fidelity.value)):
            best = max((points[-1].accuracy if points else one.fidelity, one.fidelity), key=lambda found: found.value)
            if points and points[-1].eps == one.queries:
                continue
            points.append(CurvePoint(eps=one.queries, accuracy=best))
        return tuple(points)


def extract(
    target: Target,
    pool: torch.Tensor,
    held: torch.Tensor,
    *,
    budgets: tuple[int, ...] = BUDGETS,
    strategies: tuple[str, ...] = (),
    seed: int = 0,
) -> Extraction:
    """Copy a model by its answers alone.

    Args:
        target: the model, or the counter around it; asked for scores if it gives any, else for labels.
        pool: inputs `(n, *shape)` that the attacker has, of no known label. More are made of them by mixing when they run out.
        held: inputs `(m, *shape)` that judge the copies.
        budgets: queries after which copies are made.
        strategies: names out of `STRATEGIES`; all by default.
        seed: the result repeats.

    Raises:
        UsageError: an unknown strategy, no budgets, or no inputs.
    """
    unknown = [name for name in strategies if name not in STRATEGIES]
    if unknown or not budgets or min(budgets) < 1 or len(pool) < 2 or not len(held):  # noqa: PLR2004 - a mix takes two
        wrong = f"no such strategy: {', '.join(unknown)} (there are {', '.join(STRATEGIES)})" if unknown else "no inputs or budgets"
        raise UsageError(wrong)
    counted = target if isinstance(target, Counting) else Counting(target)
    truth = torch.cat([counted.decide(part) for part in held.to(counted.device).split(_ASKED)])
    held, truth = held.to(counted.device)[truth >= 0], truth[truth >= 0]
    run = _Run(counted, pool.to(counted.device), held, truth, tuple(sorted(set(budgets))), seed)
    notes = []
    for name in strategies or STRATEGIES:
        note = STRATEGIES[name](run)
        if note:
            notes.append(f"{name}: {note}")
    return Extraction(tuple(run.copies), len(truth), tuple(notes))


class _Run:
    """What strategies share: the answers, and the judging of copies."""

    def __init__(
        self, target: Counting, pool: torch.Tensor, held: torch.Tensor, truth: torch.Tensor, budgets: tuple[int, ...], seed: int
    ) -> None:
        self.target, self.pool, self.held, self.truth = target, pool, held, truth
        self.budgets, self.seed = budgets, seed
        self.copies: list[Copied] = []
        flat = pool.flatten(1).double()
        self.low, self.high = (end.reshape(pool.shape[1:]).to(pool.dtype) for end in (flat.amin(0), flat.amax(0)))

    def ask(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers as shares of the classes `(n, classes)`; NaN where there was none. Raises BudgetSpent."""
        parts = []
        for part in x.split(_ASKED):
            if self.target.access == "decision":
                labels = self.target.decide(part)
                shares = torch.nn.functional.one_hot(labels.clamp_min(0), self.target.classes).double()
                parts.append(shares.masked_fill((labels < 0)[:, None], torch.nan))
            else:
                parts.append(self.target.logits(part).double().softmax(1))
        return torch.cat(parts)

    def judge(self, strategy: str, copy: Surrogate, context: tuple[int, str, float], *, exact: bool = False) -> None:
        """Note how faithful a copy is."""
        queries, kind, began = context
        hits = int((copy.decide(self.held).to(self.truth.device) == self.truth).sum())
        self.copies.append(Copied(strategy, queries, rate(hits, len(self.truth)), kind, time.process_time() - began, exact))


def _knockoff(run: _Run) -> str:
    """Ask for what the attacker has, at random, and train on the answers (Orekondy et al. 2019)."""
    x = _queries(run.pool, max(run.budgets), run.seed)
    began, before = time.process_time(), run.target.spend.queries
    answers: list[torch.Tensor] = []
    done = 0
    for budget in run.budgets:
        try:
            answers.append(run.ask(x[done:budget]))
        except BudgetSpent:
            return f"the budget of queries ended before {budget}"
        done = budget
        shares = torch.cat(answers)
        known = shares.isfinite().all(1)
        if int(known.sum()) < 2:  # noqa: PLR2004 - nothing to learn from
            continue
        copy, kind = train_surrogate(x[:budget][known], shares[known], run.seed)
        run.judge("knockoff", copy, (run.target.spend.queries - before, kind, began))
    return ""


def _queries(pool: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Return the pool in random order, then mixtures of two of it (Zhang et al. 2018), as many as are wanted."""
    draw = generator(seed, "pool")
    order = torch.randperm(len(pool), generator=draw)
    own = pool[order.to(pool.device)[:count]]
    lacking = count - len(own)
    if lacking <= 0:
        return own
    first, second = (torch.randint(len(pool), (lacking,), generator=draw).to(pool.device) for _ in range(2))
    part = torch.rand(lacking, generator=draw, dtype=torch.float64).to(pool.device, pool.dtype)
    part = part.reshape(-1, *[1] * (pool.ndim - 1))
    return torch.cat((own, part * pool[first] + (1 - part) * pool[second]))


def _jbda(run: _Run) -> str:
    """Start with a few inputs, and ask for those by which the copy's answer changes most (Papernot et al. 2017)."""
    began, before = time.process_time(), run.target.spend.queries
    most = max(run.budgets)
    start = max(2, min(_MOST_SEEDS, int(_SEED_SHARE * most), len(run.pool), run.budgets[0]))
    x = _queries(run.pool, start, run.seed)
    step = (_STEP * 4) * run.pool.flatten(1).double().std(0).reshape(run.pool.shape[1:]).to(run.pool.dtype)
    draw = generator(run.seed, "jbda")
    try:
        shares = run.ask(x)
        for budget in run.budgets:
            while len(x) < budget:
                known = shares.isfinite().all(1)
                if int(known.sum()) < 2:  # noqa: PLR2004 - nothing to learn from
                    return "the target gives no answers"
                copy = network(x[known], shares[known], run.seed, _JBDA_STEPS)
                at = torch.randperm(len(x), generator=draw)[: min(len(x), budget - len(x))].to(x.device)
                new = (x[at] + step * _rise(copy, x[at])).clamp(run.low, run.high)
                x, shares = torch.cat((x, new)), torch.cat((shares, run.ask(new)))
            known = shares.isfinite().all(1)
            copied, kind = train_surrogate(x[known], shares[known], run.seed)
            run.judge("jbda", copied, (run.target.spend.queries - before, kind, began))
    except BudgetSpent:
        return f"the budget of queries ended after {run.target.spend.queries - before}"
    return ""


def _rise(copy: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return the sign of the gradient of the copy's best class, `(n, *shape)`."""
    inputs = x.detach().clone().requires_grad_(True)  # noqa: FBT003 - torch's
    with torch.enable_grad():
        best = copy(inputs).amax(1).sum()
        (grad,) = torch.autograd.grad(best, inputs)
    return grad.sign()


def _equations(run: _Run) -> str:
    """Solve for a linear model's weights (`linear_solving`)."""
    if run.target.access == "decision":
        return "takes scores, and the target gives labels alone"
    began, before = time.process_time(), run.target.spend.queries
    try:
        found = solve_linear(run.target, run.pool, seed=run.seed)
    except BudgetSpent:
        return "the budget of queries ended"
    if found is None:
        return f"not a linear model (after {run.target.spend.queries - before} queries)"
    run.judge("equations", found, (found.queries, "equations", began), exact=True)
    return ""


def _paths(run: _Run) -> str:
    """Find every leaf of a decision tree (`tree_solving`)."""
    began, before = time.process_time(), run.target.spend.queries
    probe = _queries(run.pool, 64, run.seed)
    try:
        said = run.ask(probe)
        if len(said.unique(dim=0)) > len(probe) // 2:
            return f"not a tree: nearly every input has its own answer (after {len(probe)} queries)"
        found = solve_tree(run.target, run.low, run.high, most_queries=max(run.budgets), seed=run.seed)
    except BudgetSpent:
        return "the budget of queries ended"
    queries = run.target.spend.queries - before
    if found is None:
        return f"no tree within {queries} queries"
    run.judge("paths", found, (queries, "tree", began), exact=found.exact)
    return found.note


STRATEGIES: dict[str, Callable[[_Run], str]] = {"knockoff": _knockoff, "jbda": _jbda, "equations": _equations, "paths": _paths}
