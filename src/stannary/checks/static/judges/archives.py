"""ZIP archives: what is hidden beside the members counts for more in an archive that a model library wrote.

torch, numpy, Keras and skops write archives without a byte that is not structure. Self-extracting
archives, zipapps and signed packages do have such bytes, so there the content alone is judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["judge"]

_WRITTEN_BY_LIBRARIES = frozenset({"torch", "torchscript", "torch-package", "pt2", "npz", "keras", "skops"})


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Yield ZIP014 for hidden content: medium in a model archive, info elsewhere."""
    kinds = {fact.part: fact.data["kind"] for fact in facts if fact.kind == "zip.archive"}
    for fact in facts:
        if fact.kind == "zip.hidden":
            kind = kinds.get(fact.part, "zip")
            model = kind in _WRITTEN_BY_LIBRARIES
            yield Hit("ZIP014", fact, severity="medium" if model else "info")
