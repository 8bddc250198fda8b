"""Find every error of a kind before any is told: whoever fixes one should not meet the next in the next run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from stannary.core.errors import StannaryError

__all__ = ["Gathered"]

_Result = TypeVar("_Result")


class Gathered:
    """Runs steps that do not need each other, keeps what they raise, and raises all of it together."""

    def __init__(self) -> None:
        self._errors: list[Exception] = []

    def step(self, make: Callable[[], _Result]) -> _Result | None:
        """Return what a step makes; None when it raised one of our errors or a group of them."""
        try:
            return make()
        except (StannaryError, ExceptionGroup) as error:
            self._errors.append(error)
            return None

    def check(self) -> None:
        """Raise everything that was kept."""
        if self._errors:
            msg = "usage"
            raise ExceptionGroup(msg, self._errors)
