"""Python that a command line carries in its own words: `python -c '...'`."""

from __future__ import annotations

import re
import shlex

from stannary.formats.interface import Sink, clip

__all__ = ["hand_on_inline"]

_INTERPRETER = re.compile(r"\bpython[\d.]*(?:\.exe)?[\"']?(?:\s+-[A-Za-bd-z]\w*)*\s+-\w*c\b\s*", re.IGNORECASE)
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


def _first_word(rest: str) -> str:
    """Return the first word as a shell splits it; what is not closed ends with the text."""
    words = shlex.shlex(rest, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    try:
        return next(iter(words), "")
    except ValueError:
        return rest.strip().strip("\"'")
