"""Dense honest content is read at the speed of `re`, and what hides in it is still found."""

import pickle
import random

import msgspec
import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import secrets, xml_dull
from stannary.formats.interface import Limits, View

LIMITS = Limits(seconds=600)


def read(content, name):
    return read_view(View(content, name), limits=LIMITS)


def facts(report, kind):
    return [fact for fact in report.facts if fact.kind == kind]


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_that_are_skipped_leave_the_stream_where_it_is(protocol):
    rng = random.Random(1)
    rows = [rng.choice([7, 300, -70000, 0.25, 1e300, -3]) for _ in range(5000)]
    payload = pickle.dumps([rows, "end"], protocol)
    end = len(payload)
    report = read(payload + pickle.dumps(print, protocol), "m.pkl")
    assert not report.missed
    streams = facts(report, "pickle.stream")
    assert [(s.offset, s.data["ended"]) for s in streams] == [(0, "stop"), (end, "stop")]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_number_that_is_cut_is_truncated_and_not_another_number(cut):
    payload = pickle.dumps([0.1] * 3, 2)
    report = read(payload[:-cut], "m.pkl")
    assert facts(report, "pickle.stream")[0].data["ended"] == "truncated"
    assert report.missed


def test_a_call_between_numbers_of_a_long_list_is_found():
    numbers = b"".join(b"I%d\na" % n for n in range(2000))
    report = read(b"(l" + numbers + b"cos\nsystem\n(S'echo stannary'\ntRa" + numbers + b".", "m.pkl")
    assert any("system" in str(fact.data) for fact in report.facts)
    assert facts(report, "pickle.stream")[0].data["ended"] == "stop"


def test_names_that_the_memo_holds_from_a_dense_list_are_resolved():
    words = [f"w{n}" for n in range(3000)]
    body = pickle.dumps(["os", "system", *words], 4)[:-1]
    # Memo 0 is the list, 1 and 2 its first members: dropped from the stack, then taken from the memo.
    report = read(body + b"0h\x01h\x02\x93\x8c\x0decho stannary\x85R.", "m.pkl")
    assert any("system" in str(fact.data) for fact in report.facts)


@pytest.mark.parametrize("before", [0, 31, 32, 500])
def test_keys_that_tell_are_seen_in_a_large_map(before):
    plain = {f"k{n}": n for n in range(2000)}
    names, data = {"nd": True, "type": "O", "kind": "O"}, {"shape": [1], "data": pickle.dumps(print)}
    entries = {**dict(list(plain.items())[:before]), **names, **dict(list(plain.items())[before:]), **data}
    report = read(msgspec.msgpack.encode({"a": entries}), "checkpoint.msgpack")
    assert not report.missed
    assert facts(report, "msgpack.object_array")


@pytest.mark.parametrize("text", ["import os; os.system('echo stannary')", "{{ ''.__class__ }}", "eval(compile('1', '', 'exec'))"])
def test_texts_between_thousands_of_words_are_looked_at(text):
    words = [f"wort{chr(228)}" for _ in range(1000)]
    report = read(msgspec.msgpack.encode({"a": [*words, text, *words]}), "checkpoint.msgpack")
    assert not report.missed
    assert any(fact.kind in ("text.code", "jinja.template") or ".jinja" in fact.part for fact in report.facts)


def pmml(inside, trees=9000):
    node = '<Node score="0.5"><SimplePredicate field="x1" operator="lessOrEqual" value="1.5E-3"/>%s</Node>\n'
    return (
        '<PMML version="4.4"><TreeModel functionName="regression">'
        + node % (node % "") * trees
        + inside
        + node % "" * trees
        + "</TreeModel></PMML>"
    ).encode()


def test_dull_elements_become_spaces_and_nothing_moves():
    content = pmml("<Apply function='java.lang.Runtime.exec'/>")
    blanked = xml_dull.blank(content)
    assert len(blanked) == len(content)
    assert blanked.split() == [b"<PMML", b'version="4.4"><TreeModel', b'functionName="regression">', b"<Apply",
                               b"function='java.lang.Runtime.exec'/>", b"</TreeModel></PMML>"]  # fmt: skip
    assert blanked.index(b"<Apply") == content.index(b"<Apply")


@pytest.mark.parametrize(
    "inside",
    [
        '<Node score="1"><SimplePredicate field="java.lang.Runtime" value="1"/></Node>',
        '<Node score="1"><Extension name="x" value="new ProcessBuilder(1)"/></Node>',
        '<Node score="subprocess"/>',
        '<Node score="1">Runtime.getRuntime().exec("x")</Node>',
    ],
)
def test_code_among_dull_elements_is_found_at_its_place(inside):
    content = pmml(inside)
    assert len(content) > 1 << 20
    found = facts(read(content, "m.pmml"), "pmml.code")
    assert found
    assert all(content.index(inside.encode()) <= f.offset < content.index(inside.encode()) + len(inside) for f in found)


def test_every_detector_is_tried_where_its_anchor_is():
    for detector in secrets.DETECTORS:
        for anchor in detector.anchors:
            assert detector in secrets._worth_trying(b"x" + anchor + b"y")
            assert detector in secrets._worth_trying(b"sk-SK" + anchor)
    assert secrets._worth_trying(b"nothing here") == []


def test_a_large_text_is_searched_once_and_answers_for_itself():
    key = "AKIA" + "QYLPMN5HHHFPZAM2"
    text = ("word " * 300_000 + f'aws_access_key_id = "{key}"\n').encode()
    other = text.replace(key.encode(), b"A" * len(key))
    first = list(secrets.scan(text))
    assert first == list(secrets.scan(text))
    assert [found.offset for found in first] == [text.index(key.encode())]
    assert list(secrets.scan(other)) == []
