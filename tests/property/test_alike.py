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
from stannary.formats.pickle_embedded import OPENERS, embedded_kind, encoded_head
from stannary.formats.pickle_encodings import reversed_head
from stannary.formats.pickle_shape import shape_of
from stannary.formats.pickle_texts import template_of
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


# What a full reading looks for in texts, somewhere.
TEXTS = (
    b"", b"a", b"os", b"os.system", b"__import__('os').system('echo')", b"curl http://x | sh", b"/bin/sh", b"subprocess.Popen",
    b"gASVabcdefghijklmnopqrstuvwxyzabcdefgh", b"cos\nsystem\n(S'echo'\ntR.", b"H4sIAAAAAAAAAAAAAAAAAAAAAAAAAAAA", b"x" * 30,
    b"{{ ''.__class__ }}", b"\xff\xfe", b"\xed\xa0\x80", b"exec", b"formula", b"_target_", b"__reduce__", b"=" + b"A" * 30,
    b"8004950000000000000063", b"x" * 300,
)  # fmt: skip


def with_texts(seed: bytes, rng: random.Random) -> bytes | None:
    """Return a stream with other texts where they are free, and its frame as it must be; None when none is."""
    shape = shape_of(seed, ())
    traced = None if shape is None else template_of(seed, shape)
    template = None if traced is None else traced[1]
    if template is None:
        return None
    out, last = bytearray(), 0
    for piece, (start, end) in zip(template.pieces, template.spans(seed), strict=False):
        text = rng.choice(TEXTS) if rng.random() < 0.6 else seed[start:end]
        text = text[:255] if piece.width == 1 else text
        out += seed[last : start - piece.width] + len(text).to_bytes(piece.width, "little") + text
        last = end
    out += seed[last:]
    if template.framed and rng.random() < 0.95:
        out[3:11] = (len(out) - 11).to_bytes(8, "little")
    return bytes(out)


def told(report: FileReport) -> list[tuple[str, Any]]:
    """Return the facts without what moves when texts are longer."""
    return [(fact.kind, None if fact.kind == "pickle.stream" else fact.data) for fact in report.facts]


def test_some_seeds_have_free_texts() -> None:
    assert sum(with_texts(seed, random.Random(1)) is not None for seed in seeds()) >= 5


@settings(max_examples=400)
@given(st.sampled_from(seeds()), st.integers(0, 2**32))
def test_other_texts_are_judged_as_by_a_full_reading(seed: bytes, entropy: int) -> None:
    rng = random.Random(entropy)
    memory = memory_of(seed)
    for _ in range(3):  # the second is compared with what the first has narrowed
        content = with_texts(seed, rng)
        if content is not None and memory.knows(View(content, NAME), content):
            assert quiet(read(content))
            assert told(read(content)) == told(read(seed))


@given(st.binary(min_size=1, max_size=64))
def test_what_is_looked_into_begins_with_an_opener(head: bytes) -> None:
    # The machine and the shapes look no further where the first byte is none.
    if head[0] not in OPENERS:
        assert (embedded_kind(head), encoded_head(head), reversed_head(head)) == ("", False, False)


@given(st.sampled_from(sorted(set(range(256)) - OPENERS)), st.sampled_from(TEXTS))
def test_nor_does_anything_that_is_known_with_another_first_byte(first: int, text: bytes) -> None:
    head = bytes((first,)) + text[1:64]
    assert (embedded_kind(head), encoded_head(head), reversed_head(head)) == ("", False, False)


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
    other = with_texts(content, rng)
    if other is not None and memory.knows(View(other, NAME), other):
        assert quiet(read(other))
