"""Which of several statements count: what was said before does not come back by being said, or logged, again.

1. A statement that is logged again is the one it was: its first entry counts, whoever logs it the second time.
2. One statement supersedes another when it came into the log later *and* was not issued before it. Where the two orders
   disagree (a statement that was kept back and is logged now, a clock that is slow) both stand, and both have to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from operator import itemgetter

from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest

__all__ = ["order", "since", "standing", "without_replays"]

_VE = Verified[Evidence]


def since(found: Evidence) -> datetime:
    """Return since when a statement is known: when it says that it was issued, or when it was recorded if that was before."""
    return min(found.issued, found.recorded) if found.recorded is not None else found.issued


def order(item: _VE) -> tuple[int, datetime, Digest]:
    """Order statements by their place in the log, which no clock decides; those that are in none by time, before all others."""
    return -1 if item.index is None else item.index, since(item.value), item.value.id


def without_replays(items: Iterable[_VE]) -> list[_VE]:
    """Return each statement once for each who signed it and each it is about, by its first entry."""
    every = list(items)
    if len({(item.value.id.hex, item.value.subject.hex, item.keyid) for item in every}) == len(every):
        return every
    first: dict[tuple[Digest, Digest, str], _VE] = {}
    for item in sorted(every, key=order):
        first.setdefault((item.value.id, item.value.subject, item.keyid), item)
    return list(first.values())


def standing(items: Sequence[_VE], group: Callable[[_VE], Hashable]) -> list[_VE]:
    """Return of each group the statements that no other of it supersedes, the last of the log first."""
    latest: dict[Hashable, datetime] = {}
    found: list[_VE] = []
    for (_, time, _), item in sorted([(order(item), item) for item in items], key=itemgetter(0), reverse=True):
        key = group(item)
        if key not in latest or time > latest[key]:
            latest[key] = time
            found.append(item)
    return found
