"""What a guarded process says is not believed about which artifact it is: a card cannot be signed about another one."""

from __future__ import annotations

from stannary.app.evaluating import vouched
from stannary.app.evaluation_request import Request, Work
from stannary.app.opening import Admitted
from stannary.checks.target.card import EvaluationResult, Model, Tool


def test_a_forged_identity_is_replaced() -> None:
    admitted = Admitted(
        path="/models/mine.pkl", display="models/mine.pkl", digest="dirhash1:" + "1" * 64, sha256="1" * 64,
        files=frozenset({"1" * 64}), format="pickle", verdict="unverified",
    )  # fmt: skip
    work = Work(request=Request(model="models/mine.pkl", seed=7), model=admitted, jail="landlock")
    forged = EvaluationResult(
        tool=Tool(version="forged"),
        model=Model(path="models/other.pkl", name="other.pkl", digest="dirhash1:" + "2" * 64, sha256="2" * 64, jail="bwrap"),
        suite=("privacy",),
        seed=1,
        outcome="passed",
    )
    card = vouched(forged, work)
    assert (card.model.path, card.model.name) == ("models/mine.pkl", "mine.pkl")
    assert (card.model.digest, card.model.sha256) == (admitted.digest, "1" * 64)
    assert (card.model.jail, card.suite, card.seed) == ("landlock", ("robustness",), 7)
    assert card.tool.version != "forged"


def test_what_has_no_artifact_gets_no_digest() -> None:
    work = Work(request=Request(model="mine.py:score"))
    forged = EvaluationResult(
        tool=Tool(), model=Model(path="x", name="x", digest="dirhash1:" + "2" * 64), suite=("robustness",), seed=0, outcome="passed"
    )
    assert vouched(forged, work).model.digest is None
