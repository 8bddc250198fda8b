"""Code and commands in XML are found behind any padding, and searched in time that grows with the document alone."""

from __future__ import annotations

import time

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats.interface import View


def facts(text: str, name: str):
    report = read_view(View(text.encode(), name), strict=True)
    return [(fact.kind, fact.data) for fact in report.facts if fact.kind.startswith("xml.")], [m.reason for m in report.missed]


@pytest.mark.parametrize("padding", ["", "\n" * 5000, " " * 200_000, "// a line of a comment\n" * 3000])
def test_padding_hides_no_code(padding: str) -> None:
    found, missed = facts(f"<flow><script><![CDATA[{padding}os.system('echo hidden')]]></script></flow>", "flow.xml")
    assert [data["what"] for kind, data in found if kind == "xml.active"] == ["code"]
    assert missed == []


@pytest.mark.parametrize("padding", ["", "\n" * 5000])
def test_padding_hides_no_command(padding: str) -> None:
    text = f"<Project><PropertyGroup><PreBuildEvent>{padding}echo hidden</PreBuildEvent></PropertyGroup></Project>"
    found, _ = facts(text, "a.csproj")
    assert ("xml.command", "echo hidden") in [(kind, data.get("command")) for kind, data in found]


@pytest.mark.parametrize("piece", ["Shell ", "HYPERLINK( ", "os.system ", "a|'", "CALL(", "__import__ "])
def test_a_long_text_is_searched_in_time(piece: str) -> None:
    text = f"<flow><script>{piece * (1_000_000 // len(piece))}</script><f>{piece * (1_000_000 // len(piece))}</f></flow>"
    began = time.process_time()
    facts(text, "flow.xml")
    assert time.process_time() - began < 3
