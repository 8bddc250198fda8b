"""A domain as YAML that people edit: read with every error, its line and the fix; written with one column a line.

columns:                      # in the order of the features
  age:      {kind: integer, low: 18, high: 100, monotone: rise}
  income:   {low: 0, high: 500000, scale: 21000, cost: 0.0001, fixed: 1}
  sex_m:    {kind: onehot}
  sex_f:    {kind: onehot}
  total:    {formula: income + bonus}
groups:
  sex:      {columns: [sex_m, sex_f], immutable: true}
constraints:
  - bonus <= income
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from stannary.checks.target.domain import KINDS, Column, Group, TableDomain
from stannary.core.errors import InputError, StannaryError, UsageError

__all__ = ["MOST_BYTES", "dump_domain", "parse_domain", "read_domain"]

MOST_BYTES = 8 << 20
_TOP = ("columns", "groups", "constraints")
_COLUMN = {f.name: f for f in fields(Column) if f.name != "name"}
_GROUP = {f.name: f for f in fields(Group) if f.name != "name"}
_TAG = "tag:yaml.org,2002:"


def read_domain(path: str | Path, names: Sequence[str] = ()) -> TableDomain:
    """Read a domain from a file. `names`: the columns of the data, which it has to describe, each and no other.

    Raises:
        UsageError: the file cannot be read.
        ExceptionGroup: of InputErrors: all that is wrong, each with its line.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if len(content) > MOST_BYTES:
            msg = f"a domain of {len(content)} bytes is too large (most: {MOST_BYTES})"
            raise InputError(msg, where=str(path))
        text = content.decode("utf-8")
    except OSError as exc:
        msg = f"the domain cannot be read: {exc.strerror}"
        raise UsageError(msg, where=str(path)) from exc
    except UnicodeDecodeError as exc:
        msg = "a domain is a YAML text in UTF-8"
        raise InputError(msg, where=str(path)) from exc
    return parse_domain(text, str(path), names)


def parse_domain(text: str, where: str = "domain", names: Sequence[str] = ()) -> TableDomain:
    """Read a domain from YAML. Raises an ExceptionGroup of InputErrors."""
    reader = _Reader(where)
    made = reader.read(text, names)
    if reader.errors or made is None:
        msg = f"domain {where}"
        raise ExceptionGroup(msg, reader.errors)
    return made


class _Reader:
    def __init__(self, where: str) -> None:
        self.where = where
        self.errors: list[Exception] = []
        self.lines: dict[str, int] = {}  # of columns, groups and sections, by name

    def wrong(self, line: int, message: str, fix: str | None = None) -> None:
        self.errors.append(InputError(message, where=f"{self.where}:{line}", code="DOM001", help=fix))

    def read(self, text: str, names: Sequence[str]) -> TableDomain | None:
        top = self._top(text)
        if top is None:
            return None
        for key, node in top.items():
            if key not in _TOP:
                self.wrong(node.start_mark.line + 1, f"there is no section {key!r}", _near(key, _TOP))
        columns = self._columns(top.get("columns"))
        groups = self._groups(top.get("groups"))
        constraints = self._texts(top.get("constraints"), "constraints")
        if names and not self.errors:
            columns = self._matched(columns, names)
        if self.errors:
            return None
        try:
            return TableDomain(tuple(columns), tuple(groups), tuple(constraints))
        except ExceptionGroup as group:
            for error in group.exceptions:
                if isinstance(error, StannaryError):
                    self.wrong(self.lines.get(error.where or "", 1), error.message, error.help)
            return None

    def _top(self, text: str) -> dict[str, yaml.Node] | None:
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    self.wrong(_line(event.start_mark), "aliases (`*name`) are not read here", "write the value out")
                    return None
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            self.wrong(_line(exc.problem_mark), f"this is no YAML: {exc.problem}")
            return None
        except (yaml.YAMLError, RecursionError, ValueError) as exc:
            self.wrong(1, f"this is no YAML: {exc}")
            return None
        if not isinstance(node, yaml.MappingNode):
            self.wrong(1, "a domain is a mapping with `columns`", "columns: {age: {kind: integer, low: 18, high: 100}}")
            return None
        return self._mapping(node, "")

    def _mapping(self, node: yaml.Node | None, what: str) -> dict[str, yaml.Node]:
        """Return a mapping's values by key, in order; a key that stands twice is an error."""
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"):
            return {}
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node.start_mark.line + 1, f"{what} is a mapping, as in `name: {{...}}`")
            return {}
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(line, f"a name in {what or 'the domain'} is a text")
            elif key.value in found:
                self.wrong(line, f"{key.value!r} stands twice", "remove one of them")
            else:
                found[key.value] = value
                self.lines.setdefault(key.value, line)
        return found

    def _columns(self, node: yaml.Node | None) -> list[Column]:
        made = []
        for name, body in self._mapping(node, "columns").items():
            values = {key: self._value(key, part, _COLUMN) for key, part in self._mapping(body, f"column {name!r}").items()}
            made.append(_build(Column, name, values))
        if not made and not self.errors:
            self.wrong(1, "there are no columns", "columns: {age: {kind: integer, low: 18, high: 100}}")
        return made

    def _groups(self, node: yaml.Node | None) -> list[Group]:
        made = []
        for name, body in self._mapping(node, "groups").items():
            values = {key: self._value(key, part, _GROUP) for key, part in self._mapping(body, f"group {name!r}").items()}
            if values.get("columns") is None:
                self.wrong(self.lines.get(name, 1), f"group {name!r} does not say its columns", "columns: [sex_m, sex_f]")
                continue
            made.append(_build(Group, name, values))
        return made

    def _value(self, key: str, node: yaml.Node, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - by key
        line = node.start_mark.line + 1
        if key not in known:
            self.wrong(line, f"there is no setting {key!r}", _near(key, tuple(known)))
            return None
        kind = str(known[key].type)
        if kind.startswith("tuple"):
            return self._list(key, node, numbers="float" in kind)
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(line, f"{key} is a single value")
            return None
        if kind == "bool":
            return self._flag(key, node)
        if kind == "float":
            return self._number(key, node)
        if key == "kind" and node.value not in KINDS:
            self.wrong(line, f"there is no kind {node.value!r}", _near(node.value, KINDS))
            return None
        return node.value

    def _list(self, key: str, node: yaml.Node, *, numbers: bool) -> tuple[Any, ...] | None:
        if not numbers:
            return tuple(self._texts(node, key))
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(node.start_mark.line + 1, f"{key} is a list", f"{key}: [0, 1, 2]")
            return None
        values = [self._number(key, item) for item in node.value]
        return None if None in values else tuple(values)

    def _texts(self, node: yaml.Node | None, key: str) -> list[str]:
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _TAG + "null"):
            return []
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(item, yaml.ScalarNode) for item in node.value):
            self.wrong(node.start_mark.line + 1, f"{key} is a list of texts")
            return []
        return [item.value for item in node.value]

    def _flag(self, key: str, node: yaml.ScalarNode) -> bool | None:
        if node.tag != _TAG + "bool":
            self.wrong(node.start_mark.line + 1, f"{key} is true or false, not {node.value!r}")
            return None
        return node.value.lower() in ("true", "yes", "on")

    def _number(self, key: str, node: yaml.Node) -> float | None:
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        try:
            if isinstance(node, yaml.ScalarNode) and node.tag in (_TAG + "int", _TAG + "float", _TAG + "str"):
                # 1e5 is a text to YAML 1.1 and a number to people
                value = float(text.replace(".inf", "inf").replace(".Inf", "inf")) if ".nan" not in text.lower() else math.nan
                if not math.isnan(value):
                    return value
        except ValueError:
            pass
        self.wrong(node.start_mark.line + 1, f"{key} is a number, not {text!r}")
        return None

    def _matched(self, columns: list[Column], names: Sequence[str]) -> list[Column]:
        """Return the columns in the order of the data."""
        by = {column.name: column for column in columns}
        for name in by:
            if name not in names:
                self.wrong(self.lines.get(name, 1), f"the data has no column {name!r}", _near(name, tuple(names)))
        missing = [name for name in names if name not in by]
        for name in missing[:20]:
            self.wrong(self.lines.get("columns", 1), f"column {name!r} of the data is not described", f"{json.dumps(name)}: {{}}")
        if len(missing) > 20:  # noqa: PLR2004 - as many as one reads
            self.wrong(self.lines.get("columns", 1), f"and {len(missing) - 20} more columns of the data are not described")
        return [by[name] for name in names if name in by]


def _build(kind: type[Any], name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - Column or Group
    return kind(name, **{key: value for key, value in values.items() if value is not None})


def _line(mark: Any) -> int:  # noqa: ANN401 - yaml's, of two kinds
    return 1 if mark is None else mark.line + 1


def _near(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known[:20])}"


def dump_domain(domain: TableDomain) -> str:
    """Write a domain as YAML; `parse_domain` reads it back as it was."""
    lines = ["# What each column may be and how it may change: see stannary.checks.target.domain", "columns:"]
    lines += [f"  {_text(c.name)}: {_body(c)}" for c in domain.columns]
    if domain.groups:
        lines += ["groups:", *(f"  {_text(g.name)}: {_body(g)}" for g in domain.groups)]
    if domain.constraints:
        lines += ["constraints:", *(f"  - {_text(one)}" for one in domain.constraints)]
    return "\n".join(lines) + "\n"


def _body(one: Column | Group) -> str:
    parts = []
    for f in fields(one):
        value = getattr(one, f.name)
        if f.name == "name" or (f.default is not MISSING and value == f.default):
            continue
        parts.append(f"{f.name}: {_plain(value)}")
    return "{" + ", ".join(parts) + "}"


def _plain(value: Any) -> str:  # noqa: ANN401 - a setting
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_plain(item) for item in value) + "]"
    if isinstance(value, float):
        if math.isinf(value):
            return ".inf" if value > 0 else "-.inf"
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - readable
    return _text(str(value))


def _text(value: str) -> str:
    """Return a text quoted, unless it is a plain word that YAML takes for a text."""
    if value.isidentifier() and value.isascii() and yaml.safe_load(value) == value:
        return value
    return str(yaml.safe_dump(value, default_style='"', allow_unicode=True, width=1 << 30)).rstrip("\n")
