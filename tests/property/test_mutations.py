"""No mutation of a payload that still runs is called clean or unverified; the oracle and the mutators do what they say."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import random
import zipfile
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges, make
from stannary.testing.mutations import mutate, wrap
from stannary.testing.mutations_pickle import tokens
from stannary.testing.oracles import runs

FAMILIES = ("pickle", "torch", "zip", "joblib", "numpy", "tar", "compressed")
LARGE = ("bomb", "pad.", "whole", "_10k", "1m", "64m")
ECHO = b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00echotR."


@cache
def seeds(family: str) -> list[tuple[str, bytes]]:
    """Return small forges of a family whose payload runs."""
    found = []
    for name, item in all_forges().items():
        if name.split(".")[0] == family and item.malicious and not any(word in name for word in LARGE):
            content = item.build()
            if isinstance(content, bytes) and len(content) < 6000 and runs(content):
                found.append((item.filename, content))
    return found


def verdict(content: bytes, name: str) -> str:
    report = read_view(View(content, name), strict=True)
    return verdict_of(findings_of(report, load_rules(), name), missed=bool(report.missed))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_payload_that_still_runs_is_never_passed(family: str) -> None:
    pool = [content for _, content in seeds("pickle")]

    @settings(max_examples=250)
    @given(st.sampled_from(seeds(family)), st.integers(0, 2**32))
    def holds(chosen: tuple[str, bytes], entropy: int) -> None:
        changed = mutate(chosen[1], random.Random(entropy), pool)
        given_verdict = verdict(changed, chosen[0])
        if runs(changed):
            assert given_verdict in {"unsafe", "suspicious", "incomplete"}

    holds()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_payload_that_still_runs_is_never_passed(family: str) -> None:
    for name, content in seeds(family)[::9][:6]:
        for end in range(1, len(content), max(1, len(content) // 120)):
            given_verdict = verdict(content[:end], name)
            if runs(content[:end]):
                assert given_verdict in {"unsafe", "suspicious"}, (name, end)


# What the fuzzer found once


@pytest.mark.parametrize(
    "content",
    [
        b"I 5 \ncos\nsystem\n(Vecho\ntR.",  # a number with spaces in front made a text file of it
        b"\x8c\x00\x940\x80\x04I5\x00x\n0" + ECHO[2:],  # a NUL in it, which only the C unpickler takes
        b"\x95\x00\x00\x00\x00\x00\x00\x00\x00\x80\x01cos\nsystem\nr\x2c\x01\x00\x000g 300\n(Vecho\ntR.",  # spaces in a memo index
        b"I010\n0cos\nsystem\n(Vecho\ntR.",  # octal, to strtol alone
        # arguments longer than a probe looks ahead, in what looks like text
        b"cos\nsystem\n(V" + b"a" * 90_000 + b"\ntR.",
        b"I0x" + b"0" * 70_000 + b"1\n0cos\nsystem\n(Vecho\ntR.",
        b"V" + b"a" * 3_000_000 + b"\n0cos\nsystem\n(Vecho\ntR.",
        # gzip with a wrong checksum of its header, which Python does not look at
        b"\x1f\x8b\x08\x02" + bytes(6) + b"\x00\x00" + gzip.compress(ECHO, mtime=0)[10:],
    ],
)  # fmt: skip
def test_found_by_fuzzing(content: bytes) -> None:
    assert runs(content)
    assert verdict(content, "model.pkl") == "unsafe"


def test_a_frame_that_reaches_behind_stop_hides_nothing() -> None:
    # What is loaded next begins where the frame ends, inside what looks like a string.
    hidden = b"\x80\x04\x95\x0a" + bytes(7) + b"N.\x80\x04C\x1e\x00\x00\x00\x00" + ECHO + b"0N."
    assert runs(hidden)
    assert verdict(hidden, "model.pkl") in {"unsafe", "suspicious"}


def test_a_link_in_a_zip_that_is_no_path_is_content() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("archive/data.pkl")
        info.external_attr = 0xA1FF << 16
        archive.writestr(info, ECHO)
    assert verdict(out.getvalue(), "model.pt") == "unsafe"


def test_an_archive_that_contains_itself_often_is_read_in_time() -> None:
    import time

    content = make("zip.plain_directory")
    assert isinstance(content, bytes)
    end = content.rfind(b"PK\x05\x06")
    lying = content[:22] + b"\x00\xff\xff\x00" + content[26:]
    many = b"".join(lying[:end] + content[end:-2] + b"\xff\xff" for _ in range(40))
    started = time.process_time()
    verdict(many, "model.zip")
    assert time.process_time() - started < 2


# The tools themselves


@given(st.integers(0, 2**32))
def test_a_wrapped_payload_runs_as_before(entropy: int) -> None:
    changed = wrap(ECHO, random.Random(entropy))
    assert runs(changed)
    assert verdict(changed, "model.bin") == "unsafe"


def test_the_same_generator_gives_the_same_bytes() -> None:
    first = [mutate(ECHO, random.Random(n), [ECHO]) for n in range(200)]
    assert first == [mutate(ECHO, random.Random(n), [ECHO]) for n in range(200)]
    still = sum(map(runs, first))
    assert 20 < still < 190  # some keep their meaning, some do not


def test_the_oracle_knows_what_runs() -> None:
    assert runs(ECHO)
    assert runs(bz2.compress(ECHO))
    assert not runs(pickle.dumps({"a": [1, 2, b"os system"]}))
    assert not runs(b"\x80\x02cos\nsystem\n.")
    assert b"".join(tokens(ECHO)) == ECHO
    assert len(tokens(ECHO)) == 7
