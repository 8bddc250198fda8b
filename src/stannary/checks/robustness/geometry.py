"""Directions, random points and projections that several attacks share. Rows are `(n, *shape)`, one result a row."""

from __future__ import annotations

import torch

__all__ = ["choose", "length", "onto_l1", "onto_l1_within", "onto_plane", "per_row", "random_offset", "steepest", "within"]

_TINY = 1e-12


def per_row(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return values `(n,)` with the trailing dimensions that multiply `like` `(n, *shape)` row by row."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def choose(rows: torch.Tensor, yes: torch.Tensor, no: torch.Tensor) -> torch.Tensor:
    """Return `yes` for the rows `(n,)` bool and `no` for the others: `where`, which on a CPU costs four times what copying does."""
    if no.device.type != "cpu":
        return torch.where(per_row(rows, no), yes, no)
    at = rows.nonzero()[:, 0]
    if len(at) == len(rows):
        return yes
    return no.index_copy(0, at, yes.index_select(0, at)) if len(at) else no


def steepest(grad: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the direction of length 1 in `linf` or `l2` along which a linear function with this gradient rises most; 0 for NaN."""
    grad = grad.nan_to_num(0.0)
    if norm == "linf":
        return grad.sign()
    return grad / per_row(grad.flatten(1).norm(dim=1).clamp_min(_TINY), grad)


def random_offset(like: torch.Tensor, norm: str, generator: torch.Generator, *, surface: bool = False) -> torch.Tensor:
    """Return random offsets of length up to 1, or on the surface of the `linf` or `l2` ball."""
    if norm == "linf":
        noise = torch.empty_like(like).uniform_(-1, 1, generator=generator)
        return noise / per_row(noise.flatten(1).abs().amax(1).clamp_min(_TINY), noise) if surface else noise
    noise = torch.empty_like(like).normal_(generator=generator)
    length = noise.flatten(1).norm(dim=1).clamp_min(_TINY)
    if not surface:
        length = length / torch.empty_like(length).uniform_(0, 1, generator=generator).clamp_min(_TINY)
    return noise / per_row(length, noise)


def onto_plane(
    x: torch.Tensor,
    normal: torch.Tensor,
    rise: torch.Tensor,
    bounds: tuple[torch.Tensor, torch.Tensor],
    norm: str,
    *,
    turns: int = 6,
) -> torch.Tensor:
    """Return the smallest change `(n, *shape)` in `linf` or `l2` by which `normal · change` becomes `rise` `(n,)` within bounds.

    How far the product gets is a concave function of the step length, made of straight pieces: Newton's method from 0 climbs to
    the answer without passing it, in a few turns and without the sorting that Croce and Hein's projection (2020, section 3.1)
    takes. Where the bounds make `rise` impossible, the change goes as far as they allow.
    """
    low, high = bounds
    slope = (normal * per_row(rise.sign(), normal)).nan_to_num(0.0)
    slope = slope.flatten(1)
    sign = slope.sign()
    up = sign.reshape(x.shape)
    room = ((high - x) * up.clamp_min(0) + (low - x) * up.clamp_max(0)).flatten(1).clamp_min_(0)  # in its direction
    size = slope.abs()
    scale = size.amax(1, keepdim=True).clamp_min_(_TINY)
    size = size / scale  # the scale of the gradient does not matter
    wanted = rise.abs()[:, None] / scale
    pace = sign.abs() if norm == "linf" else size
    length = torch.zeros_like(wanted)
    weight = size * pace
    for _ in range(turns):
        step = pace * length
        got = torch.minimum(step, room).mul_(size).sum(1, keepdim=True)
        free = (room - step).sign_().clamp_min_(0)  # 1 where there is room left: comparisons cost a CPU ten times as much
        gain = free.mul_(weight).sum(1, keepdim=True)
        length = length + torch.where(gain > _TINY, (wanted - got).clamp_min(0) / gain.clamp_min(_TINY), 0.0)
    return (sign * torch.minimum(pace * length, room)).reshape(x.shape)


def length(d: torch.Tensor, norm: str) -> torch.Tensor:
    """Return the length of each row `(n, *shape)` in `linf`, `l2` or `l1`, `(n,)`."""
    flat = d.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1)
    return flat.norm(dim=1) if norm == "l2" else flat.abs().sum(1)


def within(d: torch.Tensor, norm: str, radius: torch.Tensor) -> torch.Tensor:
    """Return differences `(n, *shape)` moved into balls in `linf`, `l2` or `l1` of a radius `(n,)` of their own."""
    limit = per_row(radius, d)
    if norm == "linf":
        return torch.maximum(torch.minimum(d, limit), -limit)
    if norm == "l2":
        return d * (limit / per_row(d.flatten(1).norm(dim=1).clamp_min(_TINY), d)).clamp_max(1)
    return onto_l1(d.flatten(1), radius[:, None]).reshape(d.shape)


def onto_l1(flat: torch.Tensor, radius: torch.Tensor | float) -> torch.Tensor:
    """Project rows `(n, features)` onto the l1 ball of a radius, one for all or `(n, 1)` (Duchi et al. 2008, figure 1)."""
    size = flat.abs()
    ordered = size.sort(1, descending=True).values
    sums = ordered.cumsum(1) - radius
    index = torch.arange(1, flat.shape[1] + 1, device=flat.device, dtype=flat.dtype)
    count = (ordered * index > sums).sum(1, keepdim=True).clamp_min(1)
    shift = (sums.gather(1, count - 1) / count).clamp_min(0)
    return torch.where(size.sum(1, keepdim=True) <= radius, flat, flat.sign() * (size - shift).clamp_min(0))


def onto_l1_within(flat: torch.Tensor, radius: torch.Tensor, bounds: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Project rows `(n, features)` onto the l1 ball of radius `(n,)` and bounds around 0 at once (Croce and Hein 2021, section 3).

    The answer is a soft threshold clipped to the bounds; the threshold is found by halving, to float32's last bits.
    """
    low, high = bounds
    size = flat.abs()
    room = torch.where(flat > 0, high, -low).clamp_min(0)
    least, most = torch.zeros_like(radius)[:, None], size.amax(1, keepdim=True)
    over = torch.minimum(size, room).sum(1, keepdim=True) > radius[:, None]
    for _ in range(24):
        middle = (least + most) / 2
        far = torch.minimum((size - middle).clamp_min(0), room).sum(1, keepdim=True) > radius[:, None]
        least, most = torch.where(far, middle, least), torch.where(far, most, middle)
    return flat.sign() * torch.minimum((size - torch.where(over, most, 0.0)).clamp_min(0), room)
