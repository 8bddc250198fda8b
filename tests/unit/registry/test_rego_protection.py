"""An alias that moves by a module in Rego: who waits for it, what counts that came meanwhile, and what is refused at once."""

import sys
import threading
import time

import msgspec
import pytest
from tests.unit.registry.conftest import APPROVED

from stannary.core.errors import BackendError, StannaryError, UsageError
from stannary.crypto import dsse
from stannary.evidence.engines import interface
from stannary.evidence.policy_text import is_rego, policy_of_text
from stannary.registry import promotion
from stannary.registry.names import Name
from stannary.testing.statements import EXAMPLES

NAME = Name("default", "claims")
OWN = """# ours
package stannary.gate
import rego.v1
deny contains {"rule": "ours", "msg": "nobody approved it", "help": "ask ann"} if {
    count([e | some e in input.evidence; e.kind == "statement"; e.check == "approval"; e.verdict == "approve"]) == 0
}
"""


def test_a_module_decides_is_logged_by_its_digest_and_moves_back(bench):
    registry = bench.opened[0]
    policy = policy_of_text(OWN, "own.rego")
    promotion.protect(registry, NAME, "production", policy)
    bench.push(b"first")
    denied = promotion.promote(registry, NAME, 1, "production")
    assert (denied.moved, denied.decision.policy, denied.decision.policy_name) == (False, policy.digest, "own.rego")
    assert [(row.rule, row.help) for row in denied.decision.reasons if not row.ok] == [("ours", "ask ann")]
    _, envelope = registry.chain.one(denied.evidence)
    said = msgspec.json.decode(dsse.payload_of(envelope))["predicate"]
    assert said["policy"]["digest"]["sha256"] == policy.digest.hex
    assert said["verificationResult"] == "FAILED"
    first, second = registry.show(promotion.Reference(NAME, 1)), bench.push(b"second")
    bench.say(first)
    bench.say(second)
    assert promotion.promote(registry, NAME, 1, "production").moved
    assert promotion.promote(registry, NAME, 2, "production").moved
    assert promotion.rollback(registry, NAME, "production").number == 1


# Says what OWN says, when it is let go.
HELD = OWN + "# held\n"


class Held:
    """An engine that is at work on HELD until it is let go."""

    at_work, let_go = threading.Event(), threading.Event()

    def __init__(self, engine):
        self._engine = engine
        self.name = engine.name

    def deny(self, module, document):
        if module == HELD:
            self.at_work.set()
            assert self.let_go.wait(60)
        return self._engine.deny(module, document)


def hold(monkeypatch, module):
    """Have the engines that a module chooses held."""
    chosen = module.choose
    monkeypatch.setattr(module, "choose", lambda *named: Held(chosen(*named)))
    Held.at_work.clear()
    Held.let_go.clear()


def test_nobody_waits_for_an_engine_and_what_comes_meanwhile_counts(bench, monkeypatch):
    registry, other = bench.opened[0], bench.open("bob")
    version = bench.push(b"first")
    bench.say(version)
    promotion.protect(registry, NAME, "production", policy_of_text(HELD))
    hold(monkeypatch, interface)
    found = []
    promoting = threading.Thread(target=lambda: found.append(promotion.promote(other, NAME, 1, "production")))
    promoting.start()
    assert Held.at_work.wait(60)
    # A push and a revocation, both of which take the writer's lock, come first.
    bench.push(b"second", "others")
    registry.chain.state(registry.subject(version), "revocation", EXAMPLES["revocation"])
    assert promoting.is_alive()
    Held.let_go.set()
    promoting.join()
    assert not found[0].moved
    assert "revocation" in {row.rule for row in found[0].decision.reasons if not row.ok} | {
        row.rule.partition(":")[0] for row in found[0].decision.reasons if not row.ok
    }


@pytest.mark.parametrize(
    "module",
    ["package other\nimport rego.v1\ndeny contains 1 if true", "package stannary.gate\nx := ", OWN + "deny contains y if true"],
)
def test_a_module_that_decides_nothing_is_refused_when_it_is_said(bench, module):
    registry = bench.opened[0]
    promotion.protect(registry, NAME, "production", APPROVED)
    assert is_rego(module)
    with pytest.raises(StannaryError) as caught:
        promotion.protect(registry, NAME, "production", policy_of_text(module))
    assert caught.value.code in ("POL005", "POL006")
    assert registry.protection(NAME, "production").policy["name"] == "approved"


def test_without_an_engine_nothing_moves_and_it_is_said_where_one_is_missing(bench, monkeypatch):
    registry = bench.opened[0]
    bench.say(bench.push(b"first"))
    promotion.protect(registry, NAME, "production", policy_of_text(OWN))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setitem(sys.modules, "regopy", None)  # as where it is not installed
    for act in (lambda: promotion.promote(registry, NAME, 1, "production"), lambda: policy_of_text(OWN)):
        with pytest.raises(BackendError, match="none where it is evaluated") as caught:
            act()
        assert (caught.value.code, "stannary[rego]" in caught.value.help) == ("POL004", True)
    assert not registry.moves(NAME)


@pytest.mark.parametrize(
    "text, rego",
    [
        ("package stannary.gate\n", True),
        ("\n# a comment\n\n  # another\r\npackage stannary.gate", True),
        ("name: package stannary.gate", False),
        ("# package x\nname: y\n", False),
        ("package: stannary\n", False),
        ("baseline", False),
        ("", False),
        ("#" * 60_000, False),
        ("# \n" * 20_000, False),
    ],
)
def test_a_module_is_told_from_yaml_by_its_package(text, rego):
    began = time.process_time()
    assert is_rego(text) is rego
    assert time.process_time() - began < 1


def test_a_policy_that_is_neither_is_refused():
    with pytest.raises((UsageError, ExceptionGroup)):
        policy_of_text("packag stannary.gate\nimport rego.v1\n")
