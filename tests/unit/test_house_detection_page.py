"""The page of detection: what is made anew stays between its marks, what is written by hand is not touched."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def detection():
    spec = importlib.util.spec_from_file_location("detection", ROOT / "benchmarks" / "corpus" / "detection.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_the_part_between_the_marks_is_replaced(detection):
    page = (ROOT / "docs" / "reference" / "detection.md").read_text(encoding="utf-8")
    again = detection.part(page, "forges", "made anew\n")
    before, after = page.partition("<!-- made by detection.py: forges -->")[0], page.partition("<!-- end of forges -->")[2]
    assert again.startswith(before)
    assert again.endswith(after)
    assert "made anew" in again
    assert "MessagePack and flax" not in again.partition("<!-- end of forges -->")[0]
    assert detection.part(again, "forges", "made anew\n") == again


def test_a_page_without_marks_is_left_alone(detection):
    with pytest.raises(SystemExit, match="nothing was written"):
        detection.part("# Detection\n\nby hand\n", "models", "made anew\n")
