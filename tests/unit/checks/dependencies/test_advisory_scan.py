"""`advisories`: pinned dependencies are matched with an OSV dump during a scan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import stannary
from stannary.core.errors import InputError, UsageError

RECORD = {
    "id": "PYSEC-0000-1",
    "summary": "eval of input",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "Somelib"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.4.2"}]}],
        }
    ],
}


def scan(folder: Path, version: str, **options: str) -> list[str]:
    target = folder / "requirements.txt"
    target.write_text(f"somelib=={version}\n")
    return [f.rule for f in stannary.scan(target, **options).findings]


def test_only_versions_in_range_are_reported(tmp_path: Path) -> None:
    dump = tmp_path / "osv.jsonl"
    dump.write_text(json.dumps(RECORD) + "\n")
    assert "DEP007" in scan(tmp_path, "1.4.1", advisories=str(dump))
    assert "DEP007" not in scan(tmp_path, "1.4.2", advisories=str(dump))
    assert "DEP007" not in scan(tmp_path, "1.4.1")


def test_a_file_that_is_no_dump_is_an_error(tmp_path: Path) -> None:
    bad = tmp_path / "osv.jsonl"
    bad.write_bytes(b"\x80\x04]")
    with pytest.raises(InputError):
        scan(tmp_path, "1.0", advisories=str(bad))
    with pytest.raises(UsageError):
        scan(tmp_path, "1.0", advisories=str(tmp_path / "missing"))
