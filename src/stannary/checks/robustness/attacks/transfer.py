"""Transfer: examples are made on a surrogate that shows its gradients, and the target is only asked about them."""

from __future__ import annotations

import torch

from stannary.checks.robustness.geometry import per_row, steepest
from stannary.checks.robustness.losses import margin
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access, Target
from stannary.checks.target.torch_model import TorchTarget

__all__ = ["Transfer", "imitate"]

_EVERY = 5
_EPOCHS = 40


class Transfer:
    """Ascend the margin of a surrogate with momentum (MI-FGSM, Dong et al. 2018); ask the target every fifth step: 1 query.

    Args:
        surrogate: white-box, with the classes and the shape of the target. Its passes are not the target's and are not counted.
        steps: on the surrogate.
        momentum: of the directions before.
    """

    access: Access = "decision"
    norms: tuple[str, ...] = ("linf", "l2")
    minimal = False
    rounds = 1

    def __init__(self, surrogate: Target, steps: int = 40, *, momentum: float = 1.0) -> None:
        self.id = f"transfer-{surrogate.name}-{steps}"
        self.steps, self.momentum = steps + 1, momentum
        self._surrogate, self._last = surrogate, steps

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Start at the sample."""
        rows.way, rows.asked = torch.zeros_like(rows.x), torch.zeros_like(rows.age)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Move on the surrogate, and ask the target from time to time."""
        due = ((rows.age % _EVERY == 0) & (rows.age > 0)) | (rows.age >= self._last)
        at = due.nonzero()[:, 0]
        rows.asked = rows.asked + due
        if len(at):
            rows.keep(rows.x[at], problem.fooled(problem.target.decide(rows.x[at]), rows.label[at]), problem, at)
        sign = -1 if problem.targeted else 1
        _, _, grad = self._surrogate.gradient(rows.x, lambda out: sign * margin(out, rows.label))
        grad = grad.nan_to_num(0.0) * problem.unit
        rows.way = self.momentum * rows.way + grad / per_row(grad.flatten(1).abs().mean(1).clamp_min(1e-30), grad)
        pace = 2.5 * (problem.eps or 1.0) / self._last
        rows.x = problem.ball(rows.x + pace * problem.unit * steepest(rows.way, problem.norm), rows.origin)
        return rows.age >= self._last


def imitate(target: Target, x: torch.Tensor, *, noise: float = 0.1, seed: int = 0) -> TorchTarget:
    """Return a small network that was trained to decide as the target does on `x` `(n, *shape)` and on noisy copies of it.

    Costs two decisions of the target a sample. Images `(channels, height, width)` get two convolutions, all else two layers.
    The copies are drawn with `noise` standard deviations of the features and may lie outside a domain: they are for training, and
    the target sees only samples as given and their mirror of half that noise, clipped to the range of each feature.
    """
    generator = torch.Generator(device=x.device).manual_seed(seed)
    wide = x.std(0, keepdim=True).clamp_min(1e-12) * noise
    low, high = x.amin(0), x.amax(0)
    spread = torch.empty_like(x).normal_(generator=generator) * wide / 2
    copies = torch.cat((x, torch.minimum(torch.maximum(x + spread, low), high)))
    labels = target.decide(copies)
    copies, labels = copies[labels >= 0], labels[labels >= 0]
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        net = _network(tuple(x.shape[1:]), target.classes).to(device=x.device, dtype=x.dtype)
        optimizer = torch.optim.Adam(net.parameters(), 2e-3)
        for _ in range(_EPOCHS):
            for part in torch.randperm(len(copies)).to(x.device).split(64):
                batch = copies[part] + torch.empty_like(copies[part]).normal_(generator=generator) * wide
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(batch), labels[part]).backward()
                optimizer.step()
    return TorchTarget(net, tuple(x.shape[1:]), name="surrogate", device=target.device)


def _network(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    if len(shape) == 3 and min(shape[1:]) >= 8:  # noqa: PLR2004 - an image
        layers = [
            torch.nn.Conv2d(shape[0], 16, 3, stride=2, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, stride=2, padding=1),
            torch.nn.ReLU(),
        ]
    head = [torch.nn.Flatten(), torch.nn.LazyLinear(64), torch.nn.ReLU(), torch.nn.Linear(64, classes)]
    net = torch.nn.Sequential(*layers, *head)
    net(torch.zeros((1, *shape)))
    return net
