"""A policy in Rego, evaluated by regopy, by an `opa` program and by an OPA server: one answer, and never a pass by accident."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stannary.core.errors import BackendError, StannaryError, UsageError
from stannary.core.model import Digest
from stannary.evidence.chain import Chain
from stannary.evidence.engines.interface import choose
from stannary.evidence.engines.opa_program import OpaProgram
from stannary.evidence.engines.opa_server import OpaServer
from stannary.evidence.engines.regopy_ import Regopy
from stannary.evidence.gate import judge
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
    assert (denied.reasons[0].rule, denied.reasons[0].message, denied.reasons[0].help) == ("ours", "nobody approved it", "ask ann")
    chain.state(SUBJECT, "statement", EXAMPLES["statement"])
    assert judge(chain, SUBJECT, policy).decision.verdict == "allow"
    chain.state(SUBJECT, "revocation", EXAMPLES["revocation"])
    assert judge(chain, SUBJECT, policy).decision.verdict == "deny"


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
