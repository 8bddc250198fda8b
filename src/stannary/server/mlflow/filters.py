"""Filter strings and orders as MLflow's client sends them: `name LIKE 'fr%' AND tags.team = 'risk'`, `version_number DESC`.

The grammar is that of MLflow's search of models and versions (mlflow.utils.search_utils): comparisons joined by AND, identifiers
bare or in backticks or double quotes, values in quotes or numbers, IN with a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stannary.core.errors import UsageError

__all__ = ["Clause", "holds", "order_of", "parse_filter"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<quoted>`[^`]*`|"[^"]*")|(?P<number>-?\d+(?:\.\d+)?)|(?P<operator>!=|<=|>=|=|<|>)"""
    r"""|(?P<word>[A-Za-z_][\w-]*)|(?P<mark>[().,]))"""
)
_OPERATORS = {"=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "IN"}
_LONGEST = 10_000
_MOST = 50
_HELP = "name = '…' AND tags.team LIKE 'r%' AND version_number > 3"


class Clause(NamedTuple):
    """A comparison: a field (`name`, `tags.team`), an operator in capitals, a text, a number, or texts for IN."""

    field: str
    operator: str
    value: str | float | tuple[str, ...]


def parse_filter(text: str, fields: Sequence[str]) -> list[Clause]:
    """Return the comparisons of a filter, over these fields and tags. Raises UsageError for what is none."""
    tokens = _tokens(text)
    clauses: list[Clause] = []
    while tokens:
        if clauses and (tokens[0][0] != "word" or tokens.pop(0)[1].upper() != "AND"):
            raise _odd(text, "comparisons are joined by AND")
        clause, tokens = _clause(text, tokens)
        if clause.field not in fields and not clause.field.startswith("tags."):
            raise _odd(text, f"{clause.field[:60]!r} is not searched by")
        clauses.append(clause)
    if len(clauses) > _MOST:
        raise _odd(text[:100], "too many comparisons")
    return clauses


def holds(clauses: Sequence[Clause], row: Mapping[str, Any], tags: Mapping[str, str]) -> bool:
    """Tell whether everything holds for a row and its tags. For a tag that is not there nothing holds, as in MLflow's own store."""
    return all(
        _compare(clause, tags.get(clause.field[5:]) if clause.field.startswith("tags.") else row[clause.field])
        for clause in clauses
    )


def order_of(terms: Sequence[str], fields: Sequence[str]) -> list[tuple[str, bool]]:
    """Return what to sort by: a field, and whether the largest comes first. Raises UsageError."""
    found: list[tuple[str, bool]] = []
    for text in terms:
        name, _, way = text.strip().partition(" ")
        way = way.strip().upper() or "ASC"
        name = {"timestamp": "last_updated_timestamp"}.get(name.strip('`"'), name.strip('`"'))
        if name not in fields or way not in ("ASC", "DESC"):
            msg = f"is not sorted by: {text[:60]!r}"
            raise UsageError(msg, where="order_by", code="API002", help=f"one of {', '.join(fields)}, then ASC or DESC")
        found.append((name, way == "DESC"))
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    if len(text) > _LONGEST:
        raise _odd(text[:100], "it is too long")
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _odd(text, f"this is not understood: {text[at : at + 20]!r}")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


def _clause(text: str, tokens: list[tuple[str, str]]) -> tuple[Clause, list[tuple[str, str]]]:
    field, rest = _field(text, tokens)
    if not rest or rest[0][1].upper() not in _OPERATORS:
        raise _odd(text, f"after {field[:60]} comes one of {', '.join(sorted(_OPERATORS))}")
    operator, rest = rest[0][1].upper(), rest[1:]
    if operator == "IN":
        values, rest = _list(text, rest)
        return Clause(field, operator, values), rest
    if not rest or rest[0][0] not in ("text", "number", "quoted"):
        raise _odd(text, "a value stands in quotes")
    kind, value = rest[0]
    return Clause(field, operator, float(value) if kind == "number" else _unquoted(value)), rest[1:]


def _field(text: str, tokens: list[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
    if not tokens or tokens[0][0] not in ("word", "quoted"):
        raise _odd(text, "a comparison begins with a name")
    parts = [_unquoted(tokens[0][1])]
    rest = tokens[1:]
    while len(rest) > 1 and rest[0][1] == "." and rest[1][0] in ("word", "quoted"):
        parts.append(_unquoted(rest[1][1]))
        rest = rest[2:]
    if parts[0].lower() in ("tag", "tags") and len(parts) > 1:
        return f"tags.{'.'.join(parts[1:])}", rest
    if parts[0].lower() in ("attribute", "attributes", "attr") and len(parts) > 1:
        parts = parts[1:]
    return ".".join(parts), rest


def _list(text: str, tokens: list[tuple[str, str]]) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    if not tokens or tokens[0][1] != "(":
        raise _odd(text, "IN is followed by a list in parentheses")
    values: list[str] = []
    rest = tokens[1:]
    while rest and rest[0][0] in ("text", "quoted"):
        values.append(_unquoted(rest[0][1]))
        rest = rest[1:]
        if not rest or rest[0][1] != ",":
            break
        rest = rest[1:]
    if not rest or rest[0][1] != ")" or not values:
        raise _odd(text, "a list has values in quotes, with commas between them")
    return tuple(values), rest[1:]


def _unquoted(text: str) -> str:
    if text[:1] == "'":
        return text[1:-1].replace("''", "'")
    return text[1:-1] if text[:1] in ("`", '"') else text


def _compare(clause: Clause, found: Any) -> bool:  # noqa: ANN401 - a text or a number, None for a tag that is not there
    if found is None:
        return False
    if isinstance(found, (int, float)):
        return _numbers(clause, float(found))
    value, text = clause.value, str(found)
    if isinstance(value, tuple):
        return text in value
    wanted = f"{value:g}" if isinstance(value, float) else value
    match clause.operator:
        case "=":
            return text == wanted
        case "!=":
            return text != wanted
        case "LIKE" | "ILIKE":
            return _like(wanted, text, re.IGNORECASE if clause.operator == "ILIKE" else 0)
    raise UsageError(f"texts are not compared by {clause.operator}", where="filter", code="API002", help=_HELP)  # noqa: EM102, TRY003


def _numbers(clause: Clause, found: float) -> bool:
    if isinstance(clause.value, tuple):
        return any(_number(value) == found for value in clause.value)
    wanted = clause.value if isinstance(clause.value, float) else _number(clause.value)
    known = {
        "=": found == wanted, "!=": found != wanted, "<": found < wanted, "<=": found <= wanted, ">": found > wanted,
        ">=": found >= wanted,
    }  # fmt: skip
    if clause.operator not in known:
        raise UsageError(f"numbers are not compared by {clause.operator}", where="filter", code="API002", help=_HELP)  # noqa: EM102, TRY003
    return known[clause.operator]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        msg = f"is no number: {text[:40]!r}"
        raise UsageError(msg, where="filter", code="API002", help=_HELP) from error


def _like(pattern: str, text: str, flags: int) -> bool:
    """Compare as SQL does: `%` is any text, `_` one character. In linear time: parts are found from left to right."""
    texts = pattern.split("%")
    parts = [re.compile(re.escape(part).replace("_", "."), flags | re.DOTALL) for part in texts]
    if len(parts) == 1:
        return parts[0].fullmatch(text) is not None
    first = parts[0].match(text)
    if first is None:
        return False
    at, end = first.end(), len(text) - len(texts[-1])
    for part in parts[1:-1]:
        found = part.search(text, at)
        if found is None:
            return False
        at = found.end()
    return end >= at and parts[-1].fullmatch(text, end) is not None


def _odd(text: str, why: str) -> UsageError:
    return UsageError(f"cannot be searched by {text[:120]!r}: {why}", where="filter", code="API002", help=_HELP)
