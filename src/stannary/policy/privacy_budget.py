"""The privacy budget of a data set: what trainings with differential privacy have spent on it, added up in every way that is valid.

1. Spends are counted in the order of the ledger. One that was stated with a limit is a reservation: it counts only if what was
   counted before leaves room for it. Every reader comes to the same answer, so that of two who reserve at once one is refused.
2. Basic composition: the sums of epsilon and of delta (Dwork et al. 2006).
3. Where noise, sampling rate and steps of all or some are known, those are added as Renyi divergences of the sampled Gaussian
   mechanism (Mironov, Talwar and Zhang 2019, integer orders) and turned into epsilon at the sum of their deltas (Canonne et al.
   2020, proposition 12); the epsilons of the rest are added to it. Both 2 and 3 bound the loss from above; the smaller is said.

Standard library alone. Adding or removing one sample is what is bounded, as by Opacus.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from stannary.core.evidence import Evidence, Measurement, Reason, Resource, Verified
from stannary.core.model import Digest
from stannary.policy.measures import measure_reasons
from stannary.policy.model import Requirement

__all__ = ["DELTA", "EPSILON", "SPEND", "Balance", "Limit", "SampledGaussian", "Spent", "balance_of", "budget_reasons", "compose"]

SPEND = "privacy-spend"
EPSILON, DELTA = "privacy.budget.epsilon", "privacy.budget.delta"
_ORDERS = (*range(2, 33), 36, 40, 48, 56, 64, 80, 96, 128, 192, 256)
_SLACK = 1 + 1e-9  # sums of decimals
_VE = Verified[Evidence]


class SampledGaussian(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mechanism by its parameters: noise over clipping norm, the probability of a sample to be in a step, steps."""

    noise_multiplier: float
    sampling_rate: float
    steps: int


class Limit(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a total may reach; None is no bound."""

    epsilon: float | None = None
    delta: float | None = None

    def holds(self, epsilon: float, delta: float) -> bool:
        """Tell whether a total is within it."""
        pairs = ((epsilon, self.epsilon), (delta, self.delta))
        return all(most is None or value <= most * _SLACK for value, most in pairs)


class Spent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one training spent, as far as composition goes by it."""

    epsilon: float
    delta: float
    gaussian: SampledGaussian | None = None
    limit: Limit | None = None


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """The total of a data set: `by` is how it was added up, `counted` and `refused` are ids of statements."""

    epsilon: float
    delta: float
    by: str
    counted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class _Sum:
    """Adds spends up."""

    def __init__(self) -> None:
        self.epsilon = self.delta = 0.0
        self.other_epsilon = self.known_delta = 0.0
        self.divergences = [0.0] * len(_ORDERS)
        self.is_known = False

    def with_(self, spent: Spent) -> _Sum:
        """Return the sum with one more."""
        made = _Sum()
        made.epsilon, made.delta = self.epsilon + spent.epsilon, self.delta + spent.delta
        made.other_epsilon, made.known_delta = self.other_epsilon, self.known_delta
        made.divergences, made.is_known = self.divergences, self.is_known
        if spent.gaussian is not None:
            one, steps = _divergences(spent.gaussian.noise_multiplier, spent.gaussian.sampling_rate), spent.gaussian.steps
            made.divergences = [a + steps * b for a, b in zip(self.divergences, one, strict=True)]
            made.known_delta, made.is_known = self.known_delta + spent.delta, True
        else:
            made.other_epsilon += spent.epsilon
        return made

    def total(self) -> tuple[float, float, str]:
        """Return epsilon, delta, and how they were added up."""
        if not self.is_known or not 0 < self.known_delta < 1:
            return self.epsilon, self.delta, "basic composition"
        renyi = self.other_epsilon + _epsilon(self.divergences, self.known_delta)
        if renyi < self.epsilon:
            return renyi, self.delta, "Renyi divergences" + (" and basic composition" if self.other_epsilon else "")
        return self.epsilon, self.delta, "basic composition"


@lru_cache(maxsize=256)
def _divergences(noise: float, rate: float) -> tuple[float, ...]:
    """Return the divergence of one step of the sampled Gaussian mechanism at each order (Mironov et al. 2019, section 3.3)."""
    if rate >= 1:
        return tuple(order / (2 * noise * noise) for order in _ORDERS)
    return tuple(_log_moment(order, noise, rate) / (order - 1) for order in _ORDERS)


def _log_moment(order: int, noise: float, rate: float) -> float:
    terms = [
        math.lgamma(order + 1) - math.lgamma(k + 1) - math.lgamma(order - k + 1)
        + (order - k) * math.log1p(-rate) + k * math.log(rate) + (k * k - k) / (2 * noise * noise)
        for k in range(order + 1)
    ]  # fmt: skip
    top = max(terms)
    return top + math.log(math.fsum(math.exp(term - top) for term in terms))


def _epsilon(divergences: Sequence[float], delta: float) -> float:
    found: list[float] = [
        divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
        for order, divergence in zip(_ORDERS, divergences, strict=True)
    ]
    return max(0.0, min(found))


def compose(spends: Iterable[Spent]) -> tuple[float, float, str]:
    """Return epsilon and delta of all of them together, and how they were added up; nothing spent is 0 and 0."""
    total = _Sum()
    for spent in spends:
        total = total.with_(spent)
    return total.total()


def balance_of(items: Iterable[_VE]) -> Balance:
    """Return what was spent on one data set, from the verified statements about it.

    Every statement counts, whoever of those who are trusted signed it, expired or not: what was spent stays spent.
    """
    total = _Sum()
    counted: list[str] = []
    refused: list[str] = []
    seen: set[Digest] = set()
    for item in sorted(items, key=lambda one: (-1 if one.index is None else one.index, one.value.id)):
        if item.value.id in seen:
            continue  # logged twice
        seen.add(item.value.id)
        spent = msgspec.convert(dict(item.value.predicate), Spent)
        more = total.with_(spent)
        epsilon, delta, _ = more.total()
        if spent.limit is not None and not spent.limit.holds(epsilon, delta):
            refused.append(str(item.value.id))
            continue
        total = more
        counted.append(str(item.value.id))
    epsilon, delta, by = total.total()
    return Balance(epsilon=epsilon, delta=delta, by=by, counted=tuple(counted), refused=tuple(refused))


def budget_reasons(requirement: Requirement, known: Mapping[str, Sequence[_VE]], subject: Digest) -> list[Reason]:
    """Hold the budget of every data set above a subject against a requirement of the kind `privacy-spend`.

    `known` holds the spends of all of them, and the subject's own evidence. A data set that the subject is said to be trained from
    and that has no spend fails it: what was learned without privacy is bounded by nothing.
    """
    rule = requirement.name
    by_data: dict[Digest, list[_VE]] = {}
    for item in known.get(SPEND, ()):
        by_data.setdefault(item.value.subject, []).append(item)
    reasons = [
        Reason(rule=rule, ok=False, message=f"{name} is trained from, and nothing says what privacy that cost", evidence=about)
        for name, digest, about in _trained_from(known)
        if digest is None or (digest not in by_data and digest != subject)
    ]
    if not by_data and not reasons:
        text = "nothing says what was spent of the privacy of any data set that it was made from"
        return [Reason(rule=rule, ok=False, message=text, help="stannary attest DATA --kind privacy-spend --predicate FILE")]
    names = {digest: name for name, digest, _ in _trained_from(known)}
    for digest, items in sorted(by_data.items()):
        # A decision is read by people who may not read of what is further up: it has no name for them.
        own = items[0].value.subject_name if digest == subject else ""
        reasons += _held(requirement, items, names.get(digest, own) or "a data set further up")
    return reasons


def _held(requirement: Requirement, items: Sequence[_VE], name: str) -> list[Reason]:
    """Hold the budget of one data set against the bounds."""
    balance, last = balance_of(items), max(items, key=lambda one: -1 if one.index is None else one.index).value
    n = len(balance.counted)
    rows = ((EPSILON, balance.epsilon), (DELTA, balance.delta))
    measured = tuple(Measurement(metric=name, value=value, low=value, high=value, n=n) for name, value in rows)
    text = f"{name}: epsilon {balance.epsilon:.4g}, delta {balance.delta:.3g} spent by {n} (added up by {balance.by})"
    bounds = measure_reasons(requirement, msgspec.structs.replace(last, measurements=measured))
    return [
        Reason(rule=requirement.name, ok=True, message=text, evidence=str(last.id)),
        *(msgspec.structs.replace(reason, message=f"{name}: {reason.message}") for reason in bounds),
    ]


def _trained_from(known: Mapping[str, Sequence[_VE]]) -> list[tuple[str, Digest | None, str]]:
    """Return (name, digest, statement) of everything that the subject's own evidence says it was trained from."""
    items = [item for kind in ("training-run", "lineage") for item in known.get(kind, ())]
    edges = [(edge, str(item.value.id)) for item in items for edge in msgspec.convert(dict(item.value.predicate), _Edges).edges]
    return [
        (edge.resource.name or str(_digest(edge.resource) or "something"), _digest(edge.resource), about)
        for edge, about in edges
        if edge.relation == "trained-from"
    ]


class _Edge(msgspec.Struct, frozen=True):
    relation: str
    resource: Resource


class _Edges(msgspec.Struct, frozen=True):
    edges: tuple[_Edge, ...] = ()


def _digest(resource: Resource) -> Digest | None:
    """Return the digest by which an artifact is known; what has none has no budget either."""
    text = resource.digest.get("dirHash1") or resource.digest.get("sha256") or ""
    try:
        return Digest(text.lower())
    except ValueError:
        return None
