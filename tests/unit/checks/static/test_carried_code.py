"""Functions and classes that pickles carry as bytecode: the hostile ones are named with what they call, the others pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from stannary.checks.static.result import ScanFinding
from stannary.checks.static.ruleset import load
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_file
from stannary.testing.forges import Forge, all_forges
from stannary.testing.forges.pickle_code import carried
from stannary.testing.pickle_assembler import Assembler

CARRIED = [forge for forge in all_forges().values() if forge.name.startswith("pickle_code.")]


def findings(content: bytes, folder: Path) -> tuple[str, list[ScanFinding]]:
    path = folder / "model.pkl"
    path.write_bytes(content)
    report = read_file(str(path), name=path.name, strict=True)
    found = findings_of(report, load(), path.name)
    return verdict_of(found, missed=bool(report.missed)), found


def test_there_are_many() -> None:
    assert len({f.name.removesuffix("_dill") for f in CARRIED if f.malicious}) > 80
    assert len({f.name.removesuffix("_dill") for f in CARRIED if f.malicious is False}) > 20


@pytest.mark.parametrize("forge", [f for f in CARRIED if f.malicious], ids=lambda f: f.name)
def test_hostile_code_is_named(forge: Forge, tmp_path: Path) -> None:
    content = forge.build()
    assert isinstance(content, bytes)
    verdict, found = findings(content, tmp_path)
    assert verdict in {"suspicious", "unsafe"}
    assert any(f.rule == "PKL035" for f in found), [f.message for f in found]


@pytest.mark.parametrize("forge", [f for f in CARRIED if f.malicious is False], ids=lambda f: f.name)
def test_honest_code_passes(forge: Forge, tmp_path: Path) -> None:
    content = forge.build()
    assert isinstance(content, bytes)
    verdict, found = findings(content, tmp_path)
    assert verdict == "clean", [f.message for f in found]
    assert any(f.rule == "PKL036" for f in found)


@pytest.mark.parametrize(
    "source, said",
    [
        ("import os\ndef f(x):\n return os.system('echo stannary')\n", "os.system(echo stannary)"),
        ("def f(x):\n return getattr(__import__('o' + 's'), 'sys' + 'tem')('echo stannary')\n", "os.system(echo stannary)"),
        (
            "import socket\ndef f(x):\n return socket.create_connection(('192.0.2.1', 80))\n",
            "socket.create_connection(192.0.2.1 80)",
        ),
        ("def f(x):\n with open('/tmp/x', 'w') as o: o.write('x')\n", "open(/tmp/x, w)"),
    ],
)
def test_the_call_and_its_argument_are_in_the_message(source: str, said: str, tmp_path: Path) -> None:
    _, found = findings(carried(source), tmp_path)
    assert any(said in f.message for f in found), [f.message for f in found]


def test_code_that_runs_while_it_is_loaded_is_worse(tmp_path: Path) -> None:
    source = "import os\nclass M:\n def {}(self, state):\n  os.system('echo stannary')\n"
    _, loading = findings(carried(source.format("__setstate__"), dill=True, call=True), tmp_path)
    _, later = findings(carried(source.format("predict"), dill=True, call=True), tmp_path)
    assert any(f.severity == "critical" and "while it is loaded" in f.message for f in loading)
    assert not any("while it is loaded" in f.message for f in later)


def test_two_functions_that_differ_in_their_bytecode_alone_are_both_read(tmp_path: Path) -> None:
    one = "import os\ndef f(x):\n return len('echo') or os.system\n"
    other = "import os\ndef f(x):\n return os.system('echo') or len\n"
    first, second = (carried(source)[2:-1] for source in (one, other))
    _, found = findings(Assembler(4).raw(first).raw(second).op("TUPLE2").stop(), tmp_path)
    assert any("os.system(echo)" in f.message for f in found)


def test_names_that_nobody_knows_leave_it_unverified(tmp_path: Path) -> None:
    for source in (
        "import nobodyknows\ndef f(x):\n return nobodyknows.clean(x)\n",
        "def f(x):\n return helper(x)\n",
        "def f(x, name):\n return getattr(x, name)(x)\n",
    ):
        verdict, found = findings(carried(source), tmp_path)
        assert verdict == "unverified", [f.message for f in found]


def test_code_that_does_not_add_up_is_not_called_harmless(tmp_path: Path) -> None:
    content = carried("def f(x):\n return x\n")
    honest = b"\x97\x00|\x00S\x00"
    if honest not in content:
        pytest.skip("the bytes are those of Python 3.11 and 3.12")
    verdict, found = findings(content.replace(honest, b"\x97\x00|\x07S\x00"), tmp_path)
    assert verdict == "unverified"
    assert any("cannot be read" in f.message for f in found)


def _values(*values: Assembler) -> bytes:
    return Assembler(4).push({f"v{index}": value for index, value in enumerate(values)}).stop()


def test_what_classes_are_annotated_and_decorated_with_is_no_finding(tmp_path: Path) -> None:
    def name(module: str, attribute: str) -> Assembler:
        return Assembler(4).name(module, attribute)

    none = Assembler(4).call("builtins", "type", None)
    listed = Assembler(4).call("_operator", "getitem", name("typing", "List"), name("builtins", "str"))
    union = Assembler(4).call("_operator", "getitem", name("typing", "Union"), (name("builtins", "list"), none))
    verdict, found = findings(_values(listed, union), tmp_path)
    assert verdict == "clean", [f.message for f in found]
    taken = Assembler(4).call("_operator", "getitem", name("os", "environ"), "HOME")
    made = Assembler(4).call("builtins", "type", "K", (), {})
    assert findings(_values(taken), tmp_path)[0] == "unsafe"
    assert findings(_values(made), tmp_path)[0] in {"suspicious", "unsafe"}


def test_only_known_functions_may_be_bound(tmp_path: Path) -> None:
    def bound(module: str, attribute: str) -> bytes:
        method = Assembler(4).push(Assembler(4).call("cloudpickle.cloudpickle", "_builtin_type", "MethodType"))
        return _values(method.reduce(Assembler(4).name(module, attribute), 1))

    assert findings(bound("numpy", "mean"), tmp_path)[0] in {"clean", "unverified"}
    assert findings(bound("os", "system"), tmp_path)[0] == "unsafe"


def test_a_class_that_cannot_be_read_is_not_called_unseen(tmp_path: Path) -> None:
    def instance(code: Assembler | None) -> bytes:
        members = {"__init__": Assembler(4).call("dill._dill", "_create_function", code, {})} if code is not None else {}
        kind = Assembler(4).call("dill._dill", "_load_type", "type")
        made = Assembler(4).call("dill._dill", "_create_type", kind, "K", (Assembler(4).name("builtins", "object"),), members)
        return Assembler(4).push(made).reduce(1).stop()

    assert findings(instance(None), tmp_path)[0] == "clean"
    unreadable = Assembler(4).call("dill._dill", "_create_code", b"?")
    assert findings(instance(unreadable), tmp_path)[0] in {"suspicious", "unsafe"}


def test_every_kind_of_behaviour_has_a_severity_where_a_pickle_carries_it():
    from stannary.checks.static.judges.pickle_code import _CARRIED
    from stannary.checks.static.judges.python_kinds import RULES, SEVERITIES

    assert set(_CARRIED) == set(SEVERITIES) == set(RULES)
