"""Square (Andriushchenko et al. 2020): random search with square patches, by scores alone."""

from __future__ import annotations

import functools

import torch

from stannary.checks.robustness.geometry import per_row
from stannary.checks.robustness.losses import margin
from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access
from stannary.checks.target.torch_model import labels_of

__all__ = ["Square"]

_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries: where the share of changed pixels is halved


class Square:
    """Change a random square of the image, and keep the change where the margin falls.

    Inputs that are no images `(channels, height, width)` are changed in a random subset of features of the same share. A change
    to what is there already is not asked again, so that a sample takes fewer queries than it may: of one channel, late, half.

    Args:
        queries: of each sample, at most; the schedule of square sizes is stretched or shrunk to it.
        share: of the pixels that a square covers at the beginning.
        rounds: restarts.
    """

    access: Access = "score"
    norms: tuple[str, ...] = ("linf", "l2")
    minimal = False

    def __init__(self, queries: int = 5000, *, share: float = 0.8, rounds: int = 1) -> None:
        self.id, self.steps, self.rounds = f"square-{queries}", queries, rounds
        self.queries, self.share = queries, share
        scaled = torch.arange(queries, dtype=torch.float64) * 10_000 / queries
        self._shares = share / 2.0 ** torch.bucketize(scaled, torch.tensor(_AT, dtype=torch.float64))

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:
        """Start with vertical stripes (linf) or a grid of tiles (l2)."""
        eps = problem.eps or 1.0
        shape = rows.x.shape
        if problem.norm == "linf":
            lines = (*shape[:2], 1, shape[3]) if len(shape) == 4 else shape  # noqa: PLR2004 - a batch of images
            rows.x = problem.ball(rows.origin + eps * problem.unit * _signs(lines, rows.x, generator), rows.origin)
        else:
            offset = _tiles(rows.x, generator) if len(shape) == 4 else _signs(shape, rows.x, generator)  # noqa: PLR2004
            rows.x = problem.ball(rows.origin + problem.unit * _of_length(offset, eps), rows.origin)
        rows.asked = torch.zeros_like(rows.age)
        rows.worst = rows.size.new_full((len(rows),), -torch.inf)
        rows.at = rows.x  # the best so far; `x` is what is asked next
        rows.differs = torch.ones_like(rows.found)  # from what was asked before

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:
        """Ask for the last proposals, keep those that raised the margin, and propose again."""
        self._ask(problem, rows)
        share = self._shares.to(rows.age.device)[rows.age.clamp_max(self.queries - 1)]
        propose = _propose_linf if problem.norm == "linf" else _propose_l2
        rows.x = propose(problem, rows, share, generator)
        rows.differs = (rows.x != rows.at).flatten(1).any(1)
        return rows.age >= self.queries - 1

    def _ask(self, problem: Problem, rows: Rows) -> None:
        """Ask for the proposals that change something, and keep those that raised the margin."""
        at = rows.differs.nonzero()[:, 0]
        rows.asked = rows.asked + rows.differs
        if not len(at):
            return
        x, label = (rows.x, rows.label) if len(at) == len(rows) else (rows.x[at], rows.label[at])
        logits = problem.target.logits(x)
        rows.keep(x, problem.fooled(labels_of(logits), label), problem, at)
        loss = margin(logits, label)
        loss = -loss if problem.targeted else loss
        better = (loss > rows.worst[at]).nonzero()[:, 0]  # false for NaN
        up = at[better]
        worst = rows.worst.to(loss.dtype)  # a library's scores are float64, also of float32 inputs
        rows.worst, rows.at = worst.index_copy(0, up, loss[better]), rows.at.index_copy(0, up, x[better])


def _signs(shape: tuple[int, ...], like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randint(0, 2, shape, generator=generator, device=like.device).to(like.dtype) * 2 - 1


def _of_length(offset: torch.Tensor, eps: float) -> torch.Tensor:
    return offset * (eps / per_row(offset.flatten(1).norm(dim=1).clamp_min(1e-12), offset))


def _side(share: torch.Tensor, height: int, width: int, least: int) -> torch.Tensor:
    """Return the side of a square that covers this share of the pixels, `(n,)` int64."""
    side = (share * height * width).sqrt().round().long()
    return side.clamp(min(least, height, width), max(min(height, width) - 1, 1))


def _place(side: torch.Tensor, like: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random upper left corners `(n,)` twice, and a mask `(n, 1, height, width)`, 1.0 in squares of these sides."""
    height, width = like.shape[2:]
    spot = torch.rand((2, len(like)), generator=generator, device=like.device)
    top = (spot[0] * (height - side + 1)).long()
    left = (spot[1] * (width - side + 1)).long()
    down = torch.arange(height, device=like.device) - top[:, None]
    along = torch.arange(width, device=like.device) - left[:, None]
    tall, broad = (((at >= 0) & (at < side[:, None])).to(like.dtype) for at in (down, along))
    return top, left, (tall[:, :, None] * broad[:, None, :])[:, None]


def _subset(share: torch.Tensor, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return masks like `like` of a random subset of features, at least one."""
    order = torch.rand(like.shape, generator=generator, device=like.device).flatten(1)
    limit = torch.maximum(share[:, None].to(order.dtype), order.amin(1, keepdim=True))
    return (order <= limit).reshape(like.shape)


def _propose_linf(problem: Problem, rows: Rows, share: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Put a square of each channel to one of the two ends of its interval."""
    eps = problem.eps or 1.0
    shape = rows.at.shape
    if len(shape) == 4:  # noqa: PLR2004 - a batch of images
        _, _, mask = _place(_side(share, shape[2], shape[3], 1), rows.at, generator)
        sign = _signs((*shape[:2], 1, 1), rows.at, generator)
    else:
        mask, sign = _subset(share, rows.at, generator).to(rows.at.dtype), _signs(shape, rows.at, generator)
    corner = rows.origin + eps * problem.unit * sign
    return problem.domain.project(torch.addcmul(rows.at, mask, corner - rows.at), rows.origin)  # of floats: cheaper than `where`


def _propose_l2(problem: Problem, rows: Rows, share: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move the length that one square has into another one, as a pattern of two humps of opposite signs (section 3.3 there)."""
    eps = problem.eps or 1.0
    offset = (rows.at - rows.origin) / problem.unit
    shape = offset.shape
    if len(shape) != 4:  # noqa: PLR2004 - a batch of images
        mask = _subset(share, offset, generator)
        size = per_row(offset.flatten(1).norm(dim=1), offset)
        fresh = torch.where(mask, _signs(shape, offset, generator) * size, offset)
        return problem.ball(rows.origin + problem.unit * _of_length(fresh, eps), rows.origin)
    side = _side(share, shape[2], shape[3], 3)
    side = torch.where(side % 2 == 0, side + 1, side).clamp_max(min(shape[2:]))
    top, left, here = _place(side, offset, generator)
    _, _, there = _place(side, offset, generator)
    length = offset.flatten(1).square().sum(1)
    freed = (offset * torch.maximum(here, there)).flatten(2).square().sum(2)
    budget = (((eps**2 - length).clamp_min(0) / shape[1])[:, None] + freed).sqrt()[:, :, None, None]
    own = offset * here
    hump = _pattern(side, (top, left), offset, generator) * _signs((*shape[:2], 1, 1), offset, generator)
    bump = hump + own / own.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None]
    bump = bump * here
    bump = bump / bump.flatten(2).norm(dim=2).clamp_min(1e-12)[:, :, None, None] * budget
    moved = bump + offset * ((1 - here) * (1 - there))
    return problem.ball(rows.origin + problem.unit * _of_length(moved, eps), rows.origin)


def _pattern(
    side: torch.Tensor, corner: tuple[torch.Tensor, torch.Tensor], like: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Return the pattern of length 1 at its place, `(n, 1, height, width)`, in a random one of two directions."""
    height, width = like.shape[2:]
    table = _patterns(height, width, like.device, like.dtype)
    down = (torch.arange(height, device=like.device) - corner[0][:, None]).clamp_min(0)[:, :, None]
    along = (torch.arange(width, device=like.device) - corner[1][:, None]).clamp_min(0)[:, None, :]
    turned = torch.randint(0, 2, (len(like), 1, 1), generator=generator, device=like.device).bool()
    down, along = torch.where(turned, along, down), torch.where(turned, down, along)
    down, along = down.clamp_max(height - 1), along.clamp_max(width - 1)
    return table[side[:, None, None], down, along][:, None]


@functools.cache
def _patterns(height: int, width: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return the patterns of all sides, `(sides, height, width)`, each in the upper left corner."""
    table = torch.zeros((min(height, width) + 1, height, width), dtype=dtype)
    for size in range(1, len(table)):
        table[size, :size, :size] = _humps(size) if size > 1 else 1.0
    return table.to(device)


def _humps(size: int) -> torch.Tensor:
    """Return two rectangles of concentric rings side by side, with opposite signs, `(size, size)` of length 1."""
    half = size // 2
    both = torch.zeros(size, size)
    both[:half] = _hump(half, size)
    both[half:] = -_hump(size - half, size)
    return both / both.norm().clamp_min(1e-12)


def _hump(height: int, width: int) -> torch.Tensor:
    rings = torch.zeros(height, width)
    top, left = height // 2, width // 2
    for ring in range(max(top + 1, left + 1)):
        rings[max(top - ring, 0) : top + ring + 1, max(left - ring, 0) : left + ring + 1] += 1 / (ring + 1) ** 2
    return rings / rings.norm().clamp_min(1e-12)


def _tiles(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a grid of five by five patterns with random signs, `(n, channels, height, width)`."""
    height, width = like.shape[2:]
    size = max(min(height, width) // 5, 1)
    grid = torch.zeros_like(like)
    pattern = _humps(size).to(like) if size > 1 else torch.ones((1, 1), dtype=like.dtype, device=like.device)
    for top in range((height - size * (height // size)) // 2, height - size + 1, size):
        for left in range((width - size * (width // size)) // 2, width - size + 1, size):
            grid[:, :, top : top + size, left : left + size] = pattern * _signs((*like.shape[:2], 1, 1), like, generator)
    return grid
