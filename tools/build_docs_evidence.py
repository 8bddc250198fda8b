"""The pages of docs/reference about evidence and policies, made from the structs; tools/build_docs.py writes them."""

from __future__ import annotations

import inspect
import json
import typing

import msgspec

from stannary.evidence.predicates.ours import EDGES
from stannary.evidence.predicates.table import KINDS, OURS
from stannary.policy.library import SHIPPED, shipped_text
from stannary.policy.model import Measure, Policy, Requirement, WaiverRule
from stannary.testing.statements import EXAMPLES

__all__ = ["evidence_page", "policies_page"]

_POLICY_INTRODUCTION = """# Policies

A policy is YAML. It says which evidence there has to be about an artifact before it may pass; [how a decision comes
about](../explanation/policy.md) explains the rest. Everything wrong with a file is said at once, each with its line;
what is not known is an error, aliases and repeated keys too.
"""
_EVIDENCE_INTRODUCTION = """# Evidence

{} kinds. Each piece of evidence is an in-toto statement (v1) in a DSSE envelope; the subject is an artifact by its
`dirHash1`, which binds names and contents. `stannary schema predicate:KIND` prints the JSON Schema of ours. Version 1 of a
type may get more fields; none is renamed or removed, and every example in `tests/golden/evidence` is verified for ever.

"""
_RELATIONS = """
Relations of lineage: {}.
All but `evaluated-on` and `served-by` carry taint: what was made from something revoked may not be used either. What serves
something revoked is listed with it by `stannary lineage --tainted`; no gate asks about it.
"""

# What each field of a policy means; a field without a text here fails the build.
_POLICY: dict[type[msgspec.Struct], dict[str, str]] = {
    Policy: {
        "name": "What it is called in decisions.",
        "description": "For people.",
        "extends": "A shipped policy, or a file beside this one; its requirements come first.",
        "require": "The requirements, each a mapping; see below. One replaces the inherited one of the same `id`.",
        "waivers": "Whose waivers count; see below.",
        "valid_for": "How long a decision stands by itself: `30d`, `12h`, `90m`, `2w`. It ends earlier when its evidence does.",
        "stages": "Mappings by name, each adding to, or replacing by `id`, what stands above; one may `extends` another stage.",
    },
    Requirement: {
        "kind": "The kind of evidence that has to be there: see [evidence](evidence.md).",
        "id": "What reasons and waivers call it. Default: the kind, with `:check` where one is named.",
        "check": "Only evidence of this check, or a statement about this topic. Without it every check of the kind has to hold.",
        "signers": "Only evidence that one of these identities signed (`stannary trust list`). Default: anybody who is trusted.",
        "max_age": "How old it may be, counted from when it was issued or recorded, whichever is earlier.",
        "max_severity": "Findings up to this severity pass, or `none`. Without it the check has to have passed.",
        "verdicts": "The verdict has to be one of these.",
        "measures": "Bounds on measurements; see below.",
        "approvals": "So many different identities have to state it; a newest statement that rejects is heard whatever the count.",
        "not_by": "Who signed evidence of one of these kinds does not count here: separation of duties.",
        "waivable": "Whether a waiver of this requirement counts. Default: yes.",
    },
    Measure: {
        "metric": "The name of the measurement. One that was not measured fails.",
        "min": "The low end of its interval has to reach this.",
        "max": "The high end of its interval must not exceed this.",
        "min_samples": "The sample has to have so many.",
    },
    WaiverRule: {
        "allow": "Whether any waiver counts. Default: yes.",
        "signers": "Only waivers that one of these identities signed. Default: anybody who is trusted.",
        "max_days": "A waiver for longer than this counts for nothing.",
    },
}


def policies_page() -> str:
    """Return every field of the policy language and the policies that are shipped."""
    parts = [_POLICY_INTRODUCTION]
    titles: dict[type[msgspec.Struct], str] = {
        Policy: "The policy",
        Requirement: "A requirement",
        Measure: "A measure",
        WaiverRule: "Waivers",
    }
    for struct, title in titles.items():
        fields = {field.name: field for field in msgspec.structs.fields(struct)}
        texts = _POLICY[struct]
        missing = set(fields) - set(texts)
        if missing:
            msg = f"tools/build_docs_evidence.py says nothing about {struct.__name__}: {', '.join(sorted(missing))}"
            raise ValueError(msg)
        parts.append(f"\n## {title}\n\n| field | |\n|---|---|\n")
        parts += [f"| `{name}` | {text} |\n" for name, text in texts.items()]
    for name in SHIPPED:
        parts.append(f"\n## `{name}`\n\n```yaml\n{shipped_text(name)}```\n")
    return "".join(parts)


def evidence_page() -> str:
    """Return every kind of evidence: its predicate type, its fields, an example."""
    parts = [
        _EVIDENCE_INTRODUCTION.format(len(KINDS)),
        "| kind | predicate type | |\n|---|---|---|\n",
        *(f"| [{row.name}](#{row.name}) | `{row.predicate_type}` | {row.text} |\n" for row in KINDS.values()),
        _RELATIONS.format(", ".join(f"`{edge}`" for edge in EDGES)),
    ]
    for row in KINDS.values():
        parts.append(f"\n## {row.name}\n\n`{row.predicate_type}`\n\n{row.text}")
        if row.name in OURS:
            parts.append(f" {' '.join((inspect.getdoc(row.struct) or '').split())}\n\n| field | type | |\n|---|---|---|\n")
            parts += [
                f"| `{field.encode_name}` | {_type(field.type)} | {'needed' if field.required else ''} |\n"
                for field in msgspec.structs.fields(row.struct)
            ]
        else:
            parts.append(" Read as far as a gate looks into it; kept as it was signed.\n")
        parts.append(f"\n```json\n{json.dumps(EXAMPLES[row.name], indent=2)}\n```\n")
    return "".join(parts)


def _type(kind: object) -> str:
    """Return a type for people."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments if value != "")
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return f"mapping to {_type(arguments[1])}"
    if arguments:
        return " or ".join(_type(item) for item in arguments if item is not type(None))
    return {"str": "text", "int": "whole number", "float": "number", "bool": "yes or no", "datetime": "time"}.get(
        getattr(kind, "__name__", ""), f"{getattr(kind, '__name__', 'anything')}"
    )
