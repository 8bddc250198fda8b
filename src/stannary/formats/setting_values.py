"""Values of settings that name a place, an address or a function, whatever their key: JSON, YAML, TOML and INI.

A configuration says what a program opens, fetches and imports; which key does so is beyond counting. Only values that are
nothing but such a name are told, of documents that are settings and no data.

Fact: `config.value`: kind (`place`: a path out of the folder; `address`: a URL; `name`: a dotted name; `environment`: of
a variable by which something is loaded; `search`: a folder out of this one that a path file has modules looked for in),
value, key, path.
"""

from __future__ import annotations

import re

from stannary.formats.interface import Sink, clip

__all__ = ["LARGEST", "note_setting", "outside"]

LARGEST = 1 << 18  # bytes; what is larger is data
# By these a dynamic loader, a shell or an interpreter runs what they name.
LOADER_VARIABLES = frozenset({
    "PYTHONBREAKPOINT", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONHOME", "LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES",
    "BASH_ENV", "PROMPT_COMMAND", "PERL5OPT", "RUBYOPT", "GIT_SSH_COMMAND", "GIT_EXTERNAL_DIFF", "NODE_OPTIONS",
    "JAVA_TOOL_OPTIONS", "PYTHONPATH", "PATH", "LD_LIBRARY_PATH",
})  # fmt: skip
_LONGEST = 600
_FEW = 400  # facts of one document
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s\"'<>]+")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*){1,8}")
_ENCODED_PATH = re.compile(r"%2e%2e|\.\.%(?:2f|5c)|%00|\0", re.IGNORECASE)


def outside(path: str) -> str:
    """Say how a file reference leaves its folder: `url`, `absolute`, `traversal`, `encoded`, or an empty string."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://", path):
        return "url"
    if path.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:[\\/]", path):
        return "absolute"
    if ".." in path.replace("\\", "/").split("/"):
        return "traversal"
    # A download decodes what a path on disk keeps; a name ends at NUL for everything written in C.
    return "encoded" if _ENCODED_PATH.search(path) else ""


def note_setting(sink: Sink, path: str, key: str, value: str, told: set[str]) -> None:
    """Report a value that is a place, an address or a dotted name. `told`: the values of the document that were reported."""
    if key in LOADER_VARIABLES and value not in told:
        told.add(value)
        sink.fact("config.value", None, kind="environment", value=clip(value, 300), key=clip(key, 60), path=clip(path))
        return
    if len(value) > _LONGEST or len(value) < len("a.b") or value in told or len(told) > _FEW:
        return
    text = value.strip()
    if " " in text or "\n" in text:
        return
    if "://" in text:
        kind = "address" if _URL.fullmatch(text) else ""
    elif outside(text):
        kind = "place"
    else:
        kind = "name" if _NAME.fullmatch(text) else ""
    if kind:
        told.add(value)
        sink.fact("config.value", None, kind=kind, value=clip(text, 300), key=clip(key, 60), path=clip(path))
