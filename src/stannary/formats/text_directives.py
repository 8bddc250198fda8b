"""Lines by which a tool runs, fetches or opens something when it meets a text: settings, shortcuts, scripts, manifests.

What such a line looks like in which file is data: `data/directives.toml`. Names gate the patterns, so that most texts
are not searched at all.

Fact: `text.directive`: group, id, value (the words), name (of the file), line. The groups:
`settings` a tool runs what they name, when a folder is opened or built with it; `opened` what runs when the document or
shortcut is opened; `script` a program started by a script, its command in `value`; `source` where packages come from;
`reach` what a script or manifest fetches, sends, or asks of a data base; `unguarded` what switches off a protection;
`base` a configuration or checkpoint that another one is taken from; `workflow` what a service runs with a project's rights because
a stranger wrote it, or sends of the project's secrets.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import NamedTuple

from stannary.formats.interface import Sink, clip

__all__ = ["WINDOW", "report"]

_BLOCK = 1 << 20  # bytes searched at a time; the reader's budget of processor time bounds them all
_OVERLAP = 1 << 14  # a line that begins in one block is seen to its end
WINDOW = _BLOCK + _OVERLAP  # what `part` gives
_NEAR = 500  # bytes of a line before what was found: a lock may be one line of megabytes
_HITS = 500  # different values of one directive in one file
_ADDRESS = re.compile(rb"[a-zA-Z+]{2,12}://[^/\\s]*")
_COMMENTS = (b"#", b"//", b"--", b"rem ", b"REM ")
_VALUES = ("value", "value2", "value3")


class _Directive(NamedTuple):
    id: str
    group: str
    names: tuple[str, ...]
    pattern: str
    head: str  # what has to be in the text for it to be of this kind
    needs: bytes
    anchors: tuple[bytes, ...]  # one of these stands in the text, or the pattern cannot match
    skip: str  # a line, or a member of an object on it, is not meant when it has this


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


def report(path: str, size: int, part: Callable[[int], bytes], sink: Sink) -> None:
    """Report the directives of a text.

    Args:
        path: of the file.
        size: of the text as UTF-8.
        part: the text from an offset on, as far as one wants at a time.
        sink: takes the facts. What a tool is told is said once for each value, so that harmless lines hide no other one.
    """
    path = path.replace("\\", "/").lower()
    rows = [row for row in _of_name(path) if _meant(row, size, part)]
    for row in rows:
        told: set[bytes] = set()
        start = lines = 0
        while start < size:
            raw = part(start)
            begin = raw.find(b"\n", 0, _OVERLAP) + 1 if start else 0  # the line before it was seen to its end with the block before
            for match in _compiled(row.pattern).finditer(raw, begin):
                line = raw[raw.rfind(b"\n", max(0, match.start() - _NEAR), match.start()) + 1 : match.end()]
                groups = match.groupdict()
                value = next((groups[name] for name in _VALUES if groups.get(name)), match[0])
                key = line[: max(0, len(line) - len(match[0])) + match[0].find(value)]  # what is said of the value, not in it
                key = key[max(key.rfind(sign) for sign in (b",", b"{")) + 1 :]
                if (row.skip and _compiled(row.skip).search(key)) or _is_comment(line, value):
                    continue
                value = value.strip()
                same = _host(value) if row.group == "source" else value
                if same in told:
                    continue
                told.add(same)
                if len(told) > _HITS:
                    sink.incomplete(f"more than {_HITS} lines that a tool acts on ({row.id})", start + match.start())
                    return
                sink.fact(
                    "text.directive",
                    start + match.start(),
                    group=row.group,
                    id=row.id,
                    value=clip(value.decode("utf-8", "replace"), 400),
                    name=clip(path.rpartition("/")[2]),
                    line=lines + raw.count(b"\n", 0, match.start()) + 1,
                )
            lines += raw.count(b"\n", 0, _BLOCK)
            start += _BLOCK
            sink.budget.check_time()


def _meant(row: _Directive, size: int, part: Callable[[int], bytes]) -> bool:
    """Tell whether the text has, somewhere, what a directive of this kind takes."""
    needs, anchor, head = not row.needs, not row.anchors, not row.head
    for start in range(0, size, _BLOCK) if not (needs and anchor) else ():
        raw = part(start)
        needs = needs or row.needs in raw
        anchor = anchor or any(one in raw for one in row.anchors)
        if needs and anchor:
            break
    if not (needs and anchor):
        return False
    return head or any(_compiled(row.head).search(part(start)) for start in range(0, size, _BLOCK))


def _is_comment(line: bytes, value: bytes) -> bool:
    """Tell whether a line is a comment; an option on a line of its own begins like one of SQL."""
    return line.lstrip().startswith(_COMMENTS) and not (value.startswith(b"--") and line.lstrip().startswith(value))


def _host(value: bytes) -> bytes:
    """Return the start of an address up to its host, or the whole of what is none: a lock names one index a thousand times."""
    found = _ADDRESS.match(value)
    return found[0].lower() if found else value
