"""What the columns of a CSV are: one rule over the whole file, whatever order and chunks its rows come in."""

import csv
import io
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.registry import column_types
from stannary.registry.column_types import infer


def kinds(*columns):
    rows = [list(row) for row in itertools.zip_longest(*columns, fillvalue="")]
    return infer(iter(rows), len(columns), lambda: 0)[1]


@pytest.mark.parametrize(
    "kind, cells",
    [
        ("boolean", ["true", "False", "TRUE", ""]),
        ("integer", ["0", "-1", "+12", "123456789012345678"]),
        ("number", ["1", "2.5", ".5", "1e-3", "nan", "-inf", "5."]),
        ("date", ["2026-11-26", "2024-02-29"]),
        ("timestamp", ["2026-11-26T10:00:00Z", "2026-11-26 10:00", "2026-11-26T10:00:00.123456789+02:00"]),
        ("null", ["", "", ""]),
        ("text", ["1", "a"]),
        ("text", ["007"]),
        ("text", ["1234567890123456789"]),
        ("text", ["2025-02-29"]),
        ("text", ["2026-11-26", "2026-11-26T10:00:00Z"]),
        ("text", ["2026-11-26T25:00:00Z"]),
        ("text", ["true", "1"]),
        ("text", [" 1"]),
        ("text", ["1\n"]),
        ("text", ["\u0661"]),
        ("text", ["1_000"]),
        ("text", ["0x10"]),
        ("text", ["tru\u0131e", "true"]),
    ],
)
def test_a_column_is_what_every_cell_of_it_is(kind, cells):
    assert kinds(cells) == [kind]
    assert kinds(list(reversed(cells))) == [kind]


CELLS = st.sampled_from(["", "0", "1", "-3", "2.5", "1e3", "nan", "true", "FALSE", "2026-11-26", "2026-11-26T10:00:00", "x", "007"])


@given(st.lists(st.lists(CELLS, max_size=4), max_size=30), st.integers(1, 7), st.randoms())
def test_neither_chunks_nor_the_order_of_rows_matter(rows, cells, random):
    whole = infer(iter([list(row) for row in rows]), 3, lambda: 0)
    mixed = random.sample(rows, len(rows))
    before = column_types._CELLS
    try:
        column_types._CELLS = cells
        assert infer(iter(mixed), 3, itertools.count(0, 3 << 20).__next__) == whole
    finally:
        column_types._CELLS = before


@given(st.lists(CELLS, max_size=20))
def test_more_rows_never_make_a_column_narrower(cells):
    ladder = {"null": 0, "boolean": 1, "integer": 1, "date": 1, "timestamp": 1, "number": 2, "text": 3}
    found = [ladder[kinds(cells[:end])[0]] if cells[:end] else 0 for end in range(len(cells) + 1)]
    assert found == sorted(found)


def test_short_and_long_rows_are_counted():
    assert infer(iter([["1", "a"], ["2"], [], ["3", "b", "more"]]), 2, lambda: 0) == (4, ["integer", "text"], [1, 2])


def test_half_a_million_cells_take_seconds_at_most():
    text = "\n".join(f"{n},{n / 7},2026-11-26,true,t{n}" for n in range(100_000))
    began = time.process_time()
    count, found, _ = infer(csv.reader(io.StringIO(text)), 5, lambda: 0)
    assert (count, found) == (100_000, ["integer", "number", "date", "boolean", "text"])
    assert time.process_time() - began < 10
