"""What an audit of privacy says. Every rate has its interval and its sample size; a rate that the sample cannot support is refused.

Standard library and msgspec alone: a report reads these where no array library is installed.
"""

from __future__ import annotations

import msgspec

from stannary.checks.target.statistics import Rate

__all__ = ["AtRate", "AttackResult", "PrivacyResult"]


class AtRate(msgspec.Struct, frozen=True, kw_only=True):
    """The true-positive rate at one false-positive rate.

    `rate` is None where it is refused, with the reason in `refused`. The interval is that of the share of members above
    the threshold; that the threshold itself was found on `n` non-members is not in it.
    """

    fpr: float
    rate: Rate | None
    refused: str = ""


class AttackResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one membership attack achieves.

    - `auc`: area under the ROC curve, interval by bootstrap
    - `tpr`: at low false-positive rates
    - `advantage`: TPR - FPR at a threshold that was chosen on other samples (twice balanced accuracy - 1)
    - `roc`: points (FPR, TPR), evenly spaced on a logarithmic axis, first the lowest FPR that the sample can show
    - `queries`: samples asked of the target; `shadows`: models trained; `cpu_s`: processor seconds, shadows included once
    """

    attack: str
    auc: Rate
    tpr: tuple[AtRate, ...]
    advantage: Rate
    roc: tuple[tuple[float, float], ...]
    queries: int
    shadows: int
    cpu_s: float


class PrivacyResult(msgspec.Struct, frozen=True, kw_only=True):
    """An audit of membership: one result for each attack, and what was left out, with the reason."""

    subject: str
    members: int
    nonmembers: int
    attacks: tuple[AttackResult, ...]
    skipped: tuple[tuple[str, str], ...]
    queries: int
    shadows: int
    stacked: bool
    cpu_s: float
    seed: int
    atlas: tuple[str, ...] = ("AML.T0024.000",)
    owasp: tuple[str, ...] = ("ML04:2023",)

    @property
    def worst(self) -> AttackResult:
        """Return the strongest attack: by the area's lower end, which never rests on a refused rate."""
        return max(self.attacks, key=lambda one: one.auc.low)
