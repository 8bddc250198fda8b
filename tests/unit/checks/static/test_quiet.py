"""Facts in which nothing was found need judging once, and anything else every time."""

import pytest

import stannary
from stannary.checks.static import scan_worker
from stannary.checks.static.quiet import Quiet
from stannary.checks.static.result import FileReport
from stannary.checks.static.ruleset import RuleSet, load
from stannary.checks.static.walk import read_view
from stannary.formats.interface import Fact, View
from stannary.testing.pickle_assembler import Assembler


def report(*facts):
    return FileReport(("pickle",), facts, ())


CALL = Fact("pickle.call", 5, {"module": "numpy", "name": "dtype", "args": ["f8"]})


def test_where_something_stands_does_not_matter():
    quiet = Quiet(load())
    stream = Fact("pickle.stream", 0, {"length": 40})
    elsewhere = Fact("pickle.call", 9, CALL.data)
    assert quiet.key(report(stream, CALL)) == quiet.key(report(Fact("pickle.stream", 7, {"length": 60}), elsewhere))


@pytest.mark.parametrize(
    "other",
    [
        (Fact("pickle.global", 5, CALL.data),),
        (Fact("pickle.call", 5, {**CALL.data, "args": ["f4"]}),),
        (Fact("pickle.call", 5, CALL.data, "archive/data.pkl"),),
        (CALL, CALL),
        (),
    ],
)
def test_other_facts_are_judged_themselves(other):
    quiet = Quiet(load())
    quiet.learn(quiet.key(report(CALL)))
    assert quiet.knows(quiet.key(report(CALL)))
    assert not quiet.knows(quiet.key(report(*other)))


def called(module, name, *args, **more):
    data = {"module": module, "name": name, "how": "REDUCE", "count": 1, "computed": False, "args": list(args), **more}
    return report(Fact("pickle.call", 5, data))


DTYPE = {"call": "numpy.dtype", "args": ["f8", False, True]}


def array(size, head, *, maker="_frombuffer", **more):
    return called("numpy.core.numeric", maker, {"bytes": size, "head": head}, DTYPE, [size // 8], "C", **more)


@pytest.mark.parametrize(
    "one, other",
    [
        (array(40, "ab"), array(800, "cd")),
        (called("_codecs", "encode", "ab", "latin1"), called("_codecs", "encode", "cd", "latin1")),
    ],
)
def test_arrays_that_differ_in_their_numbers_are_the_same_to_a_judge(one, other):
    quiet = Quiet(load())
    assert quiet.key(one) == quiet.key(other)
    assert not scan_worker.findings_of(one, load(), "m.pkl")


@pytest.mark.parametrize(
    "one, other",
    [
        (array(40, "ab", maker="load_some"), array(40, "cd", maker="load_some")),
        (array(40, "ab", computed=True), array(40, "cd", computed=True)),
        (array(40, "ab", raw=["os", "x"]), array(40, "cd", raw=["os", "x"])),
        (called("_codecs", "encode", "ab", "rot13"), called("_codecs", "encode", "cd", "rot13")),
        (called("_codecs", "encode", "ab", "latin1", 1), called("_codecs", "encode", "cd", "latin1", 1)),
        (called("os", "system", "ls"), called("os", "system", "id")),
        (called("os", "system", {"bytes": 2, "head": "ls"}), called("os", "system", {"bytes": 2, "head": "id"})),
        (
            called("numpy", "dtype", {"bytes": 2}, {"global": "os.system"}),
            called("numpy", "dtype", {"bytes": 2}, {"global": "numpy.ndarray"}),
        ),
        (called("pickle", "loads", {"bytes": 2, "head": "a"}), called("pickle", "loads", {"bytes": 2, "head": "b"})),
    ],
)
def test_what_a_judge_may_look_at_tells_calls_apart(one, other):
    quiet = Quiet(load())
    assert quiet.key(one) != quiet.key(other)


def test_many_facts_and_what_cannot_be_encoded_are_judged_each_time():
    quiet = Quiet(load())
    deep = []
    for _ in range(100_000):
        deep = [deep]
    odd = [report(Fact("pickle.call", 5, {"module": value})) for value in ("\udcff", 1 << 80, deep, object())]
    for found in (report(*[CALL] * 100), *odd):
        quiet.learn(quiet.key(found))
        assert not quiet.knows(quiet.key(found))


def test_with_rules_of_a_plug_in_nothing_is_remembered():
    shipped = load()
    quiet = Quiet(RuleSet(shipped.rules.values(), shipped.sets, "", (lambda _: iter(()),)))
    quiet.learn(quiet.key(report(CALL)))
    assert not quiet.knows(quiet.key(report(CALL)))


def test_what_has_no_finding_is_judged_once_and_what_has_one_each_time(tmp_path, monkeypatch):
    plain = Assembler(4).call("collections", "OrderedDict").stop()
    hostile = Assembler(4).call("os", "system", "echo stannary").stop()
    for number in range(3):
        # Of two lengths, or they would not be read in full.
        (tmp_path / f"a{number}.pkl").write_bytes(plain[:-1] + b"\x8c" + bytes((number,)) + b"x" * number + b"\x86.")
        (tmp_path / f"b{number}.pkl").write_bytes(hostile)
    judged = []
    original = scan_worker.findings_of
    monkeypatch.setattr(scan_worker, "findings_of", lambda *given: judged.append(given[2]) or original(*given))
    monkeypatch.delattr("os.fork")  # in this process
    target = stannary.scan(tmp_path, jobs=1).targets[0]
    assert sorted(judged) == ["a0.pkl", "b0.pkl", "b1.pkl", "b2.pkl"]
    assert [file.verdict for file in target.files] == ["clean"] * 3 + ["unsafe"] * 3


def test_the_facts_of_a_pickle_are_among_them():
    quiet = Quiet(load())
    found = read_view(View(Assembler(4).call("collections", "OrderedDict").stop(), "m.pkl"), strict=True)
    assert quiet.key(found)
