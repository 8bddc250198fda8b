"""Expressions of Python that a configuration holds as text: MONAI's, each a string that starts with `$`.

MONAI's `ConfigParser` evaluates every such string, and runs those that are import statements (monai/bundle/config_item.py,
`ConfigExpression`, which gives them `monai`, `torch` and `numpy`). What one imports another uses, so those of a document are
read as one source. `@name` and `%name` stand for other parts of the configuration.
"""

from __future__ import annotations

import ast
import re

from stannary.formats.interface import Sink

__all__ = ["Expressions"]

_REFERENCE = re.compile(r"[@%](?:::|#)?(?:[^\W\d]|\d)\w*(?:(?:::|#)\w+)*")
_GIVEN = "import monai\nimport torch\nimport numpy\nimport numpy as np\n"
_ALONE = re.compile(r"[\w$.{}/:-]*")  # a name, a price, a variable of the shell: nothing is called
_LONGEST = 1 << 16
_MOST = 2000


class Expressions:
    """Collects the expressions of one document."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self._imports: list[str] = []
        self._others: list[str] = []

    def note(self, text: str) -> None:
        """Keep a string that is an expression with a call in it, or an import."""
        if text[:1] != "$" or len(text) > _LONGEST or _ALONE.fullmatch(text):
            return
        source = _REFERENCE.sub("_config", text[1:].strip())
        body = _parsed(source)
        if body is None and "\n" in source:  # a folded text of YAML
            source = " ".join(source.split())
            body = _parsed(source)
        if body is None:
            return  # nor could MONAI
        if any(isinstance(statement, (ast.Import, ast.ImportFrom)) for statement in body):
            self._imports.append(source)
        elif any(isinstance(node, (ast.Call, ast.Subscript)) for node in ast.walk(ast.Module(body, []))):
            self._others.append(source)

    def hand_on(self) -> None:
        """Read them as one source, the imports first."""
        found = self._imports + self._others
        if not self._others:
            return
        if len(found) > _MOST:
            self.sink.incomplete(f"more than {_MOST} expressions")
            found = found[:_MOST]
        self.sink.child("expressions.py", (_GIVEN + "\n".join(found) + "\n").encode("utf-8", "surrogatepass"), hint="python")


def _parsed(source: str) -> list[ast.stmt] | None:
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
