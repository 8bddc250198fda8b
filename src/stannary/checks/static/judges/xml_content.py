"""XML of documents, projects and work flows: what is fetched or run when it is opened or built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.addresses import doubtful_address
from stannary.checks.static.judges.shell import HOSTILE, classify
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["judge"]

# What a build has no reason to start: it hides a window, or runs what Windows brings for other ends.
_HIDDEN = re.compile(
    r"\b(?:mshta|wscript|cscript|rundll32|regsvr32|certutil|bitsadmin|wmic|msiexec\s+/i\s+http|schtasks)\b|-w(?:in\w*)?\s+hid|\bstart\s+\S*calc"
    r"|\bcalc(?:\.exe)?\s*$|\bcmd(?:\.exe)?\s+/c\s+(?:start|powershell|echo\b)",
    re.IGNORECASE,
)


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the commands and sources; the rest is matched by the rules."""
    for fact in facts:
        if fact.kind == "xml.command":
            command = str(fact.data["command"])
            found = classify(command)
            if found.kind in HOSTILE:
                yield Hit("XML007", fact, None, None, "high")
            elif doubtful_address(command) or _HIDDEN.search(command):
                yield Hit("XML007", fact)
        elif fact.kind == "xml.source" and doubtful_address(
            str(fact.data["value"]).replace("http://", "https://")
        ):  # old ones lack TLS
            yield Hit("DEP003", fact, f"packages come from {fact.data['value'][:160]}")
