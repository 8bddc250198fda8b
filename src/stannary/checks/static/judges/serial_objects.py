"""Objects of other languages: which classes they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stannary.checks.static.judges.word_sets import contains_any, words
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["judge"]


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the classes of each stream: a known gadget decides, anything else cannot be told from here."""
    for fact in facts:
        classes = [str(name) for name in fact.data["classes"]]
        language = str(fact.data["language"])
        if language in {"Julia", "JLD2"}:
            yield from _julia(fact, language, classes)
            continue
        gadget = (
            "phar"
            if "phar" in classes and fact.data["language"] == "PHP"
            else next((name for name in classes if contains_any(name, "foreign_gadgets")), None)
        )
        if gadget is not None:
            yield Hit("SER001", fact, f"{fact.data['language']} object of {gadget}")
        else:
            yield Hit(
                "SER002", fact, f"{fact.data['language']} objects of {', '.join(classes[:5]) or 'no class that could be read'}"
            )


def _julia(fact: Fact, language: str, classes: list[str]) -> Iterator[Hit]:
    """Judge the names of Julia's objects. JLD2 makes data types, and is data unless it names a function that runs things."""
    found = next((name for name in classes if name in words("julia_dangerous")), None)
    if found is not None:
        yield Hit("SER001", fact, f"{language} object of {found}")
    elif language == "Julia":
        yield Hit("SER002", fact, f"Julia objects of {', '.join(classes[:5]) or 'no type that could be read'}")
