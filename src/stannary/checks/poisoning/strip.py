"""STRIP (Gao et al. 2019): other inputs are laid over a row, and a trigger still decides; what is left of a clean row does not."""

from __future__ import annotations

import torch

from stannary.checks.poisoning.seeds import generator
from stannary.checks.poisoning.view import View
from stannary.core.errors import InputError

__all__ = ["mixed", "strip"]

_BATCH = 512


def mixed(x: torch.Tensor, other: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Lay `other` over `x`, both `(m, *shape)`: values are added; of a table, half of the columns are replaced."""
    if x.ndim == 2:  # noqa: PLR2004 - rows and columns: sums of codes would mean nothing
        taken = (torch.rand(x.shape, generator=draw) < 0.5).to(x.device)  # noqa: PLR2004 - a half
        return torch.where(taken, other, x)
    return x + other


def strip(view: View, overlays: int = 16) -> torch.Tensor:
    """Return how certain the model stays of each row under overlays of other rows, `(n,)`: minus the mean entropy in nats.

    Sums are clipped to the range of the data. A target with labels alone is asked as often, and the entropy is that of its
    answers to one row.

    Raises:
        InputError: the model gives no answer for some overlays.
    """
    low, high = view.x.min(), view.x.max()
    parts: list[torch.Tensor] = []
    counts = torch.zeros(len(view.x), view.target.classes, dtype=torch.float64)
    labels = view.target.access == "decision"
    for number in range(overlays):
        draw = generator(view.seed, "strip", number)
        others = torch.randperm(len(view.x), generator=draw)
        found: list[torch.Tensor] = []
        for at in torch.arange(len(view.x)).split(_BATCH):
            shown = mixed(view.x[at], view.x[others[at]], draw).clamp(low, high).to(view.target.device)
            if labels:
                decided = view.target.decide(shown).cpu()
                bad = decided < 0
                counts[at, decided.clamp_min(0)] += 1
            else:
                log = view.target.logits(shown).cpu().double().log_softmax(1)
                bad = log.isnan().any(1)
                found.append(-(log.exp() * log.clamp_min(-700)).sum(1))
            if bool(bad.any()):
                msg = f"the model gives no answer for {int(bad.sum())} of {len(at)} inputs with others laid over them"
                raise InputError(msg, where=view.target.name)
        parts += [torch.cat(found)] if found else []
    if labels:
        share = counts / overlays
        return (share * share.clamp_min(1e-300).log()).sum(1)
    return -torch.stack(parts).mean(0).round(decimals=9)  # beyond it the place in the batch decides, not the row
