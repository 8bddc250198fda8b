"""Values of the inventory as the texts of a document: one line where one is due, addresses that are some, references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from stannary.core.model import Json
from stannary.formats.interface import clip
from stannary.report.bom.inventory import Facts
from stannary.report.bom.json_formats import FORMATS
from stannary.report.escape import visible

__all__ = ["address", "fetched_purl", "flat", "hub_purl", "line", "merged", "properties", "pypi_purl", "shown", "some"]

_SLUG = re.compile(r"[\w.-]{1,96}")


def line(text: object, limit: int = 500) -> str:
    """Return a text as one visible line."""
    return visible(clip(" ".join(str(text).split()), limit))


def shown(value: Json) -> str:
    """Return a value as a text: lists with commas, tables as `key=value`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={shown(item)}" for key, item in value.items())
    return str(value)


def some(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return an object without the members that hold nothing. `_` in a name stands for `-`, a last one for nothing."""
    return {
        name.rstrip("_").replace("_", "-"): value
        for name, value in fields.items()
        if value is not None and value not in ("", [], {}, ())
    }


def address(text: str) -> str:
    """Return a text when it is an absolute address that a document may hold, else nothing."""
    stripped = text.strip()
    return (
        stripped
        if re.match(r"(?:https?|hf|s3|oci|git\+https?|ssh|git)://", stripped) and FORMATS["iri-reference"](stripped)
        else ""
    )


def properties(rows: Iterable[tuple[str, Json]]) -> list[dict[str, str]]:
    """Return properties of a component, without those that hold nothing."""
    return [{"name": name, "value": clip(shown(value), 2000)} for name, value in rows if value not in (None, "", [], {}, ())]


def merged(facts: Facts, field: str) -> dict[str, Json]:
    """Return the tables that are said about a field as one; the first that names a key counts."""
    found: dict[str, Json] = {}
    for fact in facts.all(field):
        if isinstance(fact.value, dict):
            for key, value in fact.value.items():
                found.setdefault(str(key), value)
    return found


def flat(facts: Facts, field: str) -> str:
    """Return what counts about a field as one line."""
    value = facts.value(field)
    return "" if value is None else line(shown(value), 1000)


def pypi_purl(name: str, version: str) -> str:
    """Return the package URL of a project on an index of Python packages."""
    end = f"@{quote(version, safe='.+-')}" if version else ""
    return f"pkg:pypi/{quote(name.lower().replace('_', '-'), safe='.-')}{end}"


def hub_purl(name: str, revision: str = "") -> str:
    """Return the package URL of a model on the hub, empty when it is not named as the hub names models."""
    parts = name.removeprefix("https://huggingface.co/").split("/")
    if len(parts) not in (1, 2) or not all(_SLUG.fullmatch(part) for part in parts):
        return ""
    return f"pkg:huggingface/{'/'.join(quote(part, safe='.-_') for part in parts)}{f'@{revision.lower()}' if revision else ''}"


def fetched_purl(place: str) -> str:
    """Return the package URL of what was fetched from an address of the hub, with its revision; else nothing."""
    prefix = "https://huggingface.co/"
    if not place.startswith(prefix):
        return ""
    return hub_purl(*place.removeprefix(prefix).split("/tree/", 1))
