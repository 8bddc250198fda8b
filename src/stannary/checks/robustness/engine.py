"""The engine: batches, compaction of samples already fooled, refill, restarts and targets merged in one batch, counts.

An attack works on `Rows` of any mixture of samples and rounds, each at its own age, and says after each step which of its rows
are done. Everything else is here, so that every attack has it:

- a sample that was fooled leaves the batch at once, in all its rounds (where the attack looks for any success in the ball);
- rows that leave make room for the next ones, so that the batch never shrinks to a costly tail;
- samples are worked on in blocks of a fixed size with generators of their own: results do not depend on how many workers
  take the blocks, nor on an interruption between two of them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch

from stannary.checks.robustness.budget import Meter
from stannary.checks.robustness.rows import Problem, Rows, fresh
from stannary.checks.target.interface import Access, Spend
from stannary.core.errors import BackendError, InputError

__all__ = ["BLOCK", "Attack", "Found", "attack_block", "blocks", "run", "sizes"]

BLOCK = 512  # samples of a block
SLOTS = 200  # rows of a batch: 100 to 250 are the cheapest a sample on a CPU
WIDE = 4096  # both, on an accelerator
_REFILL = 0.75


class Attack(Protocol):
    """One attack: hyper-parameters only; all state is in `Rows`.

    `minimal`: it looks for the smallest change, and goes on after a success. `rounds`: restarts or target classes a sample.
    `steps`: no row is worked on longer, whatever the attack says of it: nothing here hangs.
    """

    id: str
    access: Access
    norms: tuple[str, ...]
    minimal: bool
    rounds: int
    steps: int

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Prepare new rows in place: starting points in `rows.x`, fields of its own."""
        ...

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Take one step in place, `rows.keep` what succeeds, return which rows are done, `(n,)` bool."""
        ...


@dataclass
class Found:
    """What an attack found for the samples of a block, in their order."""

    x: torch.Tensor  # (n, *shape): the best success, or the sample itself
    success: torch.Tensor  # (n,) bool
    size: torch.Tensor  # (n,): distance of the success in the problem's norm, inf where there is none
    spend: Spend = field(default_factory=Spend)
    seconds: float = 0.0
    stopped: str = ""  # why the attack did not go through with all samples
    finished: torch.Tensor | None = None  # (n,) bool: those that were attacked to the end; all, unless `stopped`
    meter: Meter | None = None  # of a block: what was spent on each sample


def blocks(count: int, size: int = BLOCK) -> Iterator[range]:
    """Yield the blocks in which samples are worked on."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))


def run(
    attack: Attack,
    problem: Problem,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    slots: int | None = None,
    block_size: int | None = None,
    tick: Callable[[int], None] | None = None,
) -> Found:
    """Attack samples `(n, *shape)` with labels `(n,)`, block by block, in this process."""
    parts: list[Found] = []
    wide, size = sizes(x.device.type)
    slots, block_size = slots or wide, block_size or size
    for number, block in enumerate(blocks(len(x), block_size)):
        at = slice(block.start, block.stop)
        parts.append(attack_block(attack, problem, x[at], labels[at], block=number, slots=slots))
        if tick is not None:
            tick(len(block))
    if not parts:
        return Found(x.clone(), labels != labels, x.new_zeros(0), finished=labels == labels)  # noqa: PLR0124 - none and all, of no sample
    spend = Spend(*(sum(values) for values in zip(*(vars(part.spend).values() for part in parts), strict=True)))
    return Found(
        torch.cat([part.x for part in parts]),
        torch.cat([part.success for part in parts]),
        torch.cat([part.size for part in parts]),
        spend,
        sum(part.seconds for part in parts),
        next((part.stopped for part in parts if part.stopped), ""),
        torch.cat([part.finished for part in parts if part.finished is not None]),
    )


def sizes(device: str) -> tuple[int, int]:
    """Return how many rows a batch has, and how many samples a block, on a kind of device."""
    return (SLOTS, BLOCK) if device == "cpu" else (WIDE, WIDE)


def attack_block(
    attack: Attack,
    problem: Problem,
    x: torch.Tensor,
    labels: torch.Tensor,
    *,
    block: int = 0,
    slots: int | None = None,
    within: float | None = None,
) -> Found:
    """Attack one block to its end, to the end of the budget, or to a target that failed.

    `within`: the radius whose first example the meter notes, where the attack looks for smaller ones; the problem's without it.
    """
    generator = torch.Generator(device=x.device)
    generator.manual_seed(_seed(problem.seed, attack.id, block))
    slots = slots or sizes(x.device.type)[0]
    n = len(x)
    found = Found(x.clone(), torch.zeros(n, dtype=torch.bool, device=x.device), x.new_full((n,), float("inf")))
    left = torch.full((n,), attack.rounds, device=x.device)  # rounds of each sample that are not over
    queue = [(round_, sample) for round_ in range(attack.rounds) for sample in range(n)]
    queue.reverse()
    found.meter = meter = Meter(n, x.device, problem.eps if within is None else within)
    before, started = _spend(problem), time.perf_counter()
    active = fresh(x[:0], labels[:0], labels[:0], labels[:0])
    try:
        while True:
            if queue and len(active) <= slots * _REFILL:
                pairs = _next(queue, slots - len(active), found, attack)
                if pairs:
                    begun = _started(attack, problem, generator, (x, labels, pairs))
                    meter.begun(begun)
                    active = active.join(begun)
            if not len(active):
                break
            done = attack.step(problem, active, generator)
            active.age += 1
            meter.stepped(active)
            done = done | (active.age >= attack.steps)
            leaving = done if attack.minimal else done | active.found
            if bool(leaving.any()):  # the one time a step that the host waits for an accelerator
                active = _depart(active, (done, leaving), found, left, minimal=attack.minimal)
    except (InputError, BackendError) as exc:  # the budget, or a target that no longer answers: what was found stands
        found.stopped = str(exc)
        _harvest(active, found)
    found.finished = left <= 0 if attack.minimal else (left <= 0) | found.success
    found.spend, found.seconds = _spend(problem).since(before), time.perf_counter() - started
    return found


def _depart(active: Rows, masks: tuple[torch.Tensor, torch.Tensor], found: Found, left: torch.Tensor, *, minimal: bool) -> Rows:
    """Take over what leaving rows found, and return the rows that stay: (done, leaving) are the masks."""
    done, leaving = masks
    _harvest(active.select(leaving), found)
    left.index_add_(0, active.sample, -done.to(left.dtype))
    over = leaving if minimal else leaving | found.success[active.sample]
    return active.select(~over)


def _started(
    attack: Attack, problem: Problem, generator: torch.Generator, work: tuple[torch.Tensor, torch.Tensor, list[tuple[int, int]]]
) -> Rows:
    """Return rows for (round, sample) pairs, prepared by the attack."""
    x, labels, pairs = work
    rounds, samples = (torch.tensor(column, device=x.device) for column in zip(*pairs, strict=True))
    rows = fresh(x[samples], labels[samples], samples, rounds)
    attack.init(problem, rows, generator)
    return rows


def _next(queue: list[tuple[int, int]], room: int, found: Found, attack: Attack) -> list[tuple[int, int]]:
    """Take the next (round, sample) pairs from the queue; later rounds of a sample that is fooled are not needed."""
    fooled = [] if attack.minimal or attack.rounds == 1 else found.success.tolist()
    taken: list[tuple[int, int]] = []
    while queue and len(taken) < room:
        pair = queue.pop()
        if not fooled or not fooled[pair[1]]:
            taken.append(pair)
    return taken


def _harvest(rows: Rows, found: Found) -> None:
    """Take over the best success of each sample: of several rounds the nearest, the first of equals."""
    hits = rows.select(rows.found)
    if not len(hits):
        return
    nearest = found.size.scatter_reduce(0, hits.sample, hits.size, "amin")
    hits = hits.select((hits.size == nearest[hits.sample]) & (hits.size < found.size[hits.sample]))
    index = torch.arange(len(hits), device=hits.size.device)
    first = torch.full_like(found.size, len(hits), dtype=torch.int64).scatter_reduce(0, hits.sample, index, "amin")
    hits = hits.select(index == first[hits.sample])
    found.x[hits.sample], found.size[hits.sample], found.success[hits.sample] = hits.best, hits.size, True


def _spend(problem: Problem) -> Spend:
    spend: Spend | None = getattr(problem.target, "spend", None)
    return Spend() if spend is None else spend.copy()


def _seed(seed: int, attack: str, block: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{attack}/{block}".encode()).digest()[:7], "big")
