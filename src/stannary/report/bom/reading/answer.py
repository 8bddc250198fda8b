"""What the jailed readers are asked and what they answer. Strings are clipped, lists are bounded."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stannary.formats.headers import Header

__all__ = ["Answer", "Card", "Metric", "Named", "Package", "Role", "Section", "Training", "Work"]

# What a file is read as: by its name, or `weights` by what it begins with.
Role = Literal["weights", "card", "config", "lock", "python", "notebook", "imports", "training", "licence"]


class Work(msgspec.Struct, frozen=True, array_like=True):
    """A file to read, and what it was when it was hashed."""

    real: str
    name: str
    role: Role
    identity: tuple[int, int, int, int, int]


class Metric(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result that a card states: of which metric, on which data and task."""

    name: str
    value: str
    dataset: str = ""
    task: str = ""
    verified: bool = False


class Section(msgspec.Struct, frozen=True):
    """A part of a card under a heading."""

    title: str
    text: str
    line: int


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model card: its front matter as it stands (every scalar a text), its sections, its results."""

    front: dict[str, Any] = {}
    title: str = ""
    description: str = ""
    sections: tuple[Section, ...] = ()
    metrics: tuple[Metric, ...] = ()
    links: tuple[str, ...] = ()


class Package(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dependency: normalised name, the version when it is pinned, the specifier otherwise, hashes of a lock."""

    name: str
    version: str = ""
    specifier: str = ""
    url: str = ""
    hashes: tuple[str, ...] = ()


class Named(msgspec.Struct, frozen=True):
    """A name or a value that stands in a line of code."""

    name: str
    line: int


class Training(msgspec.Struct, frozen=True, omit_defaults=True):
    """What code that trains says: data it loads, held back data, models it starts from, hyperparameters by name."""

    data: tuple[Named, ...] = ()
    held_back: tuple[Named, ...] = ()
    bases: tuple[Named, ...] = ()
    parameters: dict[str, Named] = {}


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a file says. `problem`: why it, or a part of it, was not read."""

    header: Header | None = None
    card: Card | None = None
    config: dict[str, Any] = {}
    packages: tuple[Package, ...] = ()
    imports: tuple[str, ...] = ()
    trains: bool = False  # by the look of it; `training` is what its syntax tree says
    training: Training | None = None
    licences: tuple[str, ...] = ()
    problem: str = ""
