"""Bytecode is taken apart as `dis` does it, and lifted to calls that are those of the source."""

from __future__ import annotations

import ast
import dis
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stannary.core.errors import FormatError
from stannary.core.model import Json
from stannary.formats.bytecode import VERSIONS, Code, decode, handlers, table, versions_of
from stannary.formats.bytecode_flow import CodeFlow, lift
from stannary.formats.bytecode_lift import Work
from stannary.formats.interface import Budget
from stannary.formats.marshal_code import read_marshal
from stannary.formats.python_flow import Flow
from stannary.formats.python_values import Value

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "disassembly.json").read_text(encoding="utf-8"))
HERE = sys.version_info[:2]
LIBRARY = Path(json.__file__).parent.parent
# Chosen for what they have: generators, coroutines, matching, decorators, comprehensions, finally, class bodies.
MODULES = (
    "textwrap", "heapq", "contextlib", "functools", "string", "shlex", "tempfile", "dataclasses", "statistics",
    "pprint", "webbrowser",
    "subprocess", "shutil", "pdb", "asyncio/base_events", "asyncio/streams", "json/decoder", "importlib/_bootstrap",
    "typing", "enum",
)  # fmt: skip


class Kept:
    """A sink that keeps facts."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, dict[str, Json]]] = []
        self.budget = Budget()
        self.siblings: dict[str, int] = {}

    def fact(self, kind: str, _offset: int | None = None, /, **data: Json) -> None:
        self.facts.append((kind, data))

    def child(self, *_: Any, **__: Any) -> None:
        """Nothing in these tests has children."""

    inflate = incomplete = inert = child


def codes(module: str) -> Iterator[types.CodeType]:
    todo = [compile((LIBRARY / f"{module}.py").read_bytes(), module, "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        yield code
        todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]


def read(code: types.CodeType) -> Code:
    import marshal

    body = read_marshal(marshal.dumps(code), "3.11")[0].body
    assert body is not None
    return body


@pytest.mark.parametrize("version", GOLDEN)
def test_each_version_is_taken_apart_as_its_own_dis_does_it(version: str) -> None:
    major, minor = version.split(".")
    numbers = table((int(major), int(minor)))
    assert len(GOLDEN[version]) >= 8
    for name, code, rows, caught, raw in GOLDEN[version]:
        found = [[ins.name, ins.arg, ins.target] for ins in decode(bytes.fromhex(code), numbers)]
        assert found == [row[1:] for row in rows], name
        assert [list(row) for row in handlers(bytes.fromhex(raw))] == caught, name


def test_every_version_has_a_table() -> None:
    assert sorted(GOLDEN, key=lambda v: int(v[2:])) == [f"{major}.{minor}" for major, minor in VERSIONS]


@pytest.mark.skipif(HERE not in VERSIONS, reason="no table for a Python that is newer than this release")
@pytest.mark.parametrize("module", MODULES)
def test_the_standard_library_is_taken_apart_as_dis_does_it(module: str) -> None:
    jumps = {*dis.hasjrel, *dis.hasjabs}
    for code in codes(module):
        mine = [(i.name, i.arg, i.target) for i in decode(code.co_code, table(HERE))]
        theirs = [
            (i.opname, i.arg or 0, i.argval if i.opcode in jumps else -1)
            for i in dis.get_instructions(code)
            if i.opname not in {"EXTENDED_ARG", "CACHE"}
        ]
        assert mine == theirs, code.co_name


@pytest.mark.skipif(HERE not in VERSIONS, reason="no table for a Python that is newer than this release")
@pytest.mark.parametrize("module", MODULES)
def test_what_a_compiler_wrote_adds_up(module: str) -> None:
    top = next(codes(module))
    assert lift(read(top), HERE, Work(10**6))[1] == []


@pytest.mark.skipif(HERE not in VERSIONS, reason="no table for a Python that is newer than this release")
def test_bytecode_makes_the_calls_of_its_source() -> None:
    source_calls, shared = 0, 0
    for module in MODULES:
        from_source, from_code = Kept(), Kept()
        Flow(from_source).module(ast.parse((LIBRARY / f"{module}.py").read_bytes()))
        CodeFlow(from_code, entry="import").top(lift(read(next(codes(module))), HERE, Work(10**6))[0])
        one, other = (
            {(d["name"], tuple(d["args"]), d["scope"]) for kind, d in sink.facts if kind == "python.call"}  # type: ignore[arg-type]
            for sink in (from_source, from_code)
        )
        source_calls += len(one)
        shared += len(one & other)
    # What differs is how much is known of an argument after branches and exceptions, not which calls there are.
    assert source_calls > 250
    assert shared > 0.8 * source_calls


def touched(source: str, name: str = "f") -> CodeFlow:
    code = next(c for c in compile(source, "x", "exec").co_consts if isinstance(c, types.CodeType) and c.co_name == name)
    flow = CodeFlow(Kept())
    value = Value()
    value.node, value.scope = lift(read(code), HERE, Work(10_000))[0], flow.root
    flow.root.names["os"] = Value("os")
    flow.run(value, "function")
    return flow


def test_a_local_function_named_like_a_module_does_not_hide_it() -> None:
    flow = touched("def f(x):\n def os(): return 1\n def g():\n  class os: pass\n  return os\n return h(x)\ndef h(): pass\n")
    assert "h" in flow.missing
    assert "os.system" in touched("def f(x):\n class os: pass\n def g():\n  import os\n  return os.system\n return g\n").touched


def test_a_global_that_is_set_is_followed() -> None:
    assert "os.system()" in touched("def f(x):\n global r\n r = os.system\n return r('echo') + 1\n").touched


def test_attributes_of_what_nobody_knows_are_listed() -> None:
    flow = touched("def f(x):\n return x.a.__globals__, getattr(x, 'pop' + 'en'), getattr(x, x.b)\n")
    assert {"__globals__", "popen", "a", "b"} <= set(flow.attributes)
    assert flow.unclear


@pytest.mark.parametrize(
    "code, what",
    [
        (b"\x97\x00\x64\x09\x53\x00", "an index beyond the code object's own tables"),
        (b"\x97\x00\x53\x00", "the stack runs empty"),
        (b"\x97\x00\x64\x00", "code that runs on behind its end"),
        (b"\x97\x00\x6e\x40\x64\x00\x53\x00", "a jump to where no instruction is"),
    ],
)
def test_what_no_compiler_writes_is_said(code: bytes, what: str) -> None:
    made = Code("f", code, (None,), (), (), (), (), 0, 0, 3, 1, b"", "3.11")
    assert what in lift(made, (3, 11), Work(100))[1][0]


@pytest.mark.parametrize("code", [b"\x00\x00", b"\xff\x00", b"\x97", b"\x74\x00\x01\x00" + bytes(8), b"\x90\x01" * 9 + b"\x64\x00"])
def test_what_is_no_code_is_refused(code: bytes) -> None:
    with pytest.raises(FormatError):
        decode(code, table((3, 11)))


def test_a_broken_exception_table_is_refused() -> None:
    with pytest.raises(FormatError):
        handlers(b"\x41")


def test_the_layout_tells_the_versions() -> None:
    code = Code("f", b"", (), (), (), (), (), 0, 0, 0, 1, b"", "3.8")
    assert versions_of(code) == ((3, 10), (3, 9), (3, 8))
    assert versions_of(code._replace(layout="2.7")) == ()


def test_work_is_bounded() -> None:
    nops = Code("f", b"\x97\x00" + b"\x09\x00" * 5000, (None,), (), (), (), (), 0, 0, 3, 1, b"", "3.11")
    work = Work(1000)
    assert "more code than is read" in lift(nops, (3, 11), work)[1][0]
