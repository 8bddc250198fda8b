"""What the guarded process says of a hardening is not believed where the caller knows better, or where nothing would be booked."""

from __future__ import annotations

import pytest

from stannary.app.hardening import _vouched
from stannary.app.hardening_request import HardenRequest, HardenWork
from stannary.checks.target.card import Compared, EvaluationResult, Model, Tool
from stannary.checks.target.statistics import rate
from stannary.core.errors import InputError
from stannary.harden.card import HardeningResult


def said(method: str, privacy: dict[str, float] | None = None) -> HardeningResult:
    forged = Model(path="other.pt", name="other.pt", digest="dirhash1:" + "2" * 64, jail="bwrap")
    card = EvaluationResult(tool=Tool(version="forged"), model=forged, suite=("llm",), seed=5, outcome="passed")
    same = Compared(before=rate(5, 10), after=rate(5, 10), gained=0, lost=0, difference=0.0, low=0.0, high=0.0, p=1.0)
    return HardeningResult(
        tool=Tool(version="forged"), method=method, verdict="not shown", before=card, after=card, accuracy=same, privacy=privacy
    )


def work(method: str) -> HardenWork:
    return HardenWork(request=HardenRequest(model="net.py:build", method=method, data="train.npz", seed=3), jail="landlock")


def test_a_forged_identity_is_replaced() -> None:
    found = _vouched(said("squeeze"), work("trades"))
    assert (found.method, found.training, found.tool.version != "forged") == ("trades", "train.npz", True)
    for card in (found.before, found.after):
        assert (card.model.digest, card.model.jail, card.suite, card.seed) == (None, "landlock", ("robustness",), 3)
    assert found.before.model.path == "net.py:build"


def test_a_private_training_says_what_it_spent() -> None:
    with pytest.raises(InputError, match="what it spent"):
        _vouched(said("dp-sgd"), work("dp-sgd"))
    spent = {"epsilon": 1.0, "delta": 1e-5}
    assert _vouched(said("dp-sgd", spent), work("dp-sgd")).privacy == spent
