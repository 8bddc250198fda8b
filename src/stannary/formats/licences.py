# ruff: noqa: E501 - lists of ids, one family a line
"""The licence of a repository, from its card, its licence text or a metadata field.

Fact: `licence.declared`: licence (SPDX id, or the hub's name where SPDX has none), source (card, text,
field), family (permissive, copyleft, use-restricted, non-commercial, community, unknown).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stannary.formats.interface import Sink, clip

__all__ = ["Licence", "family_of", "from_card", "from_text", "report"]

_FAMILIES = {
    "permissive": "apache-2.0 mit bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear isc zlib unlicense cc0-1.0 wtfpl 0bsd bsl-1.0 postgresql ncsa afl-3.0 artistic-2.0 ms-pl pddl cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 odc-by cdla-permissive-1.0 cdla-permissive-2.0 openmdw openmdw-1.0",
    "copyleft": "gpl gpl-2.0 gpl-3.0 agpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr mpl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 cc-by-sa-3.0 cc-by-sa-4.0 odbl gfdl osl-3.0 ofl-1.1 c-uda cdla-sharing-1.0 lppl-1.3c ecl-2.0",
    "use-restricted": "openrail openrail++ bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m deepfloyd-if-license fair-noncommercial-research-license etalab-2.0",
    "non-commercial": "cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 intel-research qwen-research apple-amlr apple-ascl h-research mrl stabilityai-nc-research-community",
    "community": "llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma tongyi-qianwen qwen deepseek grok2-community nvidia-open-model-license falcon-llm stabilityai-ai-community mnpl",
}
_BY_ID = {licence: family for family, ids in _FAMILIES.items() for licence in ids.split()}
_TEXTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (licence, re.compile(pattern, re.IGNORECASE))
    for licence, pattern in (
        ("llama4", r"llama\s*4\s+(?:community\s+)?licen[cs]e"),
        ("llama3.3", r"llama\s*3\.3\s+(?:community\s+)?licen[cs]e"),
        ("llama3.2", r"llama\s*3\.2\s+(?:community\s+)?licen[cs]e"),
        ("llama3.1", r"llama\s*3\.1\s+(?:community\s+)?licen[cs]e"),
        ("llama3", r"meta\s+llama\s*3\s+(?:community\s+)?licen[cs]e"),
        ("llama2", r"llama\s*2\s+(?:community\s+)?licen[cs]e"),
        ("gemma", r"gemma\s+(?:terms of use|licen[cs]e)"),
        ("creativeml-openrail-m", r"creativeml open rail"),
        ("bigscience-openrail-m", r"bigscience[^\n]{0,40}(?:rail|responsible ai)"),
        ("openrail", r"open ?rail|responsible ai licen[cs]e"),
        ("qwen-research", r"qwen research licen[cs]e"),
        ("tongyi-qianwen", r"tongyi qianwen licen[cs]e"),
        ("cc-by-nc-sa-4.0", r"attribution-noncommercial-sharealike 4\.0"),
        ("cc-by-nc-nd-4.0", r"attribution-noncommercial-noderivatives 4\.0"),
        ("cc-by-nc-4.0", r"attribution-noncommercial 4\.0"),
        ("cc-by-sa-4.0", r"attribution-sharealike 4\.0"),
        ("cc-by-4.0", r"attribution 4\.0 international"),
        ("agpl-3.0", r"gnu affero general public license\s+version 3"),
        ("lgpl-3.0", r"gnu lesser general public license\s+version 3"),
        ("gpl-3.0", r"gnu general public license\s+version 3"),
        ("gpl-2.0", r"gnu general public license\s+version 2"),
        ("mpl-2.0", r"mozilla public license,?\s+v(?:ersion|\.)\s*2\.0"),
        ("apache-2.0", r"apache license,?\s+version 2\.0"),
        ("bsd-3-clause", r"redistribution and use in source and binary forms[\s\S]{0,1600}neither the name"),
        ("bsd-2-clause", r"redistribution and use in source and binary forms"),
        ("mit", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
        ("cc0-1.0", r"cc0 1\.0 universal"),
        ("unlicense", r"this is free and unencumbered software released into the public domain"),
    )
)
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"^licen[cs]e[ \t]*:[ \t]*(.*(?:\r?\n[ \t]*-[ \t].*)*)", re.MULTILINE)
_NAME = re.compile(r"^license_name[ \t]*:[ \t]*([^\n#]+)", re.MULTILINE)


class Licence(NamedTuple):
    """A licence that was declared, and how."""

    id: str
    source: str
    family: str


def family_of(licence: str) -> str:
    """Return the family of a licence id; `unknown` for one that is not listed."""
    plain = licence.strip().lower()
    plain = plain.removesuffix("-only").removesuffix("-or-later")
    if plain in _BY_ID:
        return _BY_ID[plain]
    if re.search(r"\bnc\b|non-?commercial|research", plain):
        return "non-commercial"
    return "community" if re.match(r"(?:meta-)?llama|gemma|qwen|deepseek", plain) else "unknown"


def from_card(text: str) -> list[Licence]:
    """Return the licences of a model card's front matter (`license:`, `license_name:`)."""
    front = _FRONT.match(text)
    if front is None:
        return []
    field = _FIELD.search(front[1])
    if field is None:
        return []
    values = re.findall(r"[\w.+-]+", re.sub(r"(?m)#.*$", "", field[1]).replace("- ", " "))
    if values == ["other"]:
        name = _NAME.search(front[1])
        values = [name[1].strip().strip("\"'")] if name else values
    return [Licence(clip(v.lower(), 80), "card", family_of(v)) for v in values[:10]]


def from_text(text: str) -> list[Licence]:
    """Return the licence that a licence text is, by its characteristic words."""
    head = re.sub(r"[ \t]+", " ", text[:20_000])
    for licence, pattern in _TEXTS:
        if pattern.search(head):
            return [Licence(licence, "text", family_of(licence))]
    return []


def report(name: str, text: str, sink: Sink) -> None:
    """Report what a card or a licence file declares. `name` is the file's name."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1].lower()
    if base.startswith(("license", "licence", "copying", "use_policy", "notice")):
        found = from_text(text)
    elif base.startswith("readme") or base.endswith("modelcard.md"):
        found = from_card(text)
    else:
        return
    for licence in found:
        sink.fact("licence.declared", None, licence=licence.id, source=licence.source, family=licence.family)
