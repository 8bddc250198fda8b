"""Membership inference: can one tell from a model's answers whether a sample was in its training data?

The auditor owns the data, and so may do what the strongest attacker could: train shadow models on halves of the same
pool. What is measured is what the training gave away, not what one attacker happened to find out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from stannary.checks.privacy import roc, scores
from stannary.checks.privacy.result import AttackResult, PrivacyResult
from stannary.checks.privacy.scores import Confidences
from stannary.checks.privacy.shadows import Factory, Plan, confidences, shadow_confidences
from stannary.checks.target.counting import Counting
from stannary.checks.target.interface import Target
from stannary.core.errors import InputError, UsageError

__all__ = ["ATTACKS", "AuditOptions", "audit"]

_ASKED = 1024  # samples of a batch

# name: (score, whether it needs shadows)
ATTACKS: dict[str, tuple[Callable[[Confidences], torch.Tensor], bool]] = {
    "loss": (scores.loss, False),
    "lira": (scores.lira, True),
    "lira-offline": (scores.lira_offline, True),
    "rmia": (scores.rmia, True),
}


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How thorough an audit is.

    Args:
        attacks: names out of `ATTACKS`.
        shadows: models to train, an even number: 4 are enough for RMIA, 32 to 64 are usual for LiRA.
        rates: false-positive rates at which members are counted; each takes ten times its inverse of non-members.
        bootstrap: rounds for the interval of the area.
        workers: groups of shadows that are trained at one time.
        checkpoint: a folder in which trained shadows' confidences are kept, to go on after an interruption.
    """

    attacks: tuple[str, ...] = tuple(ATTACKS)
    shadows: int = 32
    rates: tuple[float, ...] = roc.RATES
    bootstrap: int = 1000
    workers: int = 1
    checkpoint: Path | None = None


Samples = tuple[torch.Tensor, torch.Tensor]


def audit(
    target: Target,
    members: Samples,
    nonmembers: Samples,
    factory: Factory | None = None,
    *,
    options: AuditOptions | None = None,
    seed: int = 0,
) -> PrivacyResult:
    """Attack `target` with every membership attack that can be run.

    Args:
        target: the model; one query a sample.
        members: inputs `(n, *shape)` and labels `(n,)` that it was trained on; a random sample of them will do.
        nonmembers: the same, of the same distribution, that it was not trained on.
        factory: how it was trained; without it only attacks that need no shadows are run.
        options: attacks, shadows, rates.
        seed: of everything random; the result repeats.

    Raises:
        UsageError: an unknown attack, a rate outside (0, 1), no samples, or samples that are in both groups.
        InputError: the target gives no answer (NaN, -1) for some samples.
    """
    options = options or AuditOptions()
    _check(options, members, nonmembers)
    target = target if isinstance(target, Counting) else Counting(target)
    before, began = target.spend.copy(), time.process_time()
    x, y = (torch.cat(pair).to(target.device) for pair in zip(members, nonmembers, strict=True))
    known = Confidences(_ask(target, x, y))
    asked = target.spend.since(before).queries
    skipped = [(name, "") for name in options.attacks]
    skipped = [(name, reason) for name, _ in skipped if (reason := _obstacle(name, target, factory))]
    shadow_s = 0.0
    runs = [name for name in options.attacks if name not in dict(skipped)]
    trained = 0
    if factory is not None and any(ATTACKS[name][1] for name in runs):
        started = time.process_time()
        plan = Plan(len(x), options.shadows, seed)
        found = shadow_confidences(factory, plan, (x, y), workers=options.workers, checkpoint=options.checkpoint)
        known = Confidences(known.target, found, plan.inside)
        shadow_s, trained = time.process_time() - started, plan.shadows
    results = tuple(_attack(name, known, len(members[0]), options, (seed, asked, shadow_s)) for name in runs)
    return PrivacyResult(
        subject=target.name, members=len(members[0]), nonmembers=len(nonmembers[0]), attacks=results, skipped=tuple(skipped),
        queries=asked, shadows=trained, stacked=bool(trained and factory is not None and factory.stacked),
        cpu_s=time.process_time() - began, seed=seed,
    )  # fmt: skip


def _check(options: AuditOptions, members: Samples, nonmembers: Samples) -> None:
    unknown = [name for name in options.attacks if name not in ATTACKS]
    if unknown or not options.attacks:
        msg = f"no such attack: {', '.join(unknown) or '(none given)'} (there are {', '.join(ATTACKS)})"
        raise UsageError(msg)
    if not all(0 < fpr < 1 for fpr in options.rates):
        msg = f"false-positive rates lie between 0 and 1, not {options.rates}"
        raise UsageError(msg)
    for name, (x, y) in (("members", members), ("non-members", nonmembers)):
        if len(x) < 2 or len(x) != len(y):  # noqa: PLR2004 - halves
            msg = f"{len(x)} inputs and {len(y)} labels of {name}: it takes two at least, and as many labels as inputs"
            raise UsageError(msg)
    rows = {row.tobytes() for row in members[0].cpu().numpy()}
    both = sum(row.tobytes() in rows for row in nonmembers[0].cpu().numpy())
    if both:
        msg = f"{both} of {len(nonmembers[0])} non-members are members, too"
        raise UsageError(
            msg, help="remove duplicates before the data is split: what the model learned of one, it knows of the other"
        )


def _obstacle(name: str, target: Target, factory: Factory | None) -> str:
    if ATTACKS[name][1] and factory is None:
        return "it takes shadow models, and no factory says how to train them"
    if ATTACKS[name][1] and target.access == "decision":
        return "it takes scores, and the target gives labels alone"
    return ""


def _ask(target: Target, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the target's confidences `(n, 2)`; of a target with decisions alone, whether it is right (the gap attack)."""
    parts = []
    for some, labels in zip(x.split(_ASKED), y.split(_ASKED), strict=True):
        if target.access == "decision":
            decided = target.decide(some)
            right = (decided == labels).double().masked_fill(decided < 0, torch.nan)  # no answer says nothing
            parts.append(torch.stack((right, right), 1))
        else:
            parts.append(confidences(target.logits(some), labels))
    found = torch.cat(parts).cpu()
    if found.isnan().any():
        msg = f"the model gives no answer for {int(found.isnan().any(1).sum())} of {len(found)} samples"
        raise InputError(msg, where=target.name)
    return found


def _attack(name: str, known: Confidences, members: int, options: AuditOptions, context: tuple[int, int, float]) -> AttackResult:
    seed, queries, shadow_s = context
    started = time.process_time()
    score, needs = ATTACKS[name]
    values = score(known)
    ours, theirs = values[:members], values[members:]
    return AttackResult(
        attack=name,
        auc=roc.area(ours, theirs, seed=seed, rounds=options.bootstrap),
        tpr=tuple(roc.at_rate(ours, theirs, fpr) for fpr in options.rates),
        advantage=roc.advantage(ours, theirs, seed=seed),
        roc=roc.curve(ours, theirs),
        queries=queries,
        shadows=len(known.shadows) if needs and known.shadows is not None else 0,
        cpu_s=time.process_time() - started + (shadow_s if needs else 0.0),
    )  # fmt: skip
