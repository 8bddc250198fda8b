"""Directives are found wherever they stand in a file, and harmless ones hide no other."""

from __future__ import annotations

import json

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View


def read(text: str, name: str):
    report = read_view(View(text.encode(), name), strict=True)
    found = [fact.data for fact in report.facts if fact.kind == "text.directive"]
    return found, [item.reason for item in report.missed]


PROGRAM = '[core]\n\tsshCommand = "echo hidden"\n'


@pytest.mark.parametrize("padding", [0, 1 << 20, (1 << 20) - 20, 3 << 20])
def test_padding_hides_nothing(padding: int) -> None:
    lines = "# padding\n" * (padding // 10)
    [found], missed = read(lines + PROGRAM, ".gitconfig")
    assert "echo hidden" in found["value"]
    assert found["line"] == lines.count("\n") + 2
    assert missed == []


def test_what_a_directive_needs_may_stand_far_from_it() -> None:
    lines = "# padding\n" * 200_000
    [found], _ = read("[core]\n" + lines + "\tsshCommand = echo hidden\n", ".gitconfig")
    assert "echo hidden" in found["value"]


def lock(urls: list[str], **how) -> str:
    packages = {f"node_modules/p{n}": {"version": "1.0.0", "resolved": url} for n, url in enumerate(urls)}
    return json.dumps({"lockfileVersion": 3, "packages": packages}, **how)


@pytest.mark.parametrize("how", [{"indent": 1}, {}], ids=["lines", "one line"])
def test_a_thousand_packages_of_one_place_do_not_hide_that_of_another(how) -> None:
    many = [f"https://packages.example.org/p{n}/-/p{n}-1.0.0.tgz" for n in range(3000)]
    found, missed = read(lock([*many, "http://198.51.100.7/p.tgz"], **how), "package-lock.json")
    assert any("198.51.100.7" in fact["value"] for fact in found)
    assert len(found) < 5
    assert missed == []


def test_too_many_to_tell_is_incomplete() -> None:
    aliases = "".join(f"\ta{n} = !echo {n}\n" for n in range(600))
    found, missed = read(f"[alias]\n{aliases}", ".gitconfig")
    assert len(found) == 500
    assert any("more than 500 lines" in reason for reason in missed)


def test_an_innocent_neighbour_excuses_nothing() -> None:
    text = '{"lockfileVersion": 3, "packages": {"a": {"license": "MIT", "resolved": "http://198.51.100.7/license/p.tgz"}}}'
    found, _ = read(text, "package-lock.json")
    assert any("198.51.100.7" in fact["value"] for fact in found)
    assert read('{"packages": {"a": {"license": "http://198.51.100.7/MIT"}}}', "package-lock.json")[0] == []


@pytest.mark.parametrize("at", [0, 1 << 20])
def test_a_flag_and_what_makes_it_dangerous_stand_far_apart(at: int) -> None:
    lines = "echo step\n" * (at // 10)
    found, _ = read("ARGS=--listen\n" + lines + "python launch.py --enable-insecure-extension-access $ARGS\n", "start.sh")
    assert found[0]["id"] == "open-to-anybody"


def test_an_option_on_a_line_of_its_own_is_no_comment_of_sql() -> None:
    [found], _ = read("python launch.py \\\n  --disable-safe-unpickle\n", "start.sh")
    assert found["id"] == "unpickles-unchecked"
    assert read("-- python launch.py --disable-safe-unpickle\n# --disable-safe-unpickle\n", "start.sh")[0] == []
