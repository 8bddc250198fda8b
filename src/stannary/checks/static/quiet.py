"""Facts that were judged before in this run, with nothing found: judging is pure, so the same facts need it once.

Thousands of pickles import and call the same. Offsets are left out, which no judge looks at, and so are facts that nothing
judges: where a stream begins and ends.
"""

from __future__ import annotations

import hashlib

import msgspec

from stannary.checks.static.judges import UNJUDGED
from stannary.checks.static.result import FileReport
from stannary.checks.static.ruleset import RuleSet

__all__ = ["Quiet"]

_MOST = 1 << 14  # reports that are remembered
_FACTS = 64  # of one; more are seldom the same


class Quiet:
    """The memory of one worker. Rules of plug-ins may look at anything: with them it remembers nothing."""

    def __init__(self, rules: RuleSet) -> None:
        self._known: set[bytes] = set()
        self._dull = frozenset(kind for kind in UNJUDGED if not rules.compile(kind))
        self._works = not rules.judges
        self._encode = msgspec.msgpack.Encoder().encode

    def key(self, report: FileReport) -> bytes:
        """Return what names the facts of a report, empty when they are not remembered."""
        if not self._works or len(report.facts) > _FACTS:
            return b""
        dull = self._dull
        try:
            facts = self._encode([(fact.kind, fact.part, fact.data) for fact in report.facts if fact.kind not in dull])
        except (ValueError, OverflowError, TypeError, RecursionError):  # a name that is no UTF-8, a number of 80 bits
            return b""
        return hashlib.sha256(facts).digest()

    def knows(self, key: bytes) -> bool:
        """Tell whether nothing was found in such facts."""
        return key in self._known

    def learn(self, key: bytes) -> None:
        """Take note of facts in which nothing was found."""
        if key and len(self._known) < _MOST:
            self._known.add(key)
