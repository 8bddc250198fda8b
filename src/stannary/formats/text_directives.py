"""Lines by which a tool runs, fetches or opens something when it meets a text: settings, shortcuts, scripts, manifests.

What such a line looks like in which file is data: `data/directives.toml`. Names gate the patterns, so that most texts
are not searched at all.

Fact: `text.directive`: group, id, value (the words), name (of the file), line. The groups:
`settings` a tool runs what they name, when a folder is opened or built with it; `opened` what runs when the document or
shortcut is opened; `script` a program started by a script, its command in `value`; `source` where packages come from;
`reach` what a script or manifest fetches, sends, or asks of a data base.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from functools import cache
from importlib import resources
from typing import NamedTuple

from stannary.formats.interface import Sink, View, clip

__all__ = ["report"]

_MOST = 1 << 20  # bytes searched: settings and scripts are small
_HITS = 20  # of one directive in one file
_VALUES = ("value", "value2", "value3")


class _Directive(NamedTuple):
    id: str
    group: str
    names: tuple[str, ...]
    pattern: str
    head: str  # what has to be in the text for it to be of this kind
    needs: bytes
    anchors: tuple[bytes, ...]  # one of these stands in the text, or the pattern cannot match
    skip: str  # a line with it is not meant


@cache
def _compiled(text: str) -> re.Pattern[bytes]:
    """Return a pattern, made when it is first used: all of them take a tenth of a second."""
    return re.compile(text.encode(), re.MULTILINE | re.IGNORECASE)


@cache
def _directives() -> tuple[_Directive, ...]:
    raw = resources.files("stannary.formats").joinpath("data", "directives.toml").read_text(encoding="utf-8")
    return tuple(
        _Directive(
            row["id"],
            row["group"],
            tuple(row["names"]),
            row["pattern"],
            row.get("head", ""),
            row.get("needs", "").encode(),
            tuple(anchor.encode() for anchor in row.get("anchors", ())),
            row.get("skip", ""),
        )
        for row in tomllib.loads(raw)["directive"]
    )


@cache
def _index() -> tuple[dict[str, list[int]], list[tuple[int, str]]]:
    """Return the directives by whole name and by `*.suffix`, and the patterns that have to be tried."""
    exact: dict[str, list[int]] = {}
    tried: list[tuple[int, str]] = []
    for number, row in enumerate(_directives()):
        for name in row.names:
            simple = not set(name.removeprefix("*.")) & set("*?[/")
            if simple:
                exact.setdefault(name, []).append(number)
            else:
                tried.append((number, name))
    return exact, tried


def _of_name(path: str) -> list[_Directive]:
    base = path.rpartition("/")[2]
    exact, tried = _index()
    found = set(exact.get(base, ()))
    at = base.find(".")
    while at >= 0:
        found.update(exact.get(f"*{base[at:]}", ()))
        at = base.find(".", at + 1)
    for number, name in tried:
        if fnmatch.fnmatchcase(base, name) if "/" not in name else f"/{path}".endswith(f"/{name}"):
            found.add(number)
    rows = _directives()
    return [rows[number] for number in sorted(found)]


def report(view: View, raw: bytes, sink: Sink) -> None:
    """Report the directives of a text. `raw`: the text as UTF-8."""
    path = view.name.replace("\\", "/").lower()
    raw = raw[:_MOST]
    for row in _of_name(path):
        if row.needs not in raw or (row.anchors and not any(anchor in raw for anchor in row.anchors)):
            continue
        if row.head and _compiled(row.head).search(raw) is None:
            continue
        hits = 0
        for match in _compiled(row.pattern).finditer(raw):
            line = raw[raw.rfind(b"\n", 0, match.start()) + 1 : match.end()]
            if (row.skip and _compiled(row.skip).search(line)) or line.lstrip().startswith((b"#", b"//", b"--", b"rem ", b"REM ")):
                continue
            groups = match.groupdict()
            value = next((groups[name] for name in _VALUES if groups.get(name)), match[0])
            sink.fact(
                "text.directive",
                match.start(),
                group=row.group,
                id=row.id,
                value=clip(value.decode("utf-8", "replace").strip(), 400),
                name=clip(path.rpartition("/")[2]),
                line=raw.count(b"\n", 0, match.start()) + 1,
            )
            hits += 1
            if hits >= _HITS:
                break
