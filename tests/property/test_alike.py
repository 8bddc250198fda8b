"""A pickle that a worker knows by its shape would not have been flagged, nor left unread, by a full reading."""

from __future__ import annotations

import pickle
import random
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stannary.checks.static.alike import Alike
from stannary.checks.static.result import FileReport
from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of
from stannary.checks.static.walk import read_view
from stannary.formats.interface import View
from stannary.formats.pickle_shape import shape_of
from stannary.testing.forges import all_forges
from stannary.testing.mutations import mutate

NAME = "model.pkl"


def read(content: bytes) -> FileReport:
    return read_view(View(content, NAME), strict=True)


def quiet(report: FileReport) -> bool:
    return not report.missed and report.formats == ("pickle",) and not findings_of(report, load_rules(), NAME)


def memory_of(content: bytes) -> Alike:
    memory, report = Alike(), read(content)
    if quiet(report):
        memory.learn(content, report)
        memory.learn(content, report)
    return memory


@cache
def seeds() -> list[bytes]:
    """Return small benign pickles of the forges."""
    built = [
        item.build() for item in all_forges().values() if item.malicious is False and item.name.startswith(("pickle.", "joblib."))
    ]
    return [content for content in built if isinstance(content, bytes) and content[:1] == b"\x80" and len(content) < 6000]


@cache
def hostile() -> list[bytes]:
    """Return small hostile pickles, to splice from."""
    built = [item.build() for name, item in all_forges().items() if item.malicious and name.startswith("pickle.r")]
    return [content for content in built if isinstance(content, bytes) and len(content) < 4000]


def test_some_seeds_have_a_shape() -> None:
    assert sum(memory_of(content).knows(View(content, NAME), content) for content in seeds()) >= 8


@settings(max_examples=400)
@given(st.sampled_from(seeds()), st.integers(0, 2**32))
def test_other_values_are_judged_as_by_a_full_reading(seed: bytes, entropy: int) -> None:
    shape = shape_of(seed, ())
    if shape is None:
        return
    rng = random.Random(entropy)
    left_out = [at for at, kept in enumerate(shape.mask.to_bytes(len(seed), "little")) if not kept]
    changed = bytearray(seed)
    for at in left_out:
        if rng.random() < 0.5:
            changed[at] = rng.choice((0, 0x80, 0x50, 0x63, 0x2E, 0xFF, rng.randrange(256)))
    content = bytes(changed)
    if memory_of(seed).knows(View(content, NAME), content):
        assert quiet(read(content))


@settings(max_examples=400)
@given(st.sampled_from(seeds()), st.integers(0, 2**32))
def test_what_a_mutation_makes_known_is_quiet(seed: bytes, entropy: int) -> None:
    content = mutate(seed, random.Random(entropy), hostile())
    if memory_of(seed).knows(View(content, NAME), content):
        assert quiet(read(content))


leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=300)
    | st.dates()
    | st.decimals()
    | st.complex_numbers()
)
values = st.recursive(
    leaf, lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(values, st.integers(2, 5), st.integers(0, 2**32))
def test_values_of_any_kind(value: Any, protocol: int, entropy: int) -> None:
    content = pickle.dumps(value, protocol)
    memory = memory_of(content)
    shape = shape_of(content, ())
    if shape is None:
        return
    rng = random.Random(entropy)
    kept = shape.mask.to_bytes(len(content), "little")
    changed = bytes(byte if keep else rng.randrange(256) for byte, keep in zip(content, kept, strict=True))
    if memory.knows(View(changed, NAME), changed):
        assert quiet(read(changed))
