"""What is said of models and versions: it stands in the ledger, changes no version, and no policy goes by it."""

import pytest
from tests.unit.registry.conftest import APPROVED

from stannary.core.errors import PolicyDenied, UsageError
from stannary.registry import labels, promotion, queries
from stannary.registry.names import Name, Reference
from stannary.registry.retention import delete, hold, sweep

CLAIMS, FRAUD = Name("default", "claims"), Name("team", "fraud")


def said(registry, name=CLAIMS):
    with registry.reading() as connection:
        return {number: (row.note, row.tags) for number, row in labels.labels_of(connection, name).items()}


def is_taken(registry, name):
    with registry.reading() as connection:
        return labels.exists(connection, name)


def test_labels_are_said_changed_and_made_again_from_the_ledger(bench):
    registry = bench.opened[0]
    before = bench.push(b"one", note="as pushed")
    labels.label(registry, CLAIMS, tags={"team": "risk", "stage": "new"})
    labels.label(registry, CLAIMS, note="claims of cars", untag=["stage"])
    labels.label(registry, CLAIMS, 1, tags={"auc": "0.9"})
    labels.label(registry, CLAIMS, 1, note="better words")
    wanted = {0: ("claims of cars", {"team": "risk", "stage": None}), 1: ("better words", {"auc": "0.9"})}
    assert said(registry) == wanted
    assert registry.resolve(Reference(CLAIMS, 1)) == before
    registry.rebuild()
    assert said(registry) == wanted
    assert registry.resolve(Reference(CLAIMS, 1)) == before
    kinds = [row.kind for row in registry.chain.ledger.find(type="registry")]
    assert kinds == ["version", "label", "label", "label", "label"]


def test_a_name_is_taken_before_its_first_version_and_only_once(bench):
    registry = bench.opened[0]
    assert labels.take(registry, CLAIMS, note="to come", tags={"team": "risk"})
    assert not labels.take(registry, CLAIMS)
    assert said(registry) == {0: ("to come", {"team": "risk"})}
    with pytest.raises(UsageError, match="every version of it was deleted"):
        registry.resolve(Reference(CLAIMS))
    assert [(str(model.name), model.versions) for model in registry.models()] == [("claims", 0)]
    assert bench.push(b"one").number == 1
    assert not labels.take(registry, CLAIMS)


def test_what_is_not_there_or_too_long_is_not_described(bench):
    registry = bench.opened[0]
    bench.push(b"one")
    delete(registry, CLAIMS, 1, "old")
    size = registry.chain.ledger.head().size
    for name, number in ((FRAUD, 0), (FRAUD, 1), (CLAIMS, 1), (CLAIMS, 2), (CLAIMS, 0)):
        with pytest.raises(UsageError):
            labels.label(registry, name, number, note="x")
    bench.push(b"two")
    for bad in ({"tags": {"k" * 251: "v"}}, {"tags": {"k": "v" * 8001}}, {"tags": {"": "v"}}, {"note": "n" * 16_001}):
        with pytest.raises(UsageError):
            labels.label(registry, CLAIMS, **bad)
    assert registry.chain.ledger.head().size == size + 1


def test_a_model_is_forgotten_as_a_whole_or_not_at_all(bench):
    registry = bench.opened[0]
    for n in range(3):
        bench.push(b"%d" % n)
    labels.label(registry, CLAIMS, note="old words")
    hold(registry, CLAIMS, 2, "a case")
    with pytest.raises(UsageError, match="held"):
        labels.forget(registry, CLAIMS, "over")
    assert not any(version.dropped for version in registry.versions(CLAIMS))
    hold(registry, CLAIMS, 2, "", lifted=True)
    labels.forget(registry, CLAIMS, "over")
    assert all(version.dropped for version in registry.versions(CLAIMS))
    assert (said(registry), is_taken(registry, CLAIMS)) == ({}, False)
    with pytest.raises(UsageError):
        labels.forget(registry, CLAIMS, "again")
    assert bench.push(b"new").number == 4  # a number is never given again


def test_a_renamed_model_has_its_versions_its_numbers_and_labels_and_whoever_pushed_still_does_not_promote(bench):
    registry = bench.opened[0]
    for n in range(3):
        bench.push(b"%d" % n, note=f"note {n}")
    delete(registry, CLAIMS, 2, "old")
    labels.label(registry, CLAIMS, note="words", tags={"a": "b"})
    labels.label(registry, CLAIMS, 3, tags={"c": "d"})
    boss = registry.seen_by("boss", lambda *_: None)
    contents = {row.digest for row in registry.versions(CLAIMS) if not row.dropped}
    labels.rename(boss, CLAIMS, FRAUD)
    found = registry.versions(FRAUD)
    assert [(row.number, row.note) for row in found] == [(3, "note 2"), (1, "note 0")]
    assert {row.digest for row in found} == contents
    assert said(registry, FRAUD) == {0: ("words", {"a": "b"}), 3: (None, {"c": "d"})}
    assert (said(registry), is_taken(registry, CLAIMS)) == ({}, False)
    assert sweep(registry).deleted == 0
    for number in (1, 3):
        registry.resolve(Reference(FRAUD, number))
    promotion.protect(registry, FRAUD, "production", APPROVED, separate=True)
    bench.say(found[0])
    for who in ("ann", "boss"):
        with pytest.raises(PolicyDenied, match="who does not promote it"):
            promotion.promote(registry.seen_by(who, lambda *_: None), FRAUD, 3, "production")
    assert promotion.promote(registry.seen_by("eve", lambda *_: None), FRAUD, 3, "production").moved
    registry.rebuild()
    assert [(row.number, row.note) for row in registry.versions(FRAUD)] == [(3, "note 2"), (1, "note 0")]


def test_what_is_in_service_or_would_meet_another_is_not_renamed(bench):
    registry = bench.opened[0]
    promotion.protect(registry, CLAIMS, "production", APPROVED)
    bench.say(bench.push(b"one"))
    bench.push(b"two", "team/fraud")
    assert promotion.promote(registry, CLAIMS, 1, "production").moved
    size = registry.chain.ledger.head().size
    with pytest.raises(UsageError, match="in service as production"):
        labels.rename(registry, CLAIMS, Name("default", "free"))
    with pytest.raises(UsageError, match="another model"):
        labels.rename(registry, Name("default", "claims"), FRAUD)
    with pytest.raises(UsageError):
        labels.rename(registry, Name("default", "never"), Name("default", "free"))
    assert registry.chain.ledger.head().size == size


def test_who_may_not_push_or_delete_labels_nothing(bench):
    registry = bench.opened[0]
    bench.push(b"one")

    def only(*allowed):
        def check(action, name, alias=""):
            if action not in allowed:
                raise PolicyDenied(action, where=f"{name}{alias}", code="ACC002")

        return registry.seen_by("eve", check)

    for call in (
        lambda: labels.label(only("read"), CLAIMS, note="x"),
        lambda: labels.take(only("read", "delete"), FRAUD),
        lambda: labels.forget(only("read", "push"), CLAIMS, "x"),
        lambda: labels.rename(only("read", "push"), CLAIMS, FRAUD),
        lambda: labels.rename(only("read", "delete"), CLAIMS, FRAUD),
    ):
        with pytest.raises(PolicyDenied):
            call()
    with registry.reading() as connection:
        assert queries.find_model(connection, FRAUD) is None
