"""Talk to people, on stderr: errors with help, notes, verdicts. Data goes to stdout and not through here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from stannary.core.errors import StannaryError

__all__ = ["Talk", "wants_color"]

_BOLD_RED, _BOLD_YELLOW, _CYAN, _DIM, _OFF = "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m", "\x1b[2m", "\x1b[0m"


class Talk:
    """What may be said: `verbosity` -1 (errors and verdicts only), 0, 1 (details)."""

    def __init__(self, verbosity: int = 0, color: str = "auto") -> None:
        self.verbosity = verbosity
        self.color = color

    def note(self, text: str) -> None:
        """Say something useful that is not asked for; silent under -q."""
        if self.verbosity >= 0:
            self._say(text, _DIM)

    def detail(self, text: str) -> None:
        """Say what only -v wants to hear."""
        if self.verbosity > 0:
            self._say(text, _DIM)

    def verdict(self, text: str) -> None:
        """Say the outcome in a line."""
        self._say(text, "")

    def warning(self, text: str, help_text: str) -> None:
        """Say what changes the outcome and was not asked for, also under -q; `help_text` is what to do."""
        color = wants_color(sys.stderr, self.color)
        yellow, cyan, off = (_BOLD_YELLOW, _CYAN, _OFF) if color else ("", "", "")
        print(f"{yellow}warning{off}: {text}\n{cyan}help{off}: {help_text}", file=sys.stderr)  # noqa: T201 - stderr is where talk goes

    def errors(self, errors: Iterable[StannaryError]) -> None:
        """Print every error as `error[CODE]: where: message`, each followed by its help."""
        from stannary.report.escape import visible

        color = wants_color(sys.stderr, self.color)
        red, cyan, off = (_BOLD_RED, _CYAN, _OFF) if color else ("", "", "")
        for error in errors:
            code = f"[{error.code}]" if error.code else ""
            print(f"{red}error{code}{off}: {visible(str(error))}", file=sys.stderr)  # noqa: T201 - stderr is where talk goes
            if error.help:
                print(f"{cyan}help{off}: {visible(error.help)}", file=sys.stderr)  # noqa: T201

    def _say(self, text: str, style: str) -> None:
        on = style and wants_color(sys.stderr, self.color)
        print(f"{style}{text}{_OFF}" if on else text, file=sys.stderr)  # noqa: T201 - stderr is where talk goes


def wants_color(stream: TextIO, choice: str = "auto") -> bool:
    """Tell whether to colour a stream: `always`, `never`, or `auto` (a terminal that is not dumb, no NO_COLOR)."""
    if choice != "auto":
        return choice == "always"
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") != "dumb"
