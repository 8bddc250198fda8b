"""Edges come from signed statements; taint follows them; the index says what the ledger says."""

import random
import time

import pytest

from stannary.core.errors import UsageError
from stannary.core.evidence import Resource
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.evidence.lineage import revocations_above
from stannary.evidence.lineage_index import LineageIndex
from stannary.evidence.statement import subject_resource
from stannary.evidence.workspace import Workspace
from stannary.store.lineage_db import LineageStore, StoredEdge

WHEN = "2026-11-20T09:30:00Z"


def digest(number):
    return Digest(f"{number:064x}")


def thing(number):
    return subject_resource(digest(number), f"thing-{number}")


def made_from(chain, number, *edges):
    rows = [
        {"relation": relation, "resource": {"name": f"thing-{n}", "digest": {"dirHash1": digest(n).hex}}} for relation, n in edges
    ]
    return chain.state(thing(number), "lineage", {"edges": rows, "finishedOn": WHEN})


def revoked(chain, number, *, lifted=False):
    return chain.state(thing(number), "revocation", {"reason": "poisoned", "owner": "me", "lifted": lifted, "finishedOn": WHEN})


@pytest.fixture
def family(chain):
    """1 is data, 2 was trained from it, 3 and 4 from 2; 5 was only evaluated on the data."""
    made_from(chain, 2, ("trained-from", 1))
    made_from(chain, 3, ("fine-tuned-from", 2))
    made_from(chain, 4, ("merged-from", 2), ("merged-from", 9))
    made_from(chain, 5, ("evaluated-on", 1))
    return chain


def test_what_was_made_from_something_is_found_both_ways(family):
    index = LineageIndex(family)
    assert [(row.name, row.depth, row.relation) for row in index.below(digest(1))] == [
        ("thing-2", 1, "trained-from"),
        ("thing-5", 1, "evaluated-on"),
        ("thing-3", 2, "fine-tuned-from"),
        ("thing-4", 2, "merged-from"),
    ]
    assert {row.name for row in index.above(digest(4))} == {"thing-2", "thing-9", "thing-1"}
    assert index.blast_radius(digest(1)) == 3
    assert index.resolve("thing-3") == digest(3)
    with pytest.raises(UsageError, match="no artifact"):
        index.resolve("nobody")


def test_a_revocation_taints_what_was_made_and_not_what_was_evaluated(family):
    revoked(family, 1)
    (tainted,) = LineageIndex(family).tainted()
    assert tainted.reason == "poisoned"
    assert {row.name for row in tainted.reach} == {"thing-2", "thing-3", "thing-4"}
    assert [item.value.subject for item in revocations_above(family, digest(3))] == [digest(1)]
    assert revocations_above(family, digest(5)) == []
    revoked(family, 1, lifted=True)
    assert LineageIndex(family).tainted() == []


def test_every_relation_between_two_artifacts_is_told(chain):
    relations = {
        "trained-from",
        "fine-tuned-from",
        "quantised-from",
        "merged-from",
        "converted-from",
        "evaluated-on",
        "derived-dataset",
    }
    for relation in sorted(relations):
        made_from(chain, 2, (relation, 1))
    index = LineageIndex(chain)
    assert {row.relation for row in index.below(digest(1))} == {row.relation for row in index.above(digest(2))} == relations
    assert [row.name for row in index.below(digest(1), tainting=True)] == ["thing-2"]
    assert index.blast_radius(digest(1)) == 1


def test_what_serves_something_revoked_is_in_its_reach(family):
    made_from(family, 3, ("served-by", 7))  # says the statement about 3
    index = LineageIndex(family)
    assert [(row.name, row.relation) for row in index.below(digest(3))] == [("thing-7", "served-by")]
    assert [row.name for row in index.above(digest(3))] == ["thing-2", "thing-1"]
    assert [(row.name, row.relation) for row in index.above(digest(7))][:1] == [("thing-3", "served-by")]
    assert index.blast_radius(digest(1)) == 4
    revoked(family, 1)
    (tainted,) = LineageIndex(family).tainted()
    assert {row.name for row in tainted.reach} == {"thing-2", "thing-3", "thing-4", "thing-7"}


def test_a_circle_ends(chain):
    made_from(chain, 1, ("trained-from", 2))
    made_from(chain, 2, ("trained-from", 1))
    index = LineageIndex(chain)
    assert {row.name for row in index.below(digest(1))} == {"thing-2"}
    assert revocations_above(chain, digest(1)) == []


def test_the_index_follows_the_log_and_is_made_again_when_trust_changes(family):
    index = LineageIndex(family)
    before = len(index.below(digest(1)))
    made_from(family, 6, ("quantised-from", 3))
    assert len(LineageIndex(family).below(digest(1))) == before + 1
    family.ledger.close()
    # Nobody is trusted any more: nothing that was signed says anything.
    family.workspace.trust_path.write_text('{"schema": "stannary.trust/1", "keys": []}')
    emptied = LineageIndex(Chain(Workspace(family.workspace.root)))
    assert emptied.below(digest(1)) == []
    assert len(emptied.refused) == 5


def test_another_log_in_the_place_of_the_first_is_noticed(family, tmp_path):
    LineageIndex(family).close()
    other = Workspace.create(tmp_path / "other", passphrase=None)
    (family.workspace.root / "lineage.db").rename(other.root / "lineage.db")
    chain = Chain(other, write=True)
    assert LineageIndex(chain).below(digest(1)) == []


def test_an_input_of_an_evaluation_is_an_edge_that_does_not_taint(chain):
    from stannary.testing.statements import EXAMPLES

    data = Resource(name="holdout", digest={"dirHash1": digest(7).hex})
    chain.state(thing(8), "eval-result", {**EXAMPLES["eval-result"], "inputs": [{"name": data.name, "digest": dict(data.digest)}]})
    index = LineageIndex(chain)
    assert [row.relation for row in index.below(digest(7))] == ["evaluated-on"]
    assert index.blast_radius(digest(7)) == 0


def test_the_reach_of_something_among_a_hundred_thousand_edges(tmp_path):
    store = LineageStore(tmp_path / "l.db")
    random.seed(4)
    edges = [
        StoredEdge(digest(n).hex, digest(random.randrange(max(0, n - 1000), n)).hex, "fine-tuned-from", True, "e")
        for n in range(1, 20_000)
    ]
    store.add(edges, (), (), {})
    parents = {int(edge.source, 16): int(edge.target, 16) for edge in edges}
    below = {10_000}
    for n in range(10_001, 20_000):
        if parents[n] in below:
            below.add(n)
    started = time.process_time()
    assert store.reached(digest(10_000).hex) == len(below) - 1
    assert time.process_time() - started < 5  # a bound for a machine that does much else; the benchmark measures
