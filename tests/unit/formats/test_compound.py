"""Compound files: what is beyond a limit is said not to have been read."""

from __future__ import annotations

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import compound
from stannary.formats.interface import View
from stannary.testing.forges.documents import compound_file


def missed(streams: dict[str, bytes]) -> list[str]:
    return [item.reason for item in read_view(View(compound_file(streams), "a.xls"), strict=True).missed]


@pytest.mark.parametrize(
    "limit,value,streams", [("_STREAM", 5000, {"Workbook": bytes(8192)}), ("_ENTRIES", 3, {f"s{n}": b"x" for n in range(9)})]
)
def test_what_was_not_read_is_said(monkeypatch, limit: str, value: int, streams: dict[str, bytes]) -> None:
    assert missed(streams) == []
    monkeypatch.setattr(compound, limit, value)
    assert any("was read in part" in reason for reason in missed(streams))
