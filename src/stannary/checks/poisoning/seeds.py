"""Where all randomness of this family comes from: one generator for each purpose, told apart by name and number."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["derive", "generator"]


def derive(seed: int, purpose: str, index: int = 0) -> int:
    """Return the seed for the `index`-th piece of work of this purpose: it does not depend on what else is drawn."""
    return int.from_bytes(hashlib.sha256(f"poisoning/{seed}/{purpose}/{index}".encode()).digest()[:7], "big")


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """Return a generator on the CPU, seeded by `derive`: numbers are the same on every device."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, index))
