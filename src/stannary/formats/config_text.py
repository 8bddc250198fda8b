"""TOML and INI configuration: registered functions, build hooks, entry points, commands.

Facts:
`config.document`: kind (toml, ini), sections (at most 60), name.
`config.registered`: a function looked up in a registry (spaCy / confection `@callbacks = "name"`).
    Fields: registry, name, section.
`config.build`: what runs when the project is built or installed. Fields: key (build-backend, backend-path, absent-backend,
    requires, cmdclass, attr), value, section.
`config.entry_point`: a name that installs as a command or a plug-in. Fields: group, name, value.
`config.target`: a dotted name under a key that a framework imports (`_target_`, `class`, `handler`). Fields: key, name, section.
`config.plugin`: a module that coverage.py imports when tests are run. Fields: name, own (it is in the folder), section.
`config.command`: a command line. Fields: key, command, section.
"""

from __future__ import annotations

import re
from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.inline_code import hand_on_inline, note_evaluated
from stannary.formats.interface import Sink, View, clip

__all__ = ["read_ini", "read_toml"]

_LIMIT = 4 << 20
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:[.:][A-Za-z_]\w*)+")
_TARGETS = frozenset({"_target_", "class", "handler", "()", "factory", "class_path"})
_COMMANDS = frozenset(
    {"command", "cmd", "script", "commands", "run", "entrypoint", "extra-cmd", "extra_cmd", "post_install", "test", "shell"}
)
_BUILD = frozenset(
    {"build-backend", "backend-path", "cmdclass", "requires", "setup_requires", "attr", "script", "build-script", "hooks", "path"}
)
_SECTION = re.compile(r"^\s*\[+([^\]\n]{1,200})\]+\s*(?:[#;].*)?$")
_PAIR = re.compile(r"^([^\s=:#;\[][^=:\n]{0,200}?)\s*[=:]\s*(.*)$")
_DEPTH = 40
_COVERAGE = re.compile(r"^(?:tool\.)?coverage[.:]run$|^run$")


def read_toml(view: View, sink: Sink) -> None:
    """Read TOML 1.0. Raises FormatError when it is not."""
    import tomllib

    try:
        document = tomllib.loads(view.text(_LIMIT).replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as exc:
        msg = f"not TOML: {clip(str(exc), 100)}"
        raise FormatError(msg) from exc
    sink.fact("config.document", None, kind="toml", sections=[clip(k, 60) for k in list(document)[:60]], name=clip(_base(view)))
    _back_end(document, sink)
    stack: list[tuple[str, Any, int]] = [("", document, 0)]
    while stack:
        section, value, depth = stack.pop()
        if depth > _DEPTH:
            sink.incomplete("TOML nested too deeply")
            continue
        for key, item in value.items():
            if isinstance(item, dict):
                stack.append((f"{section}.{key}".strip("."), item, depth + 1))
            elif isinstance(item, list):
                stack.extend((f"{section}.{key}".strip("."), inner, depth + 1) for inner in item if isinstance(inner, dict))
                _setting(section, key, " ".join(str(i) for i in item[:60] if isinstance(i, str)), sink)
            elif isinstance(item, str):
                _setting(section, key, item, sink)


def _back_end(document: dict[str, Any], sink: Sink) -> None:
    """Report a back end of the project's own (PEP 517, `backend-path`) whose module is not in the folder."""
    build = document.get("build-system")
    places = build.get("backend-path") if isinstance(build, dict) else None
    if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
        return
    name = re.split(r"[.:]", str(build.get("build-backend", "")))[0] if isinstance(build, dict) else ""
    folders = {place.strip("./").partition("/")[0] for place in places}
    if sink.siblings.isdisjoint({name, f"{name}.py"} | (folders - {""})):
        sink.fact("config.build", None, key="absent-backend", value=clip(name), section="build-system")


def read_ini(view: View, sink: Sink) -> None:
    """Read an INI file as configparser does, and spaCy's dialect of it (sections with dots, JSON values)."""
    text = view.text(_LIMIT)
    section, key, value = "", "", ""
    sections: list[str] = []
    for line in text.splitlines():
        match = _SECTION.match(line)
        if match:
            _flush(section, key, value, sink)
            section, key, value = match[1].strip(), "", ""
            sections.append(section)
            continue
        if line[:1] in " \t" and key:
            value += "\n" + line.strip()
            continue
        pair = _PAIR.match(line)
        if pair:
            _flush(section, key, value, sink)
            key, value = pair[1].strip(), pair[2].strip()
    _flush(section, key, value, sink)
    sink.fact("config.document", None, kind="ini", sections=[clip(s, 60) for s in sections[:60]], name=clip(_base(view)))


def _flush(section: str, key: str, value: str, sink: Sink) -> None:
    if not key:
        return
    if "entry_points" in section and not key.startswith("@"):
        for line in value.strip().splitlines():
            name, _, target = line.partition("=")
            sink.fact("config.entry_point", None, group=clip(key), name=clip(name.strip()), value=clip(target.strip()))
        return
    _setting(section, key, value.strip().strip('"') if not value.strip().startswith("{") else value, sink)


def _setting(section: str, key: str, value: str, sink: Sink) -> None:
    note_evaluated(sink, f"{section}.{key}", value)
    if key.startswith("@"):
        sink.fact("config.registered", None, registry=clip(key[1:]), name=clip(value), section=clip(section))
    elif '"@' in value:
        for registry, name in re.findall(r'"@(\w+)"\s*:\s*"([^"]{1,200})"', value):
            sink.fact("config.registered", None, registry=registry, name=clip(name), section=clip(f"{section}.{key}"))
    elif section.endswith(("scripts", "entry-points")) or ".entry-points." in f".{section}.":
        if _DOTTED.match(value):
            sink.fact("config.entry_point", None, group=clip(section), name=clip(key), value=clip(value))
        else:
            sink.fact("config.command", None, key=clip(key), command=clip(value, 2000), section=clip(section))
    elif key in _BUILD and (
        "build" in section
        or section in {"options", "global", "metadata", "tool.hatch.build", "tool.poetry.build"}
        or key == "cmdclass"
    ):
        sink.fact("config.build", None, key=key, value=clip(value), section=clip(section))
    elif key == "plugins" and _COVERAGE.search(section):
        for name in re.findall(r"[A-Za-z_][\w.]*", value)[:20]:
            root = name.partition(".")[0]
            own = not sink.siblings.isdisjoint({root, f"{root}.py"})
            sink.fact("config.plugin", None, name=clip(name), own=own, section=clip(section))
    elif key in _COMMANDS and value:
        sink.fact("config.command", None, key=key, command=clip(value, 2000), section=clip(section))
        hand_on_inline(sink, f"{section}.{key}", value)
    elif key in _TARGETS and _DOTTED.fullmatch(value):
        sink.fact("config.target", None, key=key, name=clip(value), section=clip(section))


def _base(view: View) -> str:
    return view.name.replace("\\", "/").rsplit("/", 1)[-1]
