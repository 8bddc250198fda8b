"""The assembler writes what CPython's pickler and pickletools understand."""

from __future__ import annotations

import pickle
import pickletools

import pytest

from stannary.testing.forges import all_forges
from stannary.testing.pickle_assembler import OPCODES, Assembler, call

NUMBERS = [0, 255, -1, 1 << 40, -(1 << 70), 1.5]
VALUES = [None, True, False, *NUMBERS, "text", "é\n\\", "", (), (1,), (1, 2, 3, 4), [], [1, [2]], {}, {"a": {"b": 1}}]


def test_every_opcode_has_python_s_code():
    theirs = {op.name: op.code.encode("latin-1") for op in pickletools.opcodes}
    assert {name: code for name, (code, _) in OPCODES.items()} == theirs


@pytest.mark.parametrize("protocol", [None, 0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_load_back(value, protocol):
    # Our own bytes, plain values: the one place where a test may load a pickle.
    assert pickle.loads(Assembler(protocol).push(value).stop()) == value


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_bytes_load_back(protocol):
    assert pickle.loads(Assembler(protocol).push(bytes(300)).stop()) == bytes(300)


def test_a_call_is_a_global_and_a_reduce():
    names = [op.name for op, _, _ in pickletools.genops(call("os", "getcwd", protocol=2))]
    assert names == ["PROTO", "GLOBAL", "EMPTY_TUPLE", "REDUCE", "STOP"]
    names = [op.name for op, _, _ in pickletools.genops(call("os", "getcwd", protocol=4))]
    assert "STACK_GLOBAL" in names


def test_an_unknown_type_is_refused():
    with pytest.raises(TypeError, match="no way to write object"):
        Assembler().push(object())


def test_forges_are_many_and_only_echo():
    hostile = [item for item in all_forges().values() if item.name.startswith("pickle.") and item.malicious]
    assert len(hostile) >= 450
    for item in hostile:
        if item.name.startswith("pickle.gadget."):
            content = item.build()
            assert b"rm -" not in content
            assert b"/bin/sh" not in content
