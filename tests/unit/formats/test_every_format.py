"""Every format that has a forge: empty, cut, with another magic number and with absurd lengths it is *incomplete* or a finding."""

import time
from typing import NamedTuple

import pytest

from stannary.checks.static.ruleset import load
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.identify import FORMATS
from stannary.formats.interface import View
from stannary.testing.forges import all_forges

RULES = load()
MOST_BYTES = 200_000
MAGIC = 300  # bytes: a tar's magic number is the last to come, at 257
# Half of a text is a text. Half of one that is read by lines may be as well; weights without a structure have no end.
HALVES = {"ini", "jinja", "python", "requirements", "script", "text", "yaml", "pe", "ggml", "rknn"}
# Those that are no file's first reading in any forge: inside a zip, by name beside another, or not read at all (always incomplete).
ELSEWHERE = {"skops", "marshal", "tfrecord", "raw-weights", "ncnn", "wasm", "rar", "jld2"}


class Sample(NamedTuple):
    """A forge of a format, the most harmless and then the smallest there is."""

    format: str
    name: str
    content: bytes


def read(content: bytes, name: str) -> str:
    report = read_view(View(content, name), strict=True)  # a reader's own bug surfaces
    return verdict_of(findings_of(report, RULES, name), missed=bool(report.missed))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    best: dict[str, tuple[tuple[bool, bool, int], Sample]] = {}
    for forge in all_forges().values():
        content = forge.build() if forge.malicious is not None else b""
        if not isinstance(content, bytes) or not 16 < len(content) < MOST_BYTES:
            continue
        report = read_view(View(content, forge.filename))
        if report.formats:
            rank = (bool(forge.malicious), bool(report.missed), len(content))
            found = best.get(report.formats[0])
            if found is None or rank < found[0]:
                best[report.formats[0]] = (rank, Sample(report.formats[0], forge.filename, content))
    return [sample for _, sample in best.values()]


def test_every_format_has_a_sample(samples):
    assert {row.name for row in FORMATS} - {sample.format for sample in samples} <= ELSEWHERE


def test_an_empty_file_is_incomplete(samples):
    assert {sample.format: verdict for sample in samples if (verdict := read(b"", sample.name)) != "incomplete"} == {}


def test_half_a_file_is_never_clean(samples):
    halves = {sample.format: read(sample.content[: len(sample.content) // 2], sample.name) for sample in samples}
    assert {name for name, verdict in halves.items() if verdict == "clean"} <= HALVES


def test_another_magic_number_is_never_clean(samples):
    spoilt = {s.format: read(b"\xee" * min(len(s.content), MAGIC) + s.content[MAGIC:], s.name) for s in samples}
    assert {name for name, verdict in spoilt.items() if verdict == "clean"} == set()


@pytest.mark.parametrize("number", [b"\xff" * 8, b"\xff" * 7 + b"\x7f", b"\xff\xff\xff\x7f"], ids=["-1", "2**63-1", "2**31-1"])
def test_absurd_lengths_are_read_at_once(samples, number):
    slow = {}
    for sample in samples:
        for at in range(0, min(len(sample.content), 192), 4):
            began = time.process_time()
            read(sample.content[:at] + number + sample.content[at + len(number) :], sample.name)
            if time.process_time() - began > 4:
                slow[sample.format] = at
    assert slow == {}
