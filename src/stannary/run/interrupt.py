"""Ctrl-C that is not lost: a program that `watch`es remembers it, whatever becomes of the exception.

Python turns SIGINT into a KeyboardInterrupt between any two bytecodes, and an exception raised in a callback
of a weak reference, in a finalizer or under C code that drops errors goes no further: the program runs on.
So the handler takes a note as well, and loops that last ask for it with `check`.

Nothing of this is active unless `watch` was called, which is for programs: in a library, signals are its user's.
"""

from __future__ import annotations

import signal
import sys
from types import TracebackType
from typing import Self

__all__ = ["check", "hold", "seen", "watch"]

_noted: list[bool] = []
_holders: list[object] = []
_waiting: list[bool] = []  # a Ctrl-C that came while something held it


def _note(*_: object) -> None:
    """Handle the signal."""
    _noted[:] = (True,)
    if _holders:
        _waiting[:] = (True,)
    else:
        raise KeyboardInterrupt


def seen() -> bool:
    """Tell whether Ctrl-C was pressed since `watch` began."""
    return bool(_noted)


def check() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed and has not been answered by an earlier call."""
    if _noted and _noted[0]:
        _noted[:] = (False,)
        raise KeyboardInterrupt


class watch:  # noqa: N801 - used like a function
    """Take notes of Ctrl-C while the block runs, unless the program ignores it or has a handler of its own."""

    def __enter__(self) -> Self:
        _noted.clear()
        _waiting.clear()
        self._active = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._active:
            try:
                signal.signal(signal.SIGINT, _note)
            except ValueError:  # not the main thread, which has signals to itself
                self._active = False
            else:
                self._hook, sys.unraisablehook = sys.unraisablehook, self._told
        return self

    def __exit__(self, *_: object) -> None:
        _waiting.clear()
        _noted.clear()
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.unraisablehook = self._hook

    def _told(self, unraisable: sys.UnraisableHookArgs, /) -> None:
        """Print what cannot be raised, but for a Ctrl-C: it is noted, and nobody is helped by the traceback of a callback."""
        if not (_noted and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            self._hook(unraisable)


class hold:  # noqa: N801 - used like a function
    """Let a Ctrl-C wait until the block is left, for what must not be broken off in the middle. Needs `watch`."""

    def __enter__(self) -> None:
        _holders.append(self)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        _holders.pop()
        # Only what came meanwhile: an earlier one was raised where it came, and somebody may be answering it.
        if _waiting and not _holders:
            _waiting.clear()
            if kind is None:
                check()
