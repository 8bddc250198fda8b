"""Whatever becomes of an artifact, every reader comes back in time, without an exception, and says something."""

from __future__ import annotations

import random
import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of, verdict_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.testing.forges import all_forges
from stannary.testing.mutations import mutate

SECONDS = 6.0  # each takes a fraction of one; what does not come back takes minutes
MOST = 20_000
LARGE = ("bomb", "pad.", "whole", "_10k", "1m", "64m", "200k", "huge")
GROUPS = sorted({name.split(".")[0] for name in all_forges()})


@cache
def contents(group: str) -> list[tuple[str, bytes]]:
    """Return (file name, bytes) of the small files of one format's forges, at most 60."""
    found = []
    names = [n for n in all_forges() if n.split(".")[0] == group and not any(word in n for word in LARGE)]
    for name in names[:: max(1, len(names) // 60)]:
        item = all_forges()[name]
        built = item.build()
        files = {item.filename: built} if isinstance(built, bytes) else dict(built)
        found += [(path, content) for path, content in files.items() if 0 < len(content) <= MOST]
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_a_changed_artifact_is_read_to_the_end(group: str) -> None:
    known = contents(group)
    if not known:
        pytest.skip("only large files")
    pool = [content for _, content in contents("pickle")]

    @settings(max_examples=40)
    @given(st.sampled_from(known), st.integers(0, 2**32))
    def holds(chosen: tuple[str, bytes], entropy: int) -> None:
        name, content = chosen
        changed = mutate(content, random.Random(entropy), pool)
        started = time.process_time()
        report = read_view(View(changed, name), strict=True)
        verdict = verdict_of(findings_of(report, load_rules(), name), missed=bool(report.missed))
        assert time.process_time() - started < SECONDS
        # Not silent: a format was recognised, or it is said that none was.
        assert report.formats or report.missed
        assert verdict != "clean" or not report.missed

    holds()


@pytest.mark.parametrize("group", GROUPS)
def test_a_cut_artifact_is_read_to_the_end(group: str) -> None:
    for name, content in contents(group)[:12]:
        for end in range(0, len(content), max(1, len(content) // 25)):
            started = time.process_time()
            read_view(View(content[:end], name), strict=True)
            assert time.process_time() - started < SECONDS, (name, end)
