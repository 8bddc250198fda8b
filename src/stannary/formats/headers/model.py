"""The facts of a header, and how tensors are counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from stannary.formats.interface import clip

__all__ = ["Header", "Port", "Tally"]

_COUNTABLE = 1 << 62


class Port(msgspec.Struct, frozen=True, omit_defaults=True):
    """An input or an output: its name, its element type, its shape as text (`N x 3 x 224 x 224`)."""

    name: str
    dtype: str = ""
    shape: str = ""


class Header(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model file says about itself.

    Attributes:
        format: as `identify` names it.
        framework: what wrote or runs it, by its usual name; `framework_version` when it says so.
        architecture: the class or architecture as the file names it.
        tensors, parameters: how many tensors, and elements of all of them; None when not known.
        dtypes: elements by element type, under the format's own names.
        quantisation: the scheme, when the weights are quantised.
        metadata: other named facts, clipped.
        classes: what a pickle would import, as dotted names.
        incomplete: what of the header was not read, and why.
    """

    format: str
    framework: str = ""
    framework_version: str = ""
    architecture: str = ""
    tensors: int | None = None
    parameters: int | None = None
    dtypes: dict[str, int] = {}
    quantisation: str = ""
    metadata: dict[str, str | int | float | bool] = {}
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    classes: tuple[str, ...] = ()
    incomplete: str = ""


class Tally:
    """Counts tensors and their elements."""

    def __init__(self) -> None:
        self.tensors = 0
        self.dtypes: Counter[str] = Counter()
        self.absurd = 0

    def add(self, dtype: str, dims: Iterable[int]) -> None:
        """Count a tensor; one with impossible dimensions is counted as absurd and adds no elements."""
        self.tensors += 1
        sizes = list(dims)
        count = 0 if any(size < 0 for size in sizes) else math.prod(sizes)
        if any(size < 0 for size in sizes) or count > _COUNTABLE:
            self.absurd += 1
            return
        self.dtypes[clip(dtype, 40)] += count

    def fields(self) -> dict[str, object]:
        """Return the fields of a Header."""
        found: dict[str, object] = {
            "tensors": self.tensors,
            "parameters": sum(self.dtypes.values()),
            "dtypes": dict(self.dtypes.most_common(40)),
        }
        if self.absurd:
            found["incomplete"] = f"{self.absurd} tensors have dimensions that no file has"
        return found
