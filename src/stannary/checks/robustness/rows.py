"""The state of an attack: a set of tensors with one row for each (sample, round) that is being worked on."""

from __future__ import annotations

from typing import Protocol, cast

import torch

from stannary.checks.robustness.geometry import onto_l1
from stannary.checks.target.interface import Domain, Target
from stannary.core.errors import UsageError

__all__ = ["NORMS", "Problem", "Rows", "distance", "fresh"]

NORMS = ("linf", "l2", "l1", "l0", "cost")


class Priced(Protocol):
    """A domain that knows what changes cost."""

    def cost(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return the cost of each change, `(n,)`."""
        ...


class Problem:
    """What is attacked and what counts as a success: target, domain, norm, radius.

    Args:
        target: the model, normally a `Counting` one.
        domain: where inputs may go.
        norm: `linf`, `l2`, `l1`, `l0`; or `cost` in a domain that has costs, for attacks that look for the smallest change.
        eps: the radius; None for attacks that look for the smallest change.
        targeted: success is to reach the given label, not to leave it.
        seed: of everything random.
        scale: the unit of each feature `(*shape)` in distances and the radius, as a table's standard deviations; None for 1.
    """

    def __init__(
        self,
        target: Target,
        domain: Domain,
        *,
        norm: str = "linf",
        eps: float | None = None,
        targeted: bool = False,
        seed: int = 0,
        scale: torch.Tensor | None = None,
    ) -> None:
        if norm not in NORMS:
            msg = f"no such norm: {norm} (there are {', '.join(NORMS)})"
            raise UsageError(msg)
        if norm == "cost" and not hasattr(domain, "cost"):
            msg = "this domain has no costs: give it columns, or take another norm"
            raise UsageError(msg)
        if eps is not None and not 0 < eps < float("inf"):
            msg = f"the radius is {eps}; it must be a positive number"
            raise UsageError(msg)
        if scale is not None and not bool((scale > 0).all() & scale.isfinite().all()):
            msg = "a feature's unit must be a positive number"
            raise UsageError(msg)
        self.target, self.domain, self.norm, self.eps, self.targeted, self.seed = target, domain, norm, eps, targeted, seed
        self.scale = scale

    def size(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return the distance of inputs `(n, *shape)` from their origins, in the norm and the units of the problem, `(n,)`."""
        if self.norm == "cost":
            return cast("Priced", self.domain).cost(x, origin)
        moved = x - origin if self.scale is None else (x - origin) / self.scale
        return distance(moved, torch.zeros_like(moved), self.norm)

    @property
    def unit(self) -> torch.Tensor | float:
        """The unit of each feature, to multiply a step of length 1 with."""
        return 1.0 if self.scale is None else self.scale

    def ball(self, x: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return `x` moved into the ball of radius `eps` around `origin`, then into the domain. Shapes `(n, *shape)`."""
        if self.eps is not None:
            if self.scale is None:
                x = origin + _shrink(x - origin, self.norm, self.eps)
            else:
                x = origin + _shrink((x - origin) / self.scale, self.norm, self.eps) * self.scale
        return self.domain.project(x, origin)

    def fooled(self, labels: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Tell which decisions `(n,)` are a success against the labels `wanted` `(n,)`; -1 (no answer) is none."""
        hit = labels == wanted if self.targeted else labels != wanted
        return hit & (labels >= 0)


class Rows:
    """Tensors of one first dimension, by name; attacks add their own.

    Those that every attack has:

    - `sample` `(n,)` int64: which sample of the block; `round` `(n,)`: which restart or target
    - `origin` `(n, *shape)`: the sample as given; `label` `(n,)`: its true label (or the wanted one of a targeted attack)
    - `x` `(n, *shape)`: where the attack is; `age` `(n,)`: steps since `init`
    - `best` `(n, *shape)`, `found` `(n,)` bool, `size` `(n,)`: the best success so far and its distance (inf: none)
    """

    def __init__(self, fields: dict[str, torch.Tensor]) -> None:
        self.__dict__.update(fields)

    def __len__(self) -> int:
        return len(self.sample)

    def __getattr__(self, name: str) -> torch.Tensor:
        raise AttributeError(name)

    def __setattr__(self, name: str, value: torch.Tensor) -> None:
        self.__dict__[name] = value

    def select(self, keep: torch.Tensor) -> Rows:
        """Return the rows that `keep` (bool or indices) names."""
        if keep.dtype == torch.bool:
            keep = keep.nonzero()[:, 0]  # once, not for every field
        return Rows({name: value.index_select(0, keep) for name, value in self.__dict__.items()})

    def join(self, other: Rows) -> Rows:
        """Return these rows followed by others that have the same fields."""
        if not len(self):
            return other
        return Rows({name: torch.cat((value, other.__dict__[name])) for name, value in self.__dict__.items()})

    def keep(self, x: torch.Tensor, success: torch.Tensor, problem: Problem, only: torch.Tensor | None = None) -> None:
        """Remember successes that are nearer than those before: `x` `(m, *shape)`, `success` `(m,)`, of the rows `only`."""
        hit = success.nonzero()[:, 0]
        if not len(hit):
            return
        rows = hit if only is None else only[hit]
        size = problem.size(x[hit], self.origin[rows])
        better = size < self.size[rows]
        rows, hit = rows[better], hit[better]
        self.best[rows], self.size[rows], self.found[rows] = x[hit], size[better], True


def fresh(origin: torch.Tensor, label: torch.Tensor, sample: torch.Tensor, round_: torch.Tensor) -> Rows:
    """Return rows that no attack has touched."""
    n = len(sample)
    return Rows({
        "sample": sample, "round": round_, "origin": origin, "label": label, "x": origin.clone(),
        "age": torch.zeros(n, dtype=torch.int64, device=origin.device), "best": origin.clone(),
        "found": torch.zeros(n, dtype=torch.bool, device=origin.device),
        "size": torch.full((n,), float("inf"), dtype=origin.dtype, device=origin.device),
    })  # fmt: skip


def distance(x: torch.Tensor, origin: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the distance of each sample `(n, *shape)` from its origin, `(n,)`; l0 is the number of features changed."""
    d = (x - origin).flatten(1)
    if norm == "linf":
        return d.abs().amax(1)
    if norm == "l2":
        return d.square().sum(1).sqrt()
    if norm == "l1":
        return d.abs().sum(1)
    return (d != 0).sum(1).to(x.dtype)


def _shrink(d: torch.Tensor, norm: str, eps: float) -> torch.Tensor:
    """Return the differences `(n, *shape)` scaled, clipped or thinned into the ball."""
    if norm == "linf":
        return d.clamp(-eps, eps)
    flat = d.flatten(1)
    if norm == "l2":
        size = flat.square().sum(1, keepdim=True).sqrt()
        return (flat * (eps / size.clamp_min(1e-12)).clamp_max(1)).reshape(d.shape)
    if norm == "l1":
        return onto_l1(flat, eps).reshape(d.shape)
    count = int(eps)
    kept = flat.abs().topk(min(count, flat.shape[1]), dim=1).indices
    return torch.zeros_like(flat).scatter(1, kept, flat.gather(1, kept)).reshape(d.shape)
