"""Facts that were judged before in this run, with nothing found: judging is pure, so the same facts need it once.

Thousands of pickles import and call the same. Offsets are left out, which no judge looks at, and so are facts that nothing
judges: where a stream begins and ends; and of calls that are known to make arrays the bytes of the array.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from stannary.checks.static.judges import UNJUDGED
from stannary.checks.static.result import FileReport
from stannary.checks.static.ruleset import RuleSet
from stannary.formats.interface import Fact

__all__ = ["Quiet"]

_MOST = 1 << 14  # reports that are remembered
_FACTS = 64  # of one; more are seldom the same


class Quiet:
    """The memory of one worker. Rules of plug-ins may look at anything: with them it remembers nothing."""

    def __init__(self, rules: RuleSet) -> None:
        self._known: set[bytes] = set()
        self._dull = frozenset(kind for kind in UNJUDGED if not rules.compile(kind))
        self._works = not rules.judges
        self._calls = not rules.compile("pickle.call")  # they are judged by what is called alone, see `pickle_calls`
        self._encode = msgspec.msgpack.Encoder().encode

    def key(self, report: FileReport) -> bytes:
        """Return what names the facts of a report, empty when they are not remembered."""
        if not self._works or len(report.facts) > _FACTS:
            return b""
        dull, calls = self._dull, self._calls
        try:
            facts = self._encode(
                [
                    (fact.kind, fact.part, _judged(fact) if calls and fact.kind == "pickle.call" else fact.data)
                    for fact in report.facts
                    if fact.kind not in dull
                ]
            )
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


def _judged(call: Fact) -> dict[str, Any]:
    """Return the data of a call without what its judge does not look at: the bytes of an array, and how many there are."""
    data = call.data
    args = data.get("args")
    if type(args) is not list or not args or data.get("computed") or "raw" in data:
        return data
    if type(args[0]) is str:
        if args[1:] != ["latin1"] or (data["module"], data["name"]) != ("_codecs", "encode"):  # bytes, as protocol 2 writes them
            return data
        return {**data, "args": args[1:]}
    if type(args[0]) is not dict or "bytes" not in args[0]:
        return data
    from stannary.checks.static.judges.pickle_calls import ignores_values  # with the readers of pickles

    return {**data, "args": _blank(args)} if ignores_values(str(data["module"]), str(data["name"]), content=True) else data


def _blank(value: Any) -> Any:  # noqa: ANN401 - rendered JSON, which is not deep
    """Return rendered arguments with a zero for each number, and nothing in byte strings."""
    if type(value) is list:
        return [_blank(item) for item in value]
    if type(value) is dict and "bytes" in value:
        return {"bytes": 0}
    return 0 if type(value) is int or type(value) is float else value
