"""Licences of models: from the names that cards use to SPDX ids, and what limits the others have (`data/licences.toml`)."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any

from stannary.formats.interface import clip
from stannary.formats.licences import family_of
from stannary.report.bom.inventory import Licence, Source

__all__ = ["expression_problem", "licence", "limits_of", "reference", "spdx_id"]

# What people write where SPDX has another name.
_ALIASES = {
    "apache": "Apache-2.0", "apache2": "Apache-2.0", "apache-2": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause", "gpl": "GPL-3.0-or-later", "lgpl": "LGPL-3.0-or-later", "cc": "", "cc0": "CC0-1.0",
    "gplv3": "GPL-3.0-only",
    "mit license": "MIT", "the mit license": "MIT", "pddl": "PDDL-1.0", "odbl": "ODbL-1.0", "odc-by": "ODC-By-1.0",
    "gfdl": "GFDL-1.3-only",
    "etalab-2.0": "etalab-2.0", "c-uda": "C-UDA-1.0", "bsl-1.0": "BSL-1.0", "unlicense": "Unlicense", "wtfpl": "WTFPL",
    "openmdw-1.0": "OpenMDW-1.0",
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(\(|\)|AND\b|OR\b|WITH\b|(?:DocumentRef-[\w.-]+:)?(?:LicenseRef|AdditionRef)-[\w.-]+|[A-Za-z0-9][\w.-]*\+?)"
)


@cache
def _ids() -> dict[str, str]:
    """Return the SPDX ids by their lower-case form."""
    from stannary.report.bom.schemas import load_library

    return {name.lower(): name for name in load_library()["spdx.schema.json"]["enum"]}


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = resources.files("stannary.report.bom").joinpath("data/licences.toml").read_text("utf-8")
    return tomllib.loads(text)


def spdx_id(name: str) -> str:
    """Return the SPDX id of a name, empty when there is none."""
    plain = name.strip().lower()
    alias = _ALIASES.get(plain)
    if alias is not None:
        return alias if alias.lower() in _ids() else ""
    return _ids().get(plain, "")


def licence(name: str, source: Source, *, url: str = "", declared: bool = True) -> Licence | None:
    """Return the licence of a name; None for what names none (`unknown`, `other`)."""
    plain = name.strip()
    if plain.lower() in ("", "unknown", "other", "none", "n/a", "noassertion"):
        return None
    found = spdx_id(plain)
    row = _table().get(plain.lower(), {})
    family = family_of((found or plain).lower())
    shown = str(row.get("name", "")) or found or clip(plain, 200)
    return Licence(found, shown, url or str(row.get("url", "")), family, source, declared)


def limits_of(name: str) -> tuple[str, ...]:
    """Return what a licence without an SPDX id limits, as far as it is known, by the name a card uses or the full one."""
    plain = name.strip().lower()
    row = _table().get(plain) or next((row for row in _table().values() if str(row["name"]).lower() == plain), {})
    return tuple(row.get("limits", ()))


def reference(name: str) -> str:
    """Return the `LicenseRef-` of a licence that SPDX has no id for."""
    short = next((key for key, row in _table().items() if row["name"] == name), name)
    return "LicenseRef-" + (re.sub(r"[^A-Za-z0-9.-]+", "-", short).strip("-")[:80] or "unnamed")


def expression_problem(text: str) -> str:
    """Return what is wrong with an SPDX licence expression (SPDX 2.3, annex D); empty when nothing is."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != re.sub(r"\s+", "", text):
        return "has characters that no expression has"
    depth, operand = 0, True  # whether an operand is due
    for word in tokens:
        if word == "(":
            if not operand:
                return "lacks an operator before a bracket"
            depth += 1
        elif word in ("AND", "OR", "WITH", ")"):
            depth -= word == ")"
            if operand or depth < 0:
                return f"has {word!r} where a licence is due"
            operand = word != ")"
        elif not operand:
            return f"lacks an operator before {word!r}"
        else:
            operand = False
    return "ends before it is complete" if operand or depth else ""
