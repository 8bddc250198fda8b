"""The privacy-budget ledger: what trainings with differential privacy spent on a data set, signed, and never forgotten.

    reserved = spend(chain, data, spent_by(made.privacy, limit=8.0))    # before the training; refused when it does not fit
    balance(chain, digest)                                              # epsilon and delta of everything so far

Each spend is a `privacy-spend` statement about the data set in the evidence ledger. How they are added up, and which of two
reservations at one moment holds, follows from their order there alone (`policy/privacy_budget.py`): no writer locks out another.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime

import msgspec

from stannary.core.errors import InputError, IntegrityError, PolicyDenied
from stannary.core.evidence import Evidence, Resource, Verified
from stannary.core.model import Digest
from stannary.evidence.chain import Chain, Recorded
from stannary.evidence.lineage import TAINTING, edges_of
from stannary.evidence.predicates.ours import PrivacySpend, SampledGaussian, SpendLimit
from stannary.evidence.statement import subject_of_resource
from stannary.policy.privacy_budget import SPEND, Balance, balance_of

__all__ = ["balance", "spend", "spends_above", "spent_by"]


def spent_by(
    privacy: Mapping[str, float],
    when: datetime,
    *,
    accountant: str = "prv",
    limit: float | None = None,
    model: Resource | None = None,
) -> PrivacySpend:
    """Return the predicate of a training by DP-SGD.

    Args:
        privacy: `epsilon`, `delta`, and where they are known `noise`, `rate` and `steps`, as `stannary.harden` gives them.
        when: when it ended, or begins.
        accountant: which one said so.
        limit: the epsilon that the data set's total may reach; it makes the statement a reservation.
        model: what was trained.

    Raises:
        InputError: these are no bounds of differential privacy.
    """
    gaussian = None
    if all(name in privacy for name in ("noise", "rate", "steps")):
        gaussian = SampledGaussian(
            noise_multiplier=float(privacy["noise"]), sampling_rate=min(1.0, float(privacy["rate"])), steps=int(privacy["steps"])
        )
    made = PrivacySpend(
        mechanism="dp-sgd",
        epsilon=float(privacy["epsilon"]),
        delta=float(privacy["delta"]),
        accountant=accountant,
        gaussian=gaussian,
        limit=SpendLimit(epsilon=limit) if limit is not None else None,
        model=model,
        finished_on=when,
    )
    try:
        return msgspec.convert(msgspec.to_builtins(made), PrivacySpend)
    except msgspec.ValidationError as error:
        msg = f"bounds no privacy: {error}"
        raise InputError(msg, where="privacy-spend", code="EVD002") from error


def spend(chain: Chain, data: Resource, spent: PrivacySpend) -> Recorded:
    """State and log what is spent on a data set.

    With a limit this is a reservation, to be made before the training: it holds from the moment this returns.

    Raises:
        PolicyDenied: the total would exceed the spend's own limit; it does not count, and the training must not begin.
        IntegrityError: something that was stated about the data set does not verify, so that the total is not known.
    """
    named = spent if spent.nonce else msgspec.structs.replace(spent, nonce=secrets.token_hex(8))
    recorded = chain.state(data, SPEND, named)
    found = balance(chain, subject_of_resource(data))
    if str(recorded.id) in found.refused:
        most = spent.limit.epsilon if spent.limit else None
        msg = (
            f"epsilon {spent.epsilon:.4g} more does not fit: {found.epsilon:.4g} of {most or 0:.4g} is spent on {data.name or 'it'}"
        )
        raise PolicyDenied(msg, where=data.name or "privacy budget", code="EVD015", help="train with more noise, or on other data")
    return recorded


def balance(chain: Chain, data: Digest) -> Balance:
    """Return what was spent on a data set. Raises IntegrityError when something about it does not verify: it may be a spend."""
    return balance_of(_spends(chain, data))


def spends_above(chain: Chain, subject: Digest) -> list[Verified[Evidence]]:
    """Return the spends on everything that a subject was made from, however far back, and on itself.

    Raises:
        IntegrityError: something that was stated about one of them does not verify.
    """
    seen, todo = {subject}, [subject]
    found: list[Verified[Evidence]] = []
    while todo:
        at = todo.pop()
        found += _spends(chain, at)
        for item in chain.about(at, decisions=False).evidence:
            for edge in edges_of(item):
                if edge.relation in TAINTING and edge.target not in seen:
                    seen.add(edge.target)
                    todo.append(edge.target)
    return found


def _spends(chain: Chain, data: Digest) -> list[Verified[Evidence]]:
    known = chain.about(data, decisions=False)
    if known.refused:
        msg = f"{len(known.refused)} statements about {data} do not verify ({known.refused[0]}): what was spent is not known"
        raise IntegrityError(msg, where="privacy budget", code="EVD016", help="stannary evidence list; stannary ledger audit")
    return [item for item in known.evidence if item.value.kind == SPEND]
