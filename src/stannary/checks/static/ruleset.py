"""Rules as data: loading, matching, and the digest that names a rule set.

A rule is `rules/ID.toml`:

    id = "GGUF002"
    title = "Chat template reaches Python internals"
    severity = "high"              # critical | high | medium | low | info
    what = "..."                   # one or two sentences each
    why = "..."
    exploit = "..."                # a short story
    fix = "..."
    cwe = ["CWE-94"]
    atlas = ["AML.T0011.000"]      # MITRE ATLAS 5.6 technique ids
    owasp = ["LLM03:2025"]
    message = "template uses {name}"   # filled from the fact's data
    [[match]]                      # any of; absent when a judge (judges/*.py) emits the rule
    fact = "gguf.template"
    where = { dangerous = true, name = { regex = "^__" } }
    [examples]                     # names in stannary.testing.forges
    true = "gguf.template_ssti"
    false = "gguf.plain"

Operators in `where`: a plain value (equality), or a table with any of `in` (list), `regex`
(search), `not_regex`, `gt`, `ge`, `lt`, `le`, `exists`, `contains` (element or substring),
`in_set` / `not_in_set` (a file `data/sets/NAME.txt`, one entry a line). All must hold.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from stannary.checks.static.shipped import shipped
from stannary.core.errors import Bug
from stannary.core.model import Severity
from stannary.formats.interface import Fact

__all__ = ["Examples", "Hit", "Judge", "Match", "Rule", "RuleSet", "compile_sources", "load"]


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way a rule matches: a fact kind and conditions on the fact's data."""

    fact: str
    where: dict[str, Any] = {}


class Examples(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"yes": "true", "no": "false"}):
    """Forge names of content that must and that must not match."""

    yes: str
    no: str


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule file, as written."""

    id: str
    title: str
    severity: Severity
    what: str
    why: str
    exploit: str
    fix: str
    message: str
    examples: Examples
    cwe: tuple[str, ...] = ()
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    match: tuple[Match, ...] = ()


class Hit(NamedTuple):
    """A rule that fired on a fact, before it becomes a finding. `message` and `severity` override the rule's."""

    rule: str
    fact: Fact
    message: str | None = None
    evidence: Mapping[str, Any] | None = None
    severity: Severity | None = None


class _Packed(msgspec.Struct, frozen=True):
    rules: tuple[Rule, ...]
    sets: dict[str, tuple[str, ...]]


Condition = Callable[[Mapping[str, Any]], bool]
Judge = Callable[[Sequence[Fact]], Iterator[Hit]]


class RuleSet:
    """Compiled rules, indexed by the fact kind they look at; `judges`: those of plug-ins, which see all facts."""

    def __init__(
        self, rules: Iterable[Rule], sets: Mapping[str, Iterable[str]], digest: str, judges: tuple[Judge, ...] = ()
    ) -> None:
        self.rules = {rule.id: rule for rule in rules}
        self.judges = judges
        self.digest = digest
        self.sets = {name: frozenset(values) for name, values in sets.items()}
        self._sources: dict[str, list[tuple[str, Match]]] = {}
        for rule in self.rules.values():
            for match in rule.match:
                self._sources.setdefault(match.fact, []).append((rule.id, match))
        self._by_fact: dict[str, list[tuple[str, list[Condition]]]] = {}  # compiled when a fact of the kind is first seen

    def judge(self, facts: Iterable[Fact]) -> Iterator[Hit]:
        """Yield a hit for every (fact, rule) that matches by data alone."""
        by_fact = self._by_fact
        for fact in facts:
            compiled = by_fact.get(fact.kind)
            if compiled is None:
                compiled = by_fact[fact.kind] = self.compile(fact.kind)
            for rule_id, conditions in compiled:
                if all(condition(fact.data) for condition in conditions):
                    yield Hit(rule_id, fact)

    def compile(self, kind: str) -> list[tuple[str, list[Condition]]]:
        """Return the conditions of the rules that look at a kind of fact. Raises Bug for an operator that is not there."""
        return [
            (rule_id, [self._condition(rule_id, field, spec) for field, spec in match.where.items()])
            for rule_id, match in self._sources.get(kind, ())
        ]

    def _condition(self, rule: str, field: str, spec: Any) -> Condition:  # noqa: ANN401 - TOML value
        if not isinstance(spec, dict):
            return lambda data: data.get(field) == spec
        tests = [_operator(rule, op, arg, self.sets) for op, arg in spec.items()]
        return lambda data: all(test(data.get(field)) for test in tests)


def _operator(rule: str, op: str, arg: Any, sets: Mapping[str, frozenset[str]]) -> Callable[[Any], bool]:  # noqa: ANN401, PLR0911 - a table of operators
    match op:
        case "in":
            return lambda value: value in arg
        case "regex":
            search = re.compile(arg).search
            return lambda value: isinstance(value, str) and search(value) is not None
        case "not_regex":
            search = re.compile(arg).search
            return lambda value: not (isinstance(value, str) and search(value))
        case "gt":
            return lambda value: value is not None and value > arg
        case "ge":
            return lambda value: value is not None and value >= arg
        case "lt":
            return lambda value: value is not None and value < arg
        case "le":
            return lambda value: value is not None and value <= arg
        case "exists":
            return lambda value: (value is not None) is arg
        case "contains":
            return lambda value: value is not None and arg in value
        case "in_set":
            return lambda value, members=sets[arg]: value in members  # type: ignore[misc]
        case "not_in_set":
            return lambda value, members=sets[arg]: value not in members  # type: ignore[misc]
    msg = f"rule {rule}: unknown operator {op!r}"
    raise Bug(msg)


def compile_sources() -> bytes:
    """Read every rule file and set of the source tree and return the packed JSON.

    Raises ValueError with all the problems found, one a line.
    """
    import tomllib
    from importlib import resources  # neither is needed to scan

    base = resources.files(__package__)
    problems: list[str] = []
    rules: list[Rule] = []
    for entry in sorted(base.joinpath("rules").iterdir(), key=lambda e: e.name):
        if not entry.name.endswith(".toml"):
            continue
        try:
            rule = msgspec.convert(tomllib.loads(entry.read_text(encoding="utf-8")), Rule)
            if f"{rule.id}.toml" != entry.name:
                problems.append(f"{entry.name}: holds rule {rule.id}")
            rules.append(rule)
        except (ValueError, msgspec.ValidationError) as exc:
            problems.append(f"{entry.name}: {exc}")
    sets = {
        entry.name.removesuffix(".txt"): tuple(
            sorted(ln for raw in entry.read_text(encoding="utf-8").splitlines() if (ln := raw.partition("#")[0].strip()))
        )
        for entry in base.joinpath("data", "sets").iterdir()
        if entry.name.endswith(".txt")
    }
    compiler = RuleSet(rules, sets, "")
    for kind in sorted({match.fact for rule in rules for match in rule.match}):
        try:
            compiler.compile(kind)
        except (Bug, KeyError, TypeError, re.error) as exc:
            problems.append(f"rules for {kind}: {exc}")
    if problems:
        raise ValueError("\n".join(problems))
    return msgspec.json.encode(_Packed(tuple(rules), dict(sorted(sets.items()))), order="sorted")


@cache
def load() -> RuleSet:
    """Return the shipped rule set (compiled by `./dev rules` into `data/rules.json`)."""
    raw = shipped("rules.json")
    packed = msgspec.json.decode(raw, type=_Packed)
    return RuleSet(packed.rules, packed.sets, "sha256:" + hashlib.sha256(raw).hexdigest())
