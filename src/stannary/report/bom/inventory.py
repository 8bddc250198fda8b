"""The inventory: what an artifact is made of, before it is written in anybody's format. Every fact has its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest, File, Json
from stannary.formats.headers import Header, Port

__all__ = ["Dataset", "Fact", "Facts", "Inventory", "Licence", "Measured", "Model", "Origin", "Package", "Source"]

SourceKind = Literal["header", "card", "config", "lock", "code", "licence", "evidence", "files"]


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a fact stands: the kind of source, the file (or the id of the evidence), the key in it."""

    kind: SourceKind
    where: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.where}#{self.key}" if self.key else self.where


class Fact(msgspec.Struct, frozen=True):
    """A value and who says it."""

    value: Json
    source: Source


class Facts:
    """Facts by field (`fields.py` lists them), in the order of trust: the first that is said counts."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Fact]] = {}

    def say(self, field: str, value: Json, source: Source) -> None:
        """Note a fact, unless it is empty."""
        if value is None or value in ("", [], {}, ()):
            return
        rows = self._rows.setdefault(field, [])
        fact = Fact(value, source)
        if fact not in rows:
            rows.append(fact)

    def first(self, field: str) -> Fact | None:
        """Return what counts, None when nobody says anything."""
        rows = self._rows.get(field)
        return rows[0] if rows else None

    def value(self, field: str) -> Json:
        """Return the value that counts, or None."""
        found = self.first(field)
        return found.value if found else None

    def all(self, field: str) -> tuple[Fact, ...]:
        """Return everything that is said about a field."""
        return tuple(self._rows.get(field, ()))

    def fields(self) -> Iterator[tuple[str, Fact]]:
        """Yield each field with the fact that counts, by name."""
        yield from ((field, self._rows[field][0]) for field in sorted(self._rows))

    def disputes(self) -> Iterator[tuple[str, tuple[Fact, ...]]]:
        """Yield the fields about which two kinds of source say different things."""
        for field in sorted(self._rows):
            rows = self._rows[field]
            if field in _SINGLE and len({_folded(row.value) for row in rows}) > 1:
                yield field, tuple(rows)


# Fields that have one true value, so that two are a contradiction.
_SINGLE = frozenset(
    {"architecture", "family", "task", "licence", "context_length", "vocabulary", "blocks", "heads", "quantisation"}
)


def _folded(value: Json) -> str:
    return str(value).lower().replace("-", "").replace("_", "").replace(" ", "")


class Licence(msgspec.Struct, frozen=True, omit_defaults=True):
    """A licence: its SPDX id where there is one, the name it was given, where its text is, and who says so."""

    id: str
    name: str
    url: str
    family: str
    source: Source
    declared: bool = True  # else it was recognised from a text


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number about a model, with its interval when it was measured here."""

    metric: str
    value: str
    slice: str = ""
    low: float | None = None
    high: float | None = None
    n: int | None = None
    threshold: str = ""
    source: Source


class Dataset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Data that a model was trained or evaluated on."""

    name: str
    use: Literal["training", "evaluation"]
    url: str = ""
    sha256: str = ""  # of the file
    tree: str = ""  # the dirHash1, when that is what is known
    licences: tuple[Licence, ...] = ()
    source: Source


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model that another was made from, and how (`fine-tuned-from`, ...)."""

    name: str
    relation: str
    url: str = ""
    sha256: str = ""  # of the file
    tree: str = ""  # the dirHash1, when that is what is known
    source: Source


class Package(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A package that the code names: locked, asked for, or only imported."""

    name: str
    version: str = ""
    specifier: str = ""
    hashes: tuple[str, ...] = ()
    source: Source


class Model(msgspec.Struct, kw_only=True):
    """One model of the artifact. `path` is its folder or its file, empty for the whole artifact."""

    name: str
    path: str
    files: tuple[File, ...]
    headers: dict[str, Header]
    facts: Facts
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


class Inventory(msgspec.Struct, kw_only=True):
    """Everything. The first model is what the artifact is about; `facts` of it come from the card as well.

    `name` is what it is called in papers, `given_name` what the file or folder is called. `unread` names what could have
    said something and was not read, with the reason; `evidence` is what the ledger of the workspace holds about the
    artifact and verified.
    """

    name: str
    given_name: str
    is_file: bool
    digest: Digest
    files: tuple[File, ...]
    models: tuple[Model, ...]
    datasets: tuple[Dataset, ...] = ()
    origins: tuple[Origin, ...] = ()
    packages: tuple[Package, ...] = ()
    licences: tuple[Licence, ...] = ()
    metrics: tuple[Measured, ...] = ()
    evidence: tuple[Verified[Evidence], ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    address: str = ""  # where it was fetched from

    @property
    def primary(self) -> Model:
        """Return the model that the artifact is about."""
        return self.models[0]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.size for file in self.files)
