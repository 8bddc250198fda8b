"""Privacy: what a model gives away about the data it was trained on, measured by real attacks.

    from stannary.checks import privacy

    result = privacy.audit(target, members, nonmembers, factory=TorchFactory(build))
    result.worst.tpr[0].rate        # members found at a false-positive rate of 1 %, with its interval

    measured = privacy.privacy_suite(target, member_data, other_data)   # the report card's part, whatever the target is

What belongs here: membership inference (loss, LiRA, RMIA) and its shadow models, attribute inference, model
inversion, gradient inversion, extraction; the ROC at low false-positive rates.
What does not: loading models and data (`checks/target/`), defences (`harden/`), evidence, plots.
To add an attack on membership: a function in `scores.py` from `Confidences` to one score a sample, and a row in
`membership.ATTACKS`. Everything that is drawn comes from `seeds.generator`, so that results repeat.
Importing this package imports no array library.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from stannary.checks.privacy.membership import audit
    from stannary.checks.privacy.suite import privacy_suite

__all__ = ["audit", "privacy_suite"]
_HOMES = {"audit": "membership", "privacy_suite": "suite"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name is
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(f"stannary.checks.privacy.{_HOMES[name]}"), name)
