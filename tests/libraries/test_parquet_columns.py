"""Pickles in binary columns, as pyarrow writes them in each compression that is searched."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View

PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0decho stannary\x85R."


def read(path, values, compression, version="1.0"):
    table = pa.table({"x": pa.array(values, pa.binary())})
    pq.write_table(table, path, compression=compression, data_page_version=version)
    return read_view(View(path.read_bytes(), "table.parquet"), strict=True)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
def test_the_pickle_of_a_column_is_found(tmp_path, compression, version) -> None:
    report = read(tmp_path / "t.parquet", [b"a" * 50, PICKLE, b"b" * 50], compression, version)
    assert any(fact.kind.startswith("pickle.") for fact in report.facts)
    plain = read(tmp_path / "p.parquet", [b"a" * 50, b"\x80\x04", b"b" * 50], compression, version)
    assert not any(fact.kind.startswith("pickle.") for fact in plain.facts)
    assert not plain.missed
