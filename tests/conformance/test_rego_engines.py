"""A policy in Rego, evaluated by regopy, by an `opa` program and by an OPA server: one answer, and never a pass by accident."""

import gc
import os
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.core.errors import BackendError, StannaryError, UsageError
from stannary.core.evidence import Check, Evidence, seal
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.evidence.engines.bounds import Bounds
from stannary.evidence.engines.interface import choose
from stannary.evidence.engines.opa_program import OpaProgram
from stannary.evidence.engines.opa_server import OpaServer
from stannary.evidence.engines.rego_variables import unbound
from stannary.evidence.engines.regopy_ import Regopy
from stannary.evidence.gate import judge
from stannary.evidence.rego_cause import find_causes
from stannary.evidence.rego_gate import RegoPolicy
from stannary.evidence.statement import subject_resource
from stannary.evidence.workspace import Workspace
from stannary.policy.library import load
from stannary.policy.rego import input_document, module_of
from stannary.testing.statements import EXAMPLES, SUBJECT_HEX

TOOL = Path(__file__).parent / "programs" / "opa_tool.py"
SUBJECT = subject_resource(Digest(SUBJECT_HEX), "claims")
DOCUMENT = input_document(Digest(SUBJECT_HEX), [], [], datetime(2026, 11, 25, tzinfo=UTC))
OWN = """
package stannary.gate
import rego.v1
deny contains {"rule": "ours", "msg": "nobody approved it", "help": "ask ann"} if {
    count([e | some e in input.evidence; e.kind == "statement"; e.check == "approval"; e.verdict == "approve"]) == 0
}
"""


@pytest.fixture
def opa(oracles, tmp_path):
    """Return a program `opa`: the real engine behind the program's arguments."""
    path = tmp_path / "bin" / "opa"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec "{oracles / "python"}" "{TOOL}" eval "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture(params=["regopy", "opa"])
def engine(request, opa):
    return Regopy() if request.param == "regopy" else OpaProgram(str(opa))


def test_a_policy_of_ours_and_one_in_rego_say_the_same(engine):
    policy = load("production", None, frozenset())
    assert engine.deny(module_of(policy), DOCUMENT) == sorted(row.name for row in policy.require)


def test_a_policy_of_one_s_own_denies_and_allows(engine, tmp_path):
    workspace = Workspace.create(tmp_path / "w", passphrase=None)
    chain = Chain(workspace, write=True)
    policy = RegoPolicy("own.rego", Digest("1" * 64), OWN, engine)
    denied = judge(chain, SUBJECT, policy).decision
    assert denied.verdict == "deny"
    told = "nobody approved it (judged from no evidence)"
    assert (denied.reasons[0].rule, denied.reasons[0].message, denied.reasons[0].help) == ("ours", told, "ask ann")
    chain.state(SUBJECT, "statement", EXAMPLES["statement"])
    assert judge(chain, SUBJECT, policy).decision.verdict == "allow"
    chain.state(SUBJECT, "revocation", EXAMPLES["revocation"])
    assert judge(chain, SUBJECT, policy).decision.verdict == "deny"


SILENT = """package stannary.gate
import rego.v1
newest(kind) := max([e.index | some e in input.evidence; e.kind == kind])
deny contains "the newest scan found something" if {
    some e in input.evidence
    e.index == newest("model-scan")
    e.verdict == "unsafe"
}
deny contains msg if {
    some e in input.evidence
    e.kind == "incident"
    e.verdict != "closed"
    msg := sprintf("incident %s is open", [e.check])
}
deny contains {"msg": "nobody approved it"} if {
    count([e | some e in input.evidence; e.kind == "statement"]) == 0
}
deny contains {"msg": "few scans", "rule": "scans", "evidence": "none of it", "help": "scan"} if { count(input.evidence) < 100 }
"""


def test_a_reason_names_the_evidence_that_its_rule_was_about_also_where_the_policy_does_not(engine, tmp_path):
    workspace = Workspace.create(tmp_path / "w", passphrase=None)
    chain = Chain(workspace, write=True)
    clean = {**EXAMPLES["model-scan"], "outcome": "passed", "verdict": "clean", "counts": {}, "findings": [], "omitted": 0}
    states = [clean, EXAMPLES["model-scan"], {**clean, "files": 4}, {**EXAMPLES["model-scan"], "files": 5}]
    scans = [chain.state(SUBJECT, "model-scan", state) for state in states]
    incident = chain.state(SUBJECT, "incident", EXAMPLES["incident"])
    policy = RegoPolicy("a/own.rego", Digest("1" * 64), SILENT, engine)
    decision = judge(chain, SUBJECT, policy).decision
    found = {reason.message.partition(" (")[0]: reason for reason in decision.reasons}
    scan = found["the newest scan found something"]
    assert (scan.rule, scan.evidence, scan.help) == ("own.rego:4", str(scans[3].id), "stannary scan TARGET --record")
    opened = found["incident incident:INC-7 is open"]
    assert (opened.rule, opened.evidence) == ("rego", str(incident.id))
    assert opened.help.startswith("stannary attest TARGET --kind incident")
    nobody = found["nobody approved it"]
    assert (nobody.rule, nobody.evidence) == ("own.rego:15", "")
    assert nobody.message.endswith("(judged from 1 incident, 4 model-scan)")
    assert "--export-input" in nobody.help
    assert (found["few scans"].evidence, found["few scans"].help) == ("none of it", "scan")
    assert set(map(str, decision.evidence)) == {str(item.id) for item in (*scans, incident)}


def test_the_evidence_is_found_among_hundreds_with_few_questions():
    asked = []

    def ask(some):
        asked.append(len(some))
        return sorted({f"bad {item.value.check.id}" for item in some if item.value.outcome == "failed"} | {"always"})

    def one(number):
        outcome = "failed" if number in (3, 60, 61, 399) else "passed"
        check = Check(id=str(number // 100), version="1")
        known = Evidence(
            id=Digest(f"{number:064x}"), subject=Digest(SUBJECT_HEX), subject_name="", kind="eval-result", predicate_type="t",
            check=check, outcome=outcome, issued=datetime(2026, 11, 25, tzinfo=UTC),
        )  # fmt: skip
        return seal(known, keyid="k", identity="ci", index=number)

    evidence = [one(number) for number in range(400)]
    denied = ["always", "bad 0", "bad 3"]
    found = find_causes(ask, denied, evidence[::-1])
    assert [item and item.index for item in found] == [None, 61, 399]
    assert len(asked) <= 20

    def broken(some):
        msg = "gone"
        raise BackendError(msg)

    assert find_causes(broken, denied, evidence) == [None, None, None]


@pytest.mark.parametrize(
    "module",
    ["package stannary.gate\nx := ", "package other\nimport rego.v1\ndeny contains 1 if true", "", "\0", "package stannary.gate"],
)
def test_what_decides_nothing_is_an_error_and_no_pass(engine, module):
    with pytest.raises(StannaryError) as caught:
        engine.deny(module, DOCUMENT)
    assert caught.value.exit_code == 2


_HEAD = "package stannary.gate\nimport rego.v1\n"


@pytest.mark.parametrize(
    "body, line",
    [
        ("deny contains msg if { msg := undefined_thing }", 3),
        ('deny contains "x" if { count(inputt.evidence) == 0 }', 3),
        ('deny contains "x" if {\n  not approved\n}', 4),
        ('deny contains "x" if { x == 1 }', 3),
        ("deny contains msg if { true }", 3),
        ('deny contains "x" if { time.now_ns() > deadline }', 3),
        ('deny contains "x" if { some e in input.evidence; e.kind == kind }', 3),
        ('ready if input.name == "x" else := false if { y }\ndeny contains "x" if not ready', 3),
        ('other contains e if { some e in input.evidence }\ndeny contains "x" if { e.kind == "vuln" }', 4),
        ('deny contains "x" if { count({k | some k in input.evidence; k.kind != wanted}) == 0 }', 3),
    ],
)
def test_a_slip_of_the_pen_is_an_error_and_no_pass(engine, body, line):
    with pytest.raises(UsageError) as caught:
        engine.deny(_HEAD + body, DOCUMENT)
    assert caught.value.exit_code == 2
    assert f"gate.rego:{line}" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        'deny contains "x" if { input.evidence[i].kind == "vuln"; i > 3 }',
        "deny contains msg if { some e in input.evidence; msg := e.kind }",
        'deny contains msg if {\n  [a, b] := ["x", input.name]\n  msg := concat(" ", [a, b])\n}',
        'deny contains msg if {\n  walk(input, [path, value])\n  value == "none of it"\n  msg := sprintf("%v", [path])\n}',
        'double(x) := x * 2\ndeny contains "y" if double(1) == 3',
        'default ready := false\nready if input.name == "x"\ndeny contains "not ready" if not ready',
        'deny contains m if {\n  every e in input.evidence { e.kind }\n  m := "each has a kind"\n}',
        'deny contains m if { {"kind": k} = input.evidence[_]; m := k }',
        "import input.evidence as ev\ndeny contains m if m := ev[_].kind",
        'deny contains "q" if { c := {k: v | some k, v in input.waivers}; count(c) > 0 }',
        "deny contains m if {\n  m := `raw undefined_thing`  # undefined_thing, too\n}",
        "kinds contains n if { some e in input.evidence; n := e.kind }\ndeny contains n if { kinds[n] }",
        'deny contains "a" if {\n  x = input.name\n  x == "y"\n}',
        'grade := "a" if { input.name == "x" } else := "b"\ndeny contains grade if grade == "c"',
    ],
)
def test_what_binds_its_variables_is_taken_by_both(engine, body):
    assert isinstance(engine.deny(_HEAD + body, DOCUMENT), list)


def test_a_server_decides_and_its_policies_are_named_by_digest(oracles, tmp_path):
    file = tmp_path / "own.rego"
    file.write_text(OWN)
    with subprocess.Popen([oracles / "python", TOOL, "serve", file], stdout=subprocess.PIPE, text=True) as process:
        try:
            server = OpaServer(process.stdout.readline().strip())
            assert [row["rule"] for row in server.deny("", DOCUMENT)] == ["ours"]
            assert server.digest() == server.digest()
        finally:
            process.kill()
    with pytest.raises(BackendError, match="cannot be reached"):
        server.deny("", DOCUMENT)
    with pytest.raises(UsageError):
        OpaServer("ftp://x")


def test_the_engine_is_the_one_that_is_asked_for(opa, monkeypatch):
    assert isinstance(choose("regopy"), Regopy)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UsageError, match="needs an `opa`"):
        choose("opa")
    assert isinstance(choose("auto"), Regopy)
    monkeypatch.setenv("PATH", f"{opa.parent}{os.pathsep}/bin")
    assert isinstance(choose("auto"), OpaProgram)


def test_a_program_that_fails_is_an_error(tmp_path):
    path = tmp_path / "opa"
    path.write_text("#!/bin/sh\necho '[' \n")
    path.chmod(0o755)
    with pytest.raises(BackendError, match="not understood"):
        OpaProgram(str(path)).deny(OWN, DOCUMENT)


STRANGE = Bounds(4.0, 1 << 30)  # of a module that somebody else wrote
HURRIED = STRANGE._replace(seconds=1.5)  # regopy gives SLOW up by itself after so many steps, on a fast machine in under 4 s
SLOW = _HEAD + "deny contains x if { some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); x := i * j; x < 0 }"
LARGE = _HEAD + "deny contains x if { some i in numbers.range(1, 5000000); x := sprintf(`%d of it`, [i]) }"


@pytest.fixture(params=["regopy", "opa"])
def hurried(request, opa):
    return Regopy(HURRIED) if request.param == "regopy" else OpaProgram(str(opa), HURRIED)


def test_a_module_of_somebody_else_ends_at_its_time_and_has_no_more_for_the_next_question(hurried):
    began = time.monotonic()
    with pytest.raises(UsageError, match=r"took longer than 1\.5 s") as caught:
        hurried.deny(SLOW, DOCUMENT)
    assert caught.value.code == "POL012"
    assert HURRIED.seconds - 0.5 < time.monotonic() - began < HURRIED.seconds + 8
    with pytest.raises(UsageError, match="took longer"):
        hurried.deny(OWN, DOCUMENT)


def test_a_module_of_somebody_else_has_so_much_memory(opa):
    for engine in (Regopy(Bounds(30.0, 128 << 20)), OpaProgram(str(opa), Bounds(30.0, 128 << 20))):
        with pytest.raises(StannaryError) as caught:
            engine.deny(LARGE, DOCUMENT)
        assert caught.value.code in ("POL006", "POL012"), engine.name
        assert "longer" not in str(caught.value)


def test_an_answer_is_so_long(opa):
    twice = "".join(f"t{n + 1} := concat(``, [t{n}, t{n}])\n" for n in range(15))
    module = _HEAD + f"t0 := `{'x' * 1000}`\n{twice}deny contains t15 if true\n"
    for engine in (Regopy(Bounds(30.0, 4 << 30)), OpaProgram(str(opa), Bounds(30.0, 4 << 30))):
        with pytest.raises(StannaryError) as caught:
            engine.deny(module, DOCUMENT)
        assert caught.value.exit_code == 2, engine.name


def test_a_module_of_somebody_else_reaches_nothing(opa, monkeypatch):
    monkeypatch.setenv("STANNARY_SECRET", "t0p-s3cret")
    shown = _HEAD + "deny contains x if { x := json.marshal(opa.runtime()) }"
    with pytest.raises(UsageError, match="undefined function opa"):
        OpaProgram(str(opa), STRANGE).deny(shown, DOCUMENT)
    assert "t0p-s3cret" not in str(Regopy(STRANGE).deny(shown, DOCUMENT))
    for name in ("http.send({`method`: `GET`, `url`: `http://127.0.0.1:1/`})", "net.lookup_ip_addr(`localhost`)"):
        with pytest.raises(UsageError, match="undefined function"):
            OpaProgram(str(opa), STRANGE).deny(_HEAD + f"deny contains x if {{ x := {name} }}", DOCUMENT)
    # What it may call apart from that, it may still.
    assert OpaProgram(str(opa), STRANGE).deny(OWN, DOCUMENT)[0]["rule"] == "ours"


def test_an_opa_that_does_not_say_what_it_can_do_takes_nothing_of_anybody_else(tmp_path):
    path = tmp_path / "opa"
    path.write_text("#!/bin/sh\necho 'unknown command' >&2; exit 1\n")
    path.chmod(0o755)
    with pytest.raises(BackendError, match="does not say what it can do"):
        OpaProgram(str(path), STRANGE).deny(OWN, DOCUMENT)


def test_what_regopy_says_of_a_module_is_told_with_its_line():
    with pytest.raises(UsageError, match="this is unclosed") as caught:
        Regopy().deny(_HEAD + "nonsense {{{\n", DOCUMENT)
    assert caught.value.where == "gate.rego:3"


@pytest.fixture
def uncollected():
    """Without the garbage collector, which goes through all that this worker ever made: the more tokens, the more often."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("part", ['"\\"', '"\\\n', "`a", "{", "x := {k: v | ", "a := b;"])
def test_variables_are_looked_for_in_time_that_grows_with_the_module_and_no_faster(part, uncollected):
    took = []
    for size in (1 << 14, 1 << 17):  # eight times as long; the square would be 64 times
        module = _HEAD + part * (size // len(part))
        tries = []
        for _ in range(3):  # the least of them: a neighbour's work makes any one longer
            began = time.process_time()
            unbound(module)
            tries.append(time.process_time() - began)
        took.append(min(tries))
    assert took[1] < 32 * max(took[0], 0.01)
