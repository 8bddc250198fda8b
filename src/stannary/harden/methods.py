"""The methods by name, what each takes, and by which attacks its result is judged."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from stannary.core.errors import UsageError

__all__ = ["METHODS", "Method", "method"]


class Method(NamedTuple):
    """Where the function is, what it works on, what judges it, which settings of its own it has, whether it learns from data."""

    function: str
    on: Literal["network", "trees"]
    judged_by: Literal["robustness", "privacy"]
    settings: tuple[str, ...]
    what: str
    trains: bool = True

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        module, _, name = self.function.partition(":")
        found: Callable[..., Any] = getattr(importlib.import_module(f"stannary.harden.{module}"), name)
        return found


METHODS: dict[str, Method] = {
    "adversarial-training": Method(
        "adversarial:adversarial_training", "network", "robustness", ("warmup",), "train on the worst points around each sample"
    ),
    "trades": Method(
        "adversarial:trades", "network", "robustness", ("beta", "warmup"), "trade accuracy for alike answers around each sample"
    ),
    "free": Method("adversarial:free", "network", "robustness", ("replays",), "adversarial training at the price of training"),
    "ensemble": Method(
        "wrapping:ensemble", "network", "robustness", ("members",), "several adversarially trained models, averaged"
    ),
    "smoothing": Method(
        "smoothing:smoothing", "network", "robustness", ("sigma", "votes"), "decide by vote under noise; certified"
    ),
    "squeeze": Method("wrapping:squeeze", "network", "robustness", ("bits", "median"), "fewer bits of input; masks", trains=False),
    "distill": Method("wrapping:distill", "network", "robustness", ("temperature",), "train on soft answers; masks"),
    "dp-sgd": Method(
        "private:dp_sgd", "network", "privacy", ("epsilon", "delta", "clip", "keep"), "train with differential privacy"
    ),
    "output-perturbation": Method(
        "wrapping:output_perturbation", "network", "privacy", ("decimals",), "round the answers; masks", trains=False
    ),
    "tree-robust": Method(
        "tree_robust:tree_robust",
        "trees",
        "robustness",
        ("samples", "copies", "cost", "leaf"),
        "train trees away from what fools them",
    ),
}


def method(name: str) -> Method:
    """Return a method. Raises UsageError."""
    if name not in METHODS:
        msg = f"there is no method {name!r}"
        raise UsageError(msg, code="USE013", help=f"one of {', '.join(METHODS)}")
    return METHODS[name]
