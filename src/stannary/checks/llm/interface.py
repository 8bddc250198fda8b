"""What a probe may ask of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import msgspec

from stannary.checks.target.http_pool import Status

__all__ = ["ChatCosts", "Conversation", "Endpoint", "Reply", "Turn"]

Role = Literal["system", "user", "assistant"]


class Turn(msgspec.Struct, frozen=True):
    """One message."""

    role: Role
    content: str


Conversation: TypeAlias = tuple[Turn, ...]


@dataclass(frozen=True)
class Reply:
    """What came back: a text, or why there is none.

    `blocked`: a filter of the endpoint stopped the request or the answer: an answer, and no success of the attempt.
    """

    text: str | None
    status: Status = "answered"
    why: str = ""
    blocked: bool = False


@dataclass
class ChatCosts:
    """What was really spent: requests that were sent, answers that were on disk, tokens as the endpoint counts them, money."""

    requests: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float | None = None  # None: nobody said what a token costs
    currency: str = field(default="")


class Endpoint(Protocol):
    """A language model that answers conversations."""

    name: str

    def chat(self, conversations: Sequence[Conversation], *, tokens: int, seed: int) -> list[Reply]:
        """Return a reply to each conversation, in their order, of at most `tokens` tokens, as near to deterministic as it can.

        Raises:
            BackendError: the endpoint cannot be used at all.
        """
        ...

    def costs(self) -> ChatCosts:
        """Return what was spent so far."""
        ...
