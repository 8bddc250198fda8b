"""Variables of a Rego module that nothing binds: OPA refuses them when it compiles, regopy 1.5.2 takes them for undefined.

A rule with one never holds, so that a slip of the pen in a `deny` would allow. This reads tokens and not the grammar,
and takes more for binding than Rego does: what it names is bound nowhere in its rule. OPA finds more, and says more about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Unbound", "unbound"]

# A text without an end is one as well: to look for its end from each quotation mark in it would take the square of its length.
_TOKEN = re.compile(
    r"""(?P<skip>\#[^\n]*|[ \t\r]+)|(?P<text>"(?:\\.|[^"\\\n])*"?|`[^`]*`?)|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)"""
    r"""|(?P<line>\n)|(?P<sign>:=|==|!=|<=|>=|.)"""
)
_KEYWORDS = frozenset({"as", "contains", "default", "else", "every", "false", "if", "in", "not", "null", "some", "true", "with"})
_GLOBALS = frozenset({"_", "input", "data"})
_OPEN, _CLOSED = frozenset("([{"), frozenset(")]}")
_ENDS = frozenset({"\n", ";", "|", "if", "not", "some", "else", "every"})  # of what stands left of `:=` or `=`


class Unbound(NamedTuple):
    """A variable, and the line where it stands first in a rule that does not bind it."""

    name: str
    line: int


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def unbound(module: str) -> Unbound | None:
    """Return the first variable that its rule does not bind; None when there is none."""
    statements = list(_statements(_tokens(module)))
    known = set(_GLOBALS)
    rules: list[list[_Token]] = []
    for tokens in statements:
        if tokens[0].text == "import":
            known |= {token.text for token in tokens[-1:] if token.kind == "name"}
        elif tokens[0].text != "package":
            rules.append(tokens)
            known |= {token.text for token in tokens[:2] if token.kind == "name" and token.text not in _KEYWORDS}
    for tokens in rules:
        bound = known | _bound(tokens)
        for token in _used(tokens):
            if token.text not in bound:
                return Unbound(token.text, token.line)
    return None


def _tokens(module: str) -> list[_Token]:
    found: list[_Token] = []
    line = 1
    for match in _TOKEN.finditer(module):
        kind, text = str(match.lastgroup), match[0]
        if kind != "skip":
            found.append(_Token(kind, text, line))
        line += text.count("\n")
    return found


def _statements(tokens: Sequence[_Token]) -> Iterator[list[_Token]]:
    """Yield packages, imports and rules: each begins with a name at the beginning of a line, outside of all brackets."""
    current: list[_Token] = []
    depth, fresh = 0, True
    for token in tokens:
        if token.text in _CLOSED:
            depth -= 1
        if fresh and depth <= 0 and token.kind == "name" and token.text != "else" and current:
            yield [item for item in current if item.kind != "line"] if current[0].text == "import" else current
            current = []
        if current or token.kind == "name":
            current.append(token)
        if token.text in _OPEN:
            depth += 1
        fresh = token.kind == "line" if token.kind != "line" else True
    if current:
        yield [item for item in current if item.kind != "line"] if current[0].text == "import" else current


def _is_variable(tokens: Sequence[_Token], at: int) -> bool:
    """Tell whether a name is neither a keyword, nor a field of something, nor what is called (OPA and regopy know functions)."""
    token = tokens[at]
    if token.kind != "name" or token.text in _KEYWORDS or (at and tokens[at - 1].text == "."):
        return False
    last = at
    while last + 2 < len(tokens) and tokens[last + 1].text == "." and tokens[last + 2].kind == "name":
        last += 2
    return last + 1 == len(tokens) or tokens[last + 1].text != "("


def _used(tokens: Sequence[_Token]) -> Iterator[_Token]:
    return (token for at, token in enumerate(tokens) if _is_variable(tokens, at))


def _names(tokens: Sequence[_Token], places: Iterator[int] | range) -> set[str]:
    return {tokens[at].text for at in places if _is_variable(tokens, at)}


def _bound(tokens: Sequence[_Token]) -> set[str]:
    """Return the names that a rule binds, by whatever could: some, every, :=, =, an index, a parameter, walk."""
    found: set[str] = set()
    head = 1 if tokens[0].text == "default" else 0
    for at, token in enumerate(tokens):
        text, before = token.text, tokens[at - 1] if at else None
        if text in ("some", "every"):
            found |= _names(tokens, _until(tokens, at + 1, {"in", "\n", ";"}))
        elif text in (":=", "="):
            found |= _names(tokens, _leftwards(tokens, at - 1))
            found |= _names(tokens, _pattern(tokens, at + 1)) if text == "=" else set()
        elif text == "(" and before is not None and (at == head + 1 or before.text == "walk"):
            found |= _names(tokens, _inside(tokens, at))
        elif text == "[" and before is not None and (before.kind == "name" or before.text in ("]", ")")):
            found |= _names(tokens, _inside(tokens, at)) if before.text not in _KEYWORDS else set()
    return found


def _until(tokens: Sequence[_Token], start: int, ends: set[str]) -> range:
    return range(start, next((at for at in range(start, len(tokens)) if tokens[at].text in ends), len(tokens)))


def _inside(tokens: Sequence[_Token], start: int) -> range:
    """Return the places from an opening bracket to the one that closes it."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += (tokens[at].text in _OPEN) - (tokens[at].text in _CLOSED)
        if not depth:
            return range(start, at)
    return range(start, len(tokens))


def _leftwards(tokens: Sequence[_Token], start: int) -> range:
    """Return the places of the term that ends at `start`."""
    depth = 0
    for at in range(start, -1, -1):
        text = tokens[at].text
        if text in _CLOSED:
            depth += 1
        elif text in _OPEN:
            depth -= 1
        if depth < 0 or (not depth and text in _ENDS):
            return range(at + 1, start + 1)
    return range(start + 1)


def _pattern(tokens: Sequence[_Token], start: int) -> range:
    """Return the places of a variable, or of an array or object, that stands right of `=`."""
    if start >= len(tokens):
        return range(0)
    if tokens[start].text in ("[", "{"):
        return _inside(tokens, start)
    after = tokens[start + 1].text if start + 1 < len(tokens) else ""
    return range(start, start + 1) if after not in (".", "[", "(") else range(0)
