"""The pickle reader: what it reports, opcode by opcode, and how it bears what is broken or huge."""

from __future__ import annotations

import collections
import datetime as dt
import io
import pickle
import pickletools
import subprocess
import sys
import time

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.formats.pickle_glance import glance
from stannary.formats.pickle_opcodes import HANDLERS, OPCODE_NAMES


def facts(content: bytes, kind: str, name: str = "model.pkl") -> list[dict]:
    report = read_view(View(content, name), strict=True)
    return [{**fact.data, "offset": fact.offset} for fact in report.facts if fact.kind == kind]


def missed(content: bytes) -> list[str]:
    return [m.reason for m in read_view(View(content, "model.pkl"), strict=True).missed]


def names(content: bytes) -> list[str]:
    return [f"{f['module']}.{f['name']}" for f in facts(content, "pickle.global")]


CALL = b"cos\nsystem\n(X\x04\x00\x00\x00echotR"


def test_every_opcode_of_pickletools_is_handled() -> None:
    ours = dict(OPCODE_NAMES)
    theirs = {ord(op.code): op.name for op in pickletools.opcodes}
    assert ours == theirs
    assert len(HANDLERS) == 256


@pytest.mark.parametrize("protocol", range(6))
def test_real_objects_name_what_they_import(protocol: int) -> None:
    content = pickle.dumps(
        {"when": dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "o": collections.OrderedDict(a=1), "d": collections.deque([1])}, protocol
    )
    assert {"datetime.datetime", "collections.OrderedDict", "collections.deque"} <= set(names(content))
    assert missed(content) == []
    assert facts(content, "pickle.second") == []  # both readings agree, to the end


def test_a_call_is_reported_with_its_arguments() -> None:
    [call] = facts(b"\x80\x02" + CALL + b".", "pickle.call")
    assert (call["module"], call["name"], call["how"], call["args"]) == ("os", "system", "REDUCE", ["echo"])


@pytest.mark.parametrize(
    "stream,how",
    [
        (b"(X\x04\x00\x00\x00echoios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nX\x04\x00\x00\x00echoo.", "OBJ"),
        (b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85\x81.", "NEWOBJ"),
        (b"\x80\x04cos\nsystem\nX\x04\x00\x00\x00echo\x85}\x92.", "NEWOBJ_EX"),
    ],
)
def test_every_way_to_call(stream: bytes, how: str) -> None:
    [call] = facts(stream, "pickle.call")
    assert call["how"] == how
    assert call["args"] == ["echo"]


def test_python_2_names_are_mapped_and_kept() -> None:
    [found] = facts(b"\x80\x02c__builtin__\neval\n.", "pickle.global")
    assert (found["module"], found["raw"]) == ("builtins", ["__builtin__", "eval"])
    [found] = facts(b"\x80\x03c__builtin__\neval\n.", "pickle.global")
    assert found["module"] == "__builtin__"


def test_memo_by_every_opcode() -> None:
    content = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940" + b"h\x00h\x01\x93."
    assert names(content) == ["os.system"]
    content = b"X\x02\x00\x00\x00osp5\n0X\x06\x00\x00\x00systemr\x07\x00\x00\x000g5\nj\x07\x00\x00\x00\x93."
    assert names(content) == ["os.system"]


def test_memoize_counts_entries_not_indices() -> None:
    # PUT 3 leaves holes 0-2; MEMOIZE then stores at the number of entries, 1, as CPython does.
    content = b"\x80\x04\x8c\x02osq\x03\x8c\x06system\x940h\x03h\x01\x93."
    assert names(content) == ["os.system"]
    assert facts(content, "pickle.second") == []


def test_extension_registered_in_the_stream_is_followed() -> None:
    content = (
        b"\x80\x02ccopyreg\nadd_extension\n(X\x02\x00\x00\x00osX\x06\x00\x00\x00systemK\x07tR0\x82\x07X\x04\x00\x00\x00echo\x85R."
    )
    assert "os.system" in names(content)


def test_getattr_gives_a_dotted_name() -> None:
    content = b"\x80\x04cbuiltins\ngetattr\n(ctorch.serialization\nos\nX\x06\x00\x00\x00systemtR."
    assert "torch.serialization.os.system" in names(content)


def test_computed_names_are_reported() -> None:
    content = b"\x80\x04cbuiltins\nstr\nX\x02\x00\x00\x00os\x85RX\x06\x00\x00\x00system\x93."
    [found] = facts(content, "pickle.computed_name")
    assert found["op"] == "STACK_GLOBAL"


def test_what_precedes_an_error_is_reported() -> None:
    for tail in (b"", b"\xff", b"X\xff\xff\xff\x7fab", b"RRRR.", b"h\x63."):
        content = b"\x80\x02" + CALL + tail
        assert [f["name"] for f in facts(content, "pickle.call")] == ["system"], tail
        assert missed(content), tail


def test_streams_after_the_first_are_read() -> None:
    content = pickle.dumps([1], 4) + b"\x80\x02" + CALL + b"."
    assert "os.system" in names(content)
    assert [f["index"] for f in facts(content, "pickle.stream")] == [0, 1]


def test_nested_and_encoded_pickles_are_read() -> None:
    inner = pickle.dumps(dt.date(2020, 1, 1), 4)
    report = read_view(View(pickle.dumps({"inner": inner}, 4), "model.pkl"), strict=True)
    assert any(f.kind == "pickle.global" and f.part.startswith("bytes@") for f in report.facts)
    import base64

    text = base64.b64encode(pickle.dumps([dt.date(2020, 1, 1), "padding to make it longer"], 4)).decode()
    report = read_view(View(pickle.dumps({"inner": text}, 4), "model.pkl"), strict=True)
    assert any(f.kind == "pickle.global" and f.part.startswith("decoded@") for f in report.facts)


def test_two_readings_that_differ_are_reported() -> None:
    [found] = facts(b"\x80\x04I5\x00x\n0" + CALL + b".", "pickle.second")
    assert found["agrees"] is False
    assert found["second"] == ["os.system"]


def test_a_frame_beyond_the_content_is_reported() -> None:
    [frame] = facts(b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"}.", "pickle.frame")
    assert frame["length"] == 1 << 40


@pytest.mark.parametrize(
    "pad",
    [
        b"N0" * 400_000,
        b"N" * 1_000_000,
        b"]" * 1_000_000,
        b"\x85" * 500_000,
        b"N\x86" * 300_000,
        b"(" * 500_000,
        b"\x94" * 500_000,
        b")R" * 50_000,
    ],
    ids=["pop", "none", "lists", "nest", "pairs", "marks", "memo", "calls"],
)
def test_padding_hides_nothing(pad: bytes) -> None:
    started = time.process_time()
    assert "os.system" in names(b"\x80\x04N\x94" + pad + CALL + b".")
    assert time.process_time() - started < 10


def test_negative_and_huge_lengths_are_errors_not_allocations() -> None:
    for stream in (
        b"\x80\x04\x8b\xff\xff\xff\xff",
        b"\x80\x04\x8e" + b"\xff" * 8,
        b"\x80\x04T\xff\xff\xff\xff",
        b"\x80\x04\x96" + b"\x7f" * 8,
    ):
        assert missed(stream)


@pytest.mark.parametrize(
    "text",
    [
        b"hello world\n",
        b"import os\nos.system('x')\n",
        b"cat\ndog\nfish\n",
        b"class A:\n  pass\n",
        b"0.5 0.25\n",
        b"(a, b)\n",
        b"{}",
        b"[1]",
    ],
)
def test_ordinary_text_is_no_pickle(text: bytes) -> None:
    assert not glance(text).runs


def test_protocol_0_is_told_by_its_opcodes() -> None:
    assert glance(b"cos\nsystem\n(S'echo'\ntR.").runs
    assert glance(b"(lp0\n.").runs is False


def test_a_bytearray_that_no_memory_holds_is_an_error_of_the_reading_and_no_noise_on_stderr():
    code = """
import resource, struct, sys
from stannary.formats.pickle_real import read_for_real
resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))
used = [[number, number] for number in range(1000)]
del used  # what the allocator hands out again is not zero
content = b"\\x80\\x05cos\\nsystem\\n0\\x96" + struct.pack("<Q", 1 << 40) + b"abc"
for _ in range(200):
    reading = read_for_real(memoryview(content), 0, len(content), [])
assert sys.excepthook is sys.__excepthook__
print(reading.names, reading.error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("[('os', 'system')] out of memory\n", "")


def test_a_frame_that_ends_inside_an_opcode_is_said_to_be_torn() -> None:
    # In memory the string is a string; from a file CPython's C unpickler runs what is in it.
    hidden = b"\x00cos\nsystem\n(Vecho\ntR."
    content = b"\x80\x04\x95" + (4).to_bytes(8, "little") + b"NNX" + len(hidden).to_bytes(4, "little") + hidden + b"."
    assert facts(content, "pickle.frame") == [{"length": 4, "left": 7 + len(hidden), "offset": 2}]
    assert [f["agrees"] for f in facts(content, "pickle.second")] == [False]


@pytest.mark.parametrize("pickler", [pickle.Pickler, pickle._Pickler])
@pytest.mark.parametrize("protocol", [4, 5])
def test_frames_of_honest_picklers_end_where_opcodes_do(pickler: type[pickle.Pickler], protocol: int) -> None:
    target = io.BytesIO()
    pickler(target, protocol).dump(
        [[str(i), i, bytes(i % 70), float(i)] for i in range(30_000)] + [bytes(100_000), "x" * 80_000] * 4
    )
    content = target.getvalue()
    assert content.count(b"\x95") > 10
    assert facts(content, "pickle.frame") == []
    assert facts(content, "pickle.second") == []


@pytest.mark.parametrize("args", [b"K\x01", b"]", b"Vx\n", b"N", b"cos\nsystem\n", b"(K\x01K\x02l"])
@pytest.mark.parametrize(
    "func", [b"cdill._dill\n_create_code\n", b"c_codecs\nencode\n", b"cbuiltins\ngetattr\n", b"ctypes\nCodeType\n"]
)
def test_a_call_whose_arguments_are_no_tuple_is_read(func: bytes, args: bytes) -> None:
    call = func + args + b"R"
    content = b"\x80\x02cdill._dill\n_create_function\n" + call + b"cmarshal\nloads\n" + call + b"\x85R\x86R."
    assert {"marshal.loads", "dill._dill._create_function"} <= set(names(content))


def test_keys_that_share_a_hash_are_seen_before_a_loader_compares_each_with_every_other() -> None:
    stream = (
        b"\x80\x04}(" + b"".join(b"\x8a\x0b" + (n * ((1 << 61) - 1)).to_bytes(11, "little") + b"N" for n in range(60_000)) + b"u."
    )
    began = time.process_time()
    report = read_view(View(stream, "m.pkl"))
    assert time.process_time() - began < 5  # minutes, if CPython's unpickler got it
    assert any(fact.kind == "pickle.bomb" and fact.data["what"] == "key" for fact in report.facts)


@pytest.mark.parametrize(
    "value",
    [
        {number * 0x9E3779B97F4A7C15 % (1 << 64): None for number in range(20_000)},
        {(-number, float(number)): None for number in range(20_000)},
        [{(1 << 63, "a"): None, (1 << 63) + number: None} for number in range(5_000)],
        [dict.fromkeys([-1, -2, (-1,), (-2,), ((1 << 61) - 1) * 2, 0]) for _ in range(5_000)],  # few that are alike, often
    ],
    ids=["64 bits", "tuples", "again and again", "few alike"],
)
def test_keys_of_honest_dictionaries_are_no_bomb(value: object) -> None:
    report = read_view(View(pickle.dumps(value, 4), "m.pkl"))
    assert not [fact for fact in report.facts if fact.kind == "pickle.bomb"]
    assert not report.missed


@pytest.mark.parametrize(
    "key",
    [
        b"((lt",  # a tuple of a list
        b"((dt",
        b"](K\x01e\x85\x85",
        b")" + b"\x85" * 3000,  # too deep to compare, and equal to the next
    ],
)
def test_keys_that_no_dictionary_takes_do_not_end_the_reading(key: bytes) -> None:
    stream = b"\x80\x04}" + 2 * (key + b"K\x01s") + CALL + b"K\x02s."
    assert [call["name"] for call in facts(stream, "pickle.call")] == ["system"]
    assert all("reader" not in reason for reason in missed(stream))
