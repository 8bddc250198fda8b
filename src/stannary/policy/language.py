"""Policies as people write them: YAML in, a `Policy` out, every error with its line and the fix.

    name: release
    extends: production               # a shipped policy, or a file beside this one
    require:
      - kind: model-scan
        max_age: 7d
        max_severity: low             # findings up to here pass
      - kind: eval-result
        check: robustness
        measures: [{metric: robust_accuracy, min: 0.6, min_samples: 1000}]
    stages:
      staging: {require: [...]}       # adds to, or replaces by id, what stands above
      live: {extends: staging, require: [{kind: statement, check: approval, approvals: 2}]}

A requirement replaces the inherited one of the same id; nothing is inherited away otherwise.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec
import yaml

from stannary.core.errors import InputError, StannaryError
from stannary.core.model import Json
from stannary.policy.model import Duration, Measure, Name, Policy, Requirement, WaiverRule

__all__ = ["MOST_BYTES", "parse"]

MOST_BYTES = 1 << 20
_DEEPEST = 20
_STAGE_FIELDS = ("description", "extends", "require", "waivers", "valid_for")
_FIELDS = ("name", *_STAGE_FIELDS, "stages")
_TIMES = ("max_age", "valid_for")
_EXPECTED = re.compile(r"Expected `(\w+)[^`]*`(?: >= ([\d.]+))?")
_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "a text",
    "array": "a list",
    "object": "a mapping",
    "bool": "true or false",
}
_SPELLED = {
    "float": "as a number, such as 0.6",
    "int": "as a whole number, such as 2",
    "str": "as a text; one that looks like a number in quotes",
    "array": "as a list: [one, another]",
    "object": "as a mapping: {key: value}",
    "bool": "as true or false, without quotes",
}
_LOOK = "docs/reference/policies.md shows every field, and what it may be"
_TAGS = {"str", "int", "float", "bool", "null", "seq", "map"}

# Finds what `extends` names, given by name: a shipped policy or another file.
Resolve = Callable[[str], Policy]


class _Part(NamedTuple):
    """Plain data, and the line of each key or item by its path."""

    value: Json
    lines: Mapping[tuple[str | int, ...], int]


def parse(text: str, where: str, resolve: Resolve, stage: str = "", known_kinds: frozenset[str] = frozenset()) -> Policy:
    """Read a policy, or one of its stages. Raises an ExceptionGroup of InputErrors: all that is wrong, each with its line.

    Args:
        text: the YAML.
        where: the name of the file, for messages.
        resolve: returns the policy that `extends` names; raises InputError or UsageError.
        stage: which of the stages; empty for the policy itself.
        known_kinds: the kinds of evidence there are; another one is an error.
    """
    reader = _Reader(where, resolve, known_kinds)
    policy = reader.read(text, stage)
    if reader.errors or policy is None:
        msg = f"policy {where}"
        raise ExceptionGroup(msg, sorted(reader.errors, key=_line_of))
    return policy


def _line_of(error: InputError) -> int:
    return int((error.where or ":1").rpartition(":")[2])


class _Reader:
    """Collects what is wrong."""

    def __init__(self, where: str, resolve: Resolve, known_kinds: frozenset[str]) -> None:
        self.where = where
        self.resolve = resolve
        self.known_kinds = known_kinds
        self.errors: list[InputError] = []
        self.part = _Part(None, {})

    def wrong(self, path: tuple[str | int, ...], message: str, help_text: str = "") -> None:
        """Note an error at the line of the nearest part of the path."""
        near = path
        while near and near not in self.part.lines:
            near = near[:-1]
        line = self.part.lines.get(near, 1)
        name = "".join(f"[{item + 1}]" if isinstance(item, int) else f".{item}" for item in path).lstrip(".")
        self.errors.append(
            InputError(
                f"{name}: {message}" if name else message, where=f"{self.where}:{line}", code="POL001", help=help_text or _LOOK
            )
        )

    def read(self, text: str, stage: str) -> Policy | None:
        """Return the policy, or None when it cannot be made."""
        try:
            self.part = _load(text)
        except _Unreadable as error:
            self.errors.append(InputError(str(error), where=f"{self.where}:{error.line}", code="POL001", help=error.help or _LOOK))
            return None
        top = self.part.value
        if not isinstance(top, dict):
            self.wrong((), "a policy is a mapping with `name` and `require`")
            return None
        self._known((), top, _FIELDS)
        name = self._field((), top, "name", Name, required=True)
        base = self._stage((), top, Policy(name=name or "?"))
        stages = top.get("stages", {})
        if not isinstance(stages, dict) or not all(isinstance(body, dict) for body in stages.values()):
            self.wrong(("stages",), "is a mapping of stage names to what each adds", "stages: {live: {require: [...]}}")
            return None
        made = {key: self._made(stages, key, base, ()) for key in stages}
        if not stage:
            return base
        if stage not in stages:
            self.wrong(
                ("stages",),
                f"there is no stage {stage!r}",
                _hint(stage, stages) if stages else "name the policy without #STAGE: it has none",
            )
            return None
        return made[stage]

    def _made(self, stages: dict[str, Any], key: str, base: Policy, trail: tuple[str, ...]) -> Policy:
        body, path = stages[key], ("stages", key)
        if trail == ():
            self._known(path, body, _STAGE_FIELDS)
        parent = body.get("extends")
        if key in trail:
            return base  # said below, by each stage of the circle
        if trail == () and _goes_round(stages, key):
            self.wrong((*path, "extends"), f"the stages {key} and {parent} extend each other")
        if parent in stages:
            # Read again for each stage that builds on it; what is wrong in it is said once, in its own turn.
            count = len(self.errors)
            base = self._made(stages, parent, base, (*trail, key))
            del self.errors[count:]
            body = {field: value for field, value in body.items() if field != "extends"}
        made = self._stage(path, body, base)
        return msgspec.structs.replace(made, name=f"{base.name.partition('#')[0]}#{key}")

    def _stage(self, path: tuple[str | int, ...], body: dict[str, Any], base: Policy) -> Policy:
        """Return `base` with what a mapping adds to it."""
        inherited = base
        extends = self._field(path, body, "extends", str)
        if extends:
            try:
                found = self.resolve(extends)
                inherited = msgspec.structs.replace(base, require=_merged(found.require, base.require), waivers=found.waivers)
                if base.valid_for is None:
                    inherited = msgspec.structs.replace(inherited, valid_for=found.valid_for)
            except* StannaryError as group:
                for error in group.exceptions:
                    self.wrong((*path, "extends"), str(error), (isinstance(error, StannaryError) and error.help) or "")
        waivers = self._waivers(path, body, inherited.waivers)
        changes: dict[str, Any] = {
            "description": self._field(path, body, "description", str),
            "valid_for": self._field(path, body, "valid_for", Duration),
            "waivers": waivers,
        }
        own = self._requirements(path, body)
        return msgspec.structs.replace(
            inherited,
            require=_merged(inherited.require, own),
            **{field: value for field, value in changes.items() if value is not None},
        )

    def _waivers(self, path: tuple[str | int, ...], body: dict[str, Any], inherited: WaiverRule) -> WaiverRule | None:
        """Return the rule with what it does not say taken from the inherited one: who may waive is not inherited away."""
        if "waivers" not in body:
            return None
        made: WaiverRule | None = self._struct((*path, "waivers"), body["waivers"], WaiverRule)
        if made is None:
            return None
        said = [name for name, value in body["waivers"].items() if value is not None]
        return msgspec.structs.replace(inherited, **{name: getattr(made, name) for name in said})

    def _requirements(self, path: tuple[str | int, ...], body: dict[str, Any]) -> tuple[Requirement, ...]:
        rows = body.get("require", [])
        here = (*path, "require")
        if not isinstance(rows, list):
            self.wrong(here, "is a list of requirements", "require: [{kind: model-scan, max_severity: low}]")
            return ()
        made: list[Requirement] = []
        for number, row in enumerate(rows):
            found = self._requirement((*here, number), row)
            if found is None:
                continue
            if any(found.name == other.name for other in made):
                self.wrong((*here, number), f"there is a requirement {found.name!r} above", "give each its own `id`")
            made.append(found)
        return tuple(made)

    def _requirement(self, path: tuple[str | int, ...], row: Json) -> Requirement | None:
        if isinstance(row, dict) and isinstance(row.get("measures"), list):
            measures = [self._struct((*path, "measures", n), item, Measure) for n, item in enumerate(row["measures"])]
            for n, item in enumerate(measures):
                if item is not None and item.min is None and item.max is None and item.min_samples is None:
                    self.wrong((*path, "measures", n), "bounds nothing", "give it `min`, `max` or `min_samples`")
            if None in measures:
                row = {key: value for key, value in row.items() if key != "measures"}
        if isinstance(row, dict):
            self._kinds(path, row)
        found: Requirement | None = self._struct(path, row, Requirement)
        return found

    def _kinds(self, path: tuple[str | int, ...], row: dict[str, Any]) -> None:
        """Note the kinds that nothing can be of, whatever else is wrong with the requirement."""
        apart = row.get("not_by")
        for field, kinds in (("kind", [row.get("kind")]), ("not_by", apart if isinstance(apart, list) else [])):
            for kind in kinds if self.known_kinds else ():
                if isinstance(kind, str) and kind not in self.known_kinds:
                    self.wrong((*path, field), f"there is no kind of evidence {kind!r}", _hint(kind, sorted(self.known_kinds)))

    def _struct(self, path: tuple[str | int, ...], value: Json, kind: type[msgspec.Struct]) -> Any:  # noqa: ANN401 - of the kind
        """Return the struct, or None after noting everything that is wrong with it, field by field."""
        if not isinstance(value, dict):
            self.wrong(path, f"is a mapping, not {_named(value)}")
            return None
        before = len(self.errors)
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        self._known(path, value, tuple(fields))
        made = {
            name: found
            for name, field in fields.items()
            if (found := self._field(path, value, name, field.type, required=field.required)) is not None
        }
        return kind(**made) if len(self.errors) == before else None

    def _field(self, path: tuple[str | int, ...], body: dict[str, Any], name: str, kind: Any, *, required: bool = False) -> Any:  # noqa: ANN401 - of the kind
        if name not in body or body[name] is None:
            if required:
                self.wrong(path, f"`{name}` is missing", f"add `{name}: ...`")
            return None
        try:
            return msgspec.convert(body[name], kind)
        except msgspec.ValidationError as error:
            self.wrong((*path, name), *_readable(str(error), body[name], kind, is_time=name in _TIMES))
            return None

    def _known(self, path: tuple[str | int, ...], body: dict[str, Any], names: tuple[str, ...]) -> None:
        for key in body:
            if key not in names:
                self.wrong((*path, key), "is not known here", _hint(str(key), names))


def _goes_round(stages: dict[str, Any], key: str) -> bool:
    """Tell whether following `extends` from a stage leads back to it."""
    seen: list[str] = []
    at = key
    while at in stages and at not in seen:
        seen.append(at)
        at = stages[at].get("extends")
    return at == key


def _merged(base: tuple[Requirement, ...], own: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    """Return both; one of `own` stands in the place of the one of the same name."""
    mine = {requirement.name: requirement for requirement in own}
    kept = [mine.pop(requirement.name, requirement) for requirement in base]
    return (*kept, *mine.values())


def _readable(error: str, value: Json, kind: Any, *, is_time: bool) -> tuple[str, str]:  # noqa: ANN401 - any type
    """Return what is wrong with a value, and the fix."""
    if is_time:
        return f"is a time such as 30d, 12h or 90m, not {_named(value)}", "a whole number and one of d, h, m; a fortnight is 14d"
    words = [word for part in (kind, *get_args(kind)) if get_origin(part) is Literal for word in get_args(part)]
    if words and isinstance(value, str):
        return f"is one of {_list(words)}, not {_named(value)}", _hint(value, words)
    said = _EXPECTED.match(error)
    if said is not None and said[1] in _WORDS:
        least = f" of at least {said[2]}" if said[2] else ""
        return f"is {_WORDS[said[1]]}{least}, not {_named(value)}", f"write it {_SPELLED[said[1]]}"
    text = error.partition(" - at")[0]
    return f"{text[:1].lower()}{text[1:]}, and this is {_named(value)}", ""


def _hint(given: str, names: Iterable[str]) -> str:
    """Return what was probably meant, or what there is."""
    there = list(names)
    near = difflib.get_close_matches(given, there, 1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {_list(there)}"


def _named(value: Json) -> str:
    return f"{value!r:.60}" if not isinstance(value, dict | list) else ("a mapping" if isinstance(value, dict) else "a list")


def _list(names: Any) -> str:  # noqa: ANN401 - any strings
    return ", ".join(map(str, names))


class _Unreadable(Exception):
    """The text is no YAML that is taken here."""

    def __init__(self, message: str, line: int, help_text: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.help = help_text


def _load(text: str) -> _Part:
    """Return plain data with the line of each part. Aliases, tags, several documents and repeated keys are errors."""
    if len(text) > MOST_BYTES:
        msg = f"is larger than {MOST_BYTES:,} characters"
        raise _Unreadable(msg, 1)
    try:
        loader = yaml.SafeLoader(text)
        _look(text)
        node = loader.get_single_node()
        lines: dict[tuple[str | int, ...], int] = {(): 1}
        value = _plain(loader, node, (), lines) if node is not None else None
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        problem = (isinstance(error, yaml.MarkedYAMLError) and error.problem) or "cannot be read"
        msg = f"is not YAML: {problem}"
        raise _Unreadable(msg, mark.line + 1 if mark is not None else 1) from error
    except ValueError as error:  # numbers and dates that match YAML's patterns and are none
        msg = f"is not YAML: {error}"
        raise _Unreadable(msg, 1) from error
    return _Part(value, lines)


def _look(text: str) -> None:
    """Raise _Unreadable for aliases, and at once for what is nested deeply: PyYAML's time grows with the square of the depth."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent):
            msg = f"the alias *{event.anchor} is not taken in policies"
            raise _Unreadable(msg, line, "write it out: who reads a policy reads it once")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST + 1:
            msg = "is nested more deeply than any policy"
            raise _Unreadable(msg, line)


def _plain(loader: yaml.SafeLoader, node: yaml.Node, path: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> Json:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if len(path) > _DEEPEST:
        msg = "is nested more deeply than any policy"
        raise _Unreadable(msg, line)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, (*path, number), lines) for number, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Json] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            lines[(*path, key)] = key_node.start_mark.line + 1
            if key in found:
                msg = f"the key {key!r} stands here twice"
                raise _Unreadable(msg, key_node.start_mark.line + 1, "remove one of them")
            found[key] = _plain(loader, value_node, (*path, key), lines)
        return found
    if node.tag.rpartition(":")[2] not in _TAGS:
        return str(node.value)  # dates and the like: text here
    return loader.construct_object(node)
