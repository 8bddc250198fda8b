"""Which evidence a rule of a policy in Rego was about, where its author does not say.

The policy is asked again without the oldest evidence, then without more of it, until the rule denies no longer: it denied by
what was left out last, the newest that alone is enough. A rule that denies without any evidence is about what is not there.
Halving finds it in seven questions among a hundred; answers are kept, so that rules share them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import PurePath

from stannary.core.canonical import canonical_json
from stannary.core.errors import StannaryError
from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Json
from stannary.policy.order import order

__all__ = ["find_causes", "place_of", "told_kinds"]

_QUESTIONS = 32  # a decision by regopy takes up to seconds with hundreds of pieces of evidence
_VE = Verified[Evidence]


def find_causes(ask: Callable[[Sequence[_VE]], list[Json]], denied: Sequence[Json], evidence: Sequence[_VE]) -> list[_VE | None]:
    """Return for each thing that is denied the evidence that it is about, None where it is about none or that cannot be told.

    Args:
        ask: what the policy denies with this evidence, everything else as it was.
        denied: what it denies with all of it.
        evidence: all of it.
    """
    ordered = sorted(evidence, key=order)
    answers: dict[int, frozenset[bytes]] = {0: frozenset(map(canonical_json, denied))}

    def denies(item: bytes, left_out: int) -> bool:
        if left_out not in answers:
            if len(answers) > _QUESTIONS:
                raise _Untold
            try:
                answers[left_out] = frozenset(map(canonical_json, ask(ordered[left_out:])))
            except StannaryError as error:  # it cannot decide without what was left out
                raise _Untold from error
        return item in answers[left_out]

    return [_cause(canonical_json(item), denies, ordered) for item in denied]


class _Untold(Exception):
    pass


def _cause(item: bytes, denies: Callable[[bytes, int], bool], ordered: list[_VE]) -> _VE | None:
    try:
        still, gone = 0, len(ordered)
        if not ordered or denies(item, gone):
            return None
        while gone - still > 1:
            middle = (still + gone) // 2
            still, gone = (middle, gone) if denies(item, middle) else (still, middle)
    except _Untold:
        return None
    return ordered[still]


def told_kinds(evidence: Sequence[_VE]) -> str:
    """Return which kinds of evidence there were, and how many of each."""
    counts: dict[str, int] = {}
    for item in evidence:
        counts[item.value.kind] = counts.get(item.value.kind, 0) + 1
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "no evidence"


def place_of(text: str, module: str, name: str) -> str:
    """Return file and line of the rule that says a text, empty when the text stands in the module never or more than once."""
    quoted = json.dumps(text, ensure_ascii=False)
    if module.count(quoted) != 1:
        return ""
    return f"{PurePath(name).name}:{module.count(chr(10), 0, module.index(quoted)) + 1}"
