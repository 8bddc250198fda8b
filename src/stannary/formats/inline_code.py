"""Python that a command line carries in its own words: `python -c '...'`."""

from __future__ import annotations

import re
import shlex

from stannary.formats.interface import Sink, clip

__all__ = ["SOURCE_KEYS", "hand_on_inline", "note_evaluated", "note_script", "note_source"]

_INTERPRETER = re.compile(r"\bpython[\d.]*(?:\.exe)?[\"']?(?:\s+-[A-Za-bd-z]\w*)*\s+-\w*c\b\s*", re.IGNORECASE)
#: Keys under which flows, agents and tools keep the source of a function.
SOURCE_KEYS = frozenset(
    {"code", "source_code", "python_code", "script", "function_code", "pythonFunction", "func", "function_body", "value"}
)
_SOURCE = re.compile(r"^(?:import |from \w[\w.]* import |def \w+\(|class \w+|exec\(|eval\(|__import__\()", re.MULTILINE)
# What libraries evaluate in a configuration: an expression from the first character on, or a resolver that evaluates.
_EVALUATED = re.compile(
    r"\s*[\"']?(?:__import__|os\.(?:system|popen)|subprocess\.\w+)\(|\s*(?:exec|eval)\((?=[\w\"'(]).*\)\s*\Z"
    r"|\s*lambda\b[^:\n]{0,60}:\s*(?:__import__|exec|eval|os\.\w+|subprocess\.\w+|getattr)\s*\("
    r"|\$\{(?:oc\.)?(?:eval|python|py|exec)\s*:",
    re.DOTALL,
)
# Where Flowise, n8n, Node-RED and promptfoo keep a function, and how such a function starts a program.
_SCRIPT_KEYS = frozenset(
    {"javascriptFunction", "jsCode", "functionCode", "func", "function", "code", "script", "value", "expression"}
)
_STARTS = re.compile(
    r"\brequire\s*\(\s*[\"'](?:node:)?child_process[\"']\s*\)|\bprocess\.(?:binding|mainModule)\b|\bimport\s*\(\s*[\"'](?:node:)?child_process"
)
_MOST = 20
_LONGEST = 1 << 16


def hand_on_inline(sink: Sink, name: str, command: str) -> None:
    """Read what follows `python -c` in a command as the source that it is."""
    if "python" not in command.lower():
        return
    for count, match in enumerate(_INTERPRETER.finditer(command[:_LONGEST])):
        if count >= _MOST:
            sink.incomplete(f"{clip(name)}: more than {_MOST} programs in one command")
            return
        code = _first_word(command[match.end() : _LONGEST])
        if len(code) > len("import x"):
            sink.child(f"{clip(name, 80)}.py", code.encode("utf-8", "surrogatepass"), hint="python")


def note_source(sink: Sink, name: str, text: str) -> None:
    """Read a value that is the source of a function or a module."""
    if _SOURCE.search(text) and len(text) <= _LONGEST:
        sink.child(f"{clip(name, 80)}.py", text.encode("utf-8", "surrogatepass"), hint="python")


def note_evaluated(sink: Sink, path: str, text: str) -> None:
    """Report a value that is an expression of Python (`config.code`), and read one that is a command with a program in it."""
    if "-" in text[:80] and _INTERPRETER.match(text.lstrip()):
        hand_on_inline(sink, path, text)
    if "(" in text[:80] or text.startswith("${"):
        found = _EVALUATED.match(text)
        if found is not None:
            sink.fact("config.code", None, path=clip(path), text=clip(text, 200))


def note_script(sink: Sink, path: str, key: str, text: str) -> None:
    """Report JavaScript that a flow keeps and runs, when it asks for the module that starts programs."""
    if key in _SCRIPT_KEYS and (found := _STARTS.search(text[:_LONGEST])):
        sink.fact("config.code", None, path=clip(path), text=clip(text[found.start() : found.start() + 200], 200))


def _first_word(rest: str) -> str:
    """Return the first word as a shell splits it; what is not closed ends with the text."""
    words = shlex.shlex(rest, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    try:
        return next(iter(words), "")
    except ValueError:
        return rest.strip().strip("\"'")
