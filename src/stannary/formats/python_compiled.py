"""Compiled modules followed like source: the facts of `python_flow.py`, and which of the names in the code it accounts for.

What a module does on import and in its functions is reported as `python.*`. `pyc.call` is then what is called, and what only
the names of the code suggest is left where the flow met no such name: code that does not use a name that it has was not
written by a compiler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stannary.core.errors import BudgetExceeded
from stannary.formats.bytecode import Code, versions_of
from stannary.formats.bytecode_flow import CodeFlow, lift
from stannary.formats.bytecode_lift import Work

if TYPE_CHECKING:
    from stannary.core.model import Json
    from stannary.formats.interface import Sink

__all__ = ["Account", "follow_module"]

_INSTRUCTIONS = 200_000
# (first magic number, last, version): importlib's history of MAGIC_NUMBER.
_MAGIC = (
    (3360, 3379, (3, 6)), (3390, 3399, (3, 7)), (3400, 3419, (3, 8)), (3420, 3429, (3, 9)), (3430, 3449, (3, 10)),
    (3450, 3499, (3, 11)), (3500, 3549, (3, 12)), (3550, 3599, (3, 13)), (3600, 3649, (3, 14)),
)  # fmt: skip


class Account:
    """What a module was seen to do: `calls` are (name, function, on import), `touched` its outside names, `words` their parts."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, bool], None] = {}
        self.words: set[str] = set()
        self.touched: tuple[str, ...] = ()


class _Listening:
    """A sink that passes facts on and keeps the calls."""

    def __init__(self, sink: Sink, account: Account) -> None:
        self.budget, self.siblings = sink.budget, sink.siblings
        self.child, self.inflate, self.incomplete, self.inert = sink.child, sink.inflate, sink.incomplete, sink.inert
        self._fact = sink.fact
        self._account = account

    def fact(self, kind: str, offset: int | None = None, /, **data: Json) -> None:
        """Keep a call, and pass the fact on."""
        if kind == "python.call":
            where = str(data.get("function") or "<module>")
            self._account.calls[str(data["name"]), where, data.get("scope") in {"import", "main"}] = None
            self._account.words.update(str(data["name"]).split("."))
        self._fact(kind, offset, **data)


def follow_module(code: Code, magic: int, sink: Sink) -> Account | None:
    """Report what a module does. Returns None when its code does not add up in the version that it says, or in any."""
    exact = next((version for low, high, version in _MAGIC if low <= magic <= high), None)
    for version in (exact,) if exact else versions_of(code):
        node, broken = lift(code, version, Work(_INSTRUCTIONS))
        if broken:
            continue
        account = Account()
        flow = CodeFlow(_Listening(sink, account), entry="import")
        try:
            flow.top(node)
        except (BudgetExceeded, RecursionError) as exc:
            sink.incomplete(f"compiled code was not followed to its end: {type(exc).__name__}")
            return None
        account.touched = tuple(flow.touched)
        if flow.switched:
            account.words.add("eval")
        account.words |= _words(flow.touched) | _words(flow.called_names) | set(flow.attributes) | set(flow.missing) | flow.stored
        return account
    return None


def _words(names: Any) -> set[str]:  # noqa: ANN401 - any names
    return {part for name in names for part in name.replace("()", "").replace("[]", "").split(".")}
