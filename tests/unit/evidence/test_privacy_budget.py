"""The budget in a real ledger: signed, summed, bounded by the gate, and kept by writers who do not know of each other."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from stannary.core.errors import InputError, IntegrityError, PolicyDenied
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.evidence.gate import judge
from stannary.evidence.predicates.ours import Lineage, LineageEdge
from stannary.evidence.privacy_budget import balance, spend, spent_by
from stannary.evidence.workspace import Workspace
from stannary.policy.model import Measure, Policy, Requirement

NOW = datetime.now(UTC)
DATA = Resource(name="claims", digest={"dirHash1": "d" * 64})
MODEL = Resource(name="model", digest={"dirHash1": "a" * 64})
BASE = Resource(name="base", digest={"dirHash1": "b" * 64})
POLICY = Policy(
    name="p", require=(Requirement(kind="privacy-spend", measures=(Measure(metric="privacy.budget.epsilon", max=8.0),)),)
)
PRIVACY = {"epsilon": 2.99, "delta": 1e-5, "noise": 1.1, "rate": 0.01, "steps": 3000.0}
WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from stannary.core.errors import PolicyDenied
from stannary.core.evidence import Resource
from stannary.evidence.chain import Chain
from stannary.evidence.privacy_budget import spend, spent_by
from stannary.evidence.workspace import Workspace

chain = Chain(Workspace(Path(sys.argv[1]), passphrase=lambda: None), write=True)
data = Resource(name="claims", digest={"dirHash1": "d" * 64})
print("ready", flush=True)
sys.stdin.readline()
granted = 0
for _ in range(5):
    try:
        spend(chain, data, spent_by({"epsilon": 1.0, "delta": 1e-7}, datetime.now(UTC), limit=8.0))
        granted += 1
    except PolicyDenied:
        pass
print(granted)
chain.ledger.close()
"""


def test_spends_are_summed_and_bounded(chain) -> None:
    spend(chain, DATA, spent_by(PRIVACY, NOW, limit=8.0))
    first = balance(chain, Digest("d" * 64))
    assert first.epsilon <= 2.99
    spend(chain, DATA, spent_by({"epsilon": 1.0, "delta": 1e-6}, NOW, limit=8.0))
    assert balance(chain, Digest("d" * 64)).epsilon == pytest.approx(first.epsilon + 1)
    with pytest.raises(PolicyDenied, match="6 more does not fit"):
        spend(chain, DATA, spent_by({"epsilon": 6.0, "delta": 1e-6}, NOW, limit=8.0))
    assert balance(chain, Digest("d" * 64)).epsilon == pytest.approx(first.epsilon + 1)
    assert balance(chain, Digest("c" * 64)).epsilon == 0


def test_the_gate_bounds_what_a_model_was_made_from(chain) -> None:
    chain.state(BASE, "lineage", Lineage(edges=(LineageEdge(relation="trained-from", resource=DATA),), finished_on=NOW))
    chain.state(MODEL, "lineage", Lineage(edges=(LineageEdge(relation="fine-tuned-from", resource=BASE),), finished_on=NOW))
    assert judge(chain, BASE, POLICY).decision.verdict == "deny"  # nothing says what it cost
    spend(chain, DATA, spent_by({"epsilon": 6.0, "delta": 1e-6}, NOW, model=BASE))
    assert judge(chain, BASE, POLICY).decision.verdict == "allow"
    assert judge(chain, MODEL, POLICY).decision.verdict == "allow"
    spend(chain, DATA, spent_by({"epsilon": 3.0, "delta": 1e-6}, NOW))
    for subject in (BASE, MODEL, DATA):
        decision = judge(chain, subject, POLICY).decision
        assert decision.verdict == "deny"
        assert any("privacy.budget.epsilon = 9" in reason.message for reason in decision.reasons)


def test_two_equal_trainings_are_two(chain) -> None:
    for _ in range(2):
        spend(chain, DATA, spent_by({"epsilon": 1.0, "delta": 1e-6}, NOW))
    assert balance(chain, Digest("d" * 64)).epsilon == 2


def test_what_bounds_nothing_is_refused(chain) -> None:
    for wrong in ({"epsilon": 0.0}, {"epsilon": float("inf")}, {"delta": 1.0}, {"noise": 0.0}, {"rate": 0.0}, {"steps": 0}):
        with pytest.raises(InputError, match="bounds no privacy"):
            spent_by(PRIVACY | wrong, NOW)
    assert chain.ledger.head().size == 0


def test_a_spend_whose_signature_is_not_trusted_any_more_makes_the_total_unknown(chain, monkeypatch) -> None:
    spend(chain, DATA, spent_by(PRIVACY, NOW))
    other = Chain(chain.workspace)
    monkeypatch.setattr(other, "_verifiers", dict)
    with pytest.raises(IntegrityError, match="what was spent is not known"):
        balance(other, Digest("d" * 64))
    other.ledger.close()


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_writers_at_one_time_never_exceed_the_limit(store, tmp_path, request) -> None:
    url = request.getfixturevalue("postgres") if store == "postgres" else ""
    workspace = Workspace.create(tmp_path, passphrase=None, database=url)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(workspace.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    granted = [int(writer.communicate(timeout=120)[0]) for writer in writers]
    assert all(writer.returncode == 0 for writer in writers)
    chain = Chain(workspace)
    found = balance(chain, Digest("d" * 64))
    chain.ledger.close()
    assert len(found.counted) + len(found.refused) == 20  # nothing is lost
    assert sum(granted) == len(found.counted) == 8
    assert found.epsilon == 8
