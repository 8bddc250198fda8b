"""JSON in which everything is said once: what is skipped or doubled in something signed can be forged."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["strict_json"]


def strict_json(content: bytes) -> Any:  # noqa: ANN401 - whatever the text says
    """Return the value of JSON without a key that stands twice, a number that is none, a text that is none. Raises ValueError."""
    # What is written again as it was read has no key twice: one of the two would be gone.
    try:
        found = msgspec.json.decode(content)
        if msgspec.json.encode(found) == content.rstrip(b"\n"):
            return found
    except (ValueError, RecursionError):
        pass  # it is read again below, where what is wrong with it is said
    import json

    found = json.loads(content.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    json.dumps(found, ensure_ascii=False).encode()  # half of a pair (\ud800) is text for `json` alone: no table takes it
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        msg = f"the key {twice[:60]!r} stands twice"
        raise ValueError(msg)
    return found


def _constant(text: str) -> Any:  # noqa: ANN401 - json's signature
    msg = f"{text} is no JSON"
    raise ValueError(msg)
