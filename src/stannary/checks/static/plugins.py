"""Formats and checks that other packages bring, loaded only when the configuration names them.

    # the package's pyproject.toml
    [project.entry-points."stannary.formats"]
    acme = "acme_stannary:FORMATS"         # a Format row, or a sequence of them
    [project.entry-points."stannary.checks"]
    acme = "acme_stannary.checks"          # RULES: Rule, ...; and, if it needs one, judge(facts) -> Iterator[Hit]

    # stannary.toml
    scan.plugins = ["acme"]

What is installed but not named is not looked at. A plug-in is imported in the process that scans,
before the jail: it is trusted like stannary itself. Its readers then run in the jail, like ours. A
plug-in adds readings and findings; it cannot take any away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, TypeVar

import msgspec

from stannary.checks.static import ruleset
from stannary.checks.static.ruleset import Judge, Rule, RuleSet
from stannary.core.errors import UsageError
from stannary.formats.identify import FORMATS, Format, load_probe, load_reader

__all__ = ["Plugins", "load"]

_FORMATS = "stannary.formats"
_CHECKS = "stannary.checks"
_T = TypeVar("_T")


class Plugins(NamedTuple):
    """What the named plug-ins bring: rows beside `FORMATS`, the shipped rules with theirs, a digest of names and versions."""

    formats: tuple[Format, ...]
    rules: RuleSet
    version: str


@cache
def load(names: tuple[str, ...]) -> Plugins:
    """Import the plug-ins of these names, readers included.

    Raises UsageError for a name that no installed package advertises, for one that cannot be
    imported, and for one that brings something else than rows and rules of new names.
    """
    rows: list[Format] = []
    rules: list[Rule] = []
    judges: list[Judge] = []
    origins: list[str] = []
    for name in names:
        points = [point for group in (_FORMATS, _CHECKS) for point in entry_points(group=group, name=name)]
        if not points:
            msg = f"no installed package has a plug-in {name!r}"
            raise UsageError(msg, where="scan.plugins", code="PLG001", help="install it beside stannary, or remove the name")
        for point in points:
            brought = _import(point)
            origins.append(f"{point.group}:{name}:{point.dist.name} {point.dist.version}" if point.dist else name)
            if point.group == _FORMATS:
                rows.extend(_rows(brought, point))
            else:
                rules.extend(_of_type(getattr(brought, "RULES", ()), Rule, point))
                judges.extend([brought.judge] if hasattr(brought, "judge") else [])
    _new("format", [row.name for row in rows], {row.name for row in FORMATS})
    shipped = ruleset.load()
    _new("rule", [rule.id for rule in rules], set(shipped.rules))
    return Plugins(tuple(rows), _with(shipped, rules, judges, origins), _digest(repr(origins).encode()))


def _import(point: EntryPoint) -> Any:  # noqa: ANN401 - checked by the caller
    try:
        return point.load()
    except Exception as exc:  # whatever a stranger's module raises when it is imported
        msg = f"{point.value} cannot be imported: {type(exc).__name__}: {exc}"
        raise _wrong(point, msg) from exc


def _rows(brought: object, point: EntryPoint) -> list[Format]:
    rows = _of_type([brought] if isinstance(brought, Format) else brought, Format, point)
    for row in rows:
        try:  # now: a worker in its jail may not be able to
            load_reader(row)
            if row.probe:
                load_probe(row)
        except (ImportError, AttributeError) as exc:
            msg = f"the reader of {row.name!r} cannot be imported: {exc}"
            raise _wrong(point, msg) from exc
    return rows


def _of_type(brought: object, wanted: type[_T], point: EntryPoint) -> list[_T]:
    items: list[object] = list(brought) if isinstance(brought, Iterable) else [brought]
    found = [item for item in items if isinstance(item, wanted)]
    if len(found) < len(items):
        msg = f"{point.value} holds something that is no {wanted.__name__}"
        raise _wrong(point, msg)
    return found


def _new(kind: str, names: Sequence[str], taken: set[str]) -> None:
    for name in names:
        if name in taken:
            msg = f"a {kind} {name!r} is there already"
            raise UsageError(msg, where="scan.plugins", code="PLG003", help="ask the plug-in's author for another name")
        taken.add(name)


def _with(shipped: RuleSet, rules: Sequence[Rule], judges: Sequence[Judge], origins: Sequence[str]) -> RuleSet:
    if not rules and not judges:
        return shipped
    digest = _digest(shipped.digest.encode() + repr(origins).encode() + msgspec.json.encode(rules))
    return RuleSet([*shipped.rules.values(), *rules], shipped.sets, f"sha256:{digest}", tuple(judges))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _wrong(point: EntryPoint, message: str) -> UsageError:
    return UsageError(message, where=f"{point.group}: {point.name}", code="PLG002", help="ask the plug-in's author")
