"""An OpenAI-compatible endpoint (`POST …/chat/completions`): paced, retried, paid once, its tokens and price counted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stannary.checks.llm.chat_request import ChatRequest
from stannary.checks.llm.interface import ChatCosts, Conversation, Reply
from stannary.checks.target.http_cache import AnswerCache
from stannary.checks.target.http_pool import Answer, Pool
from stannary.checks.target.http_request import secrets_of

__all__ = ["HttpChat"]

_MILLION = 1_000_000
_BYTES_A_TOKEN = 2  # at least, in what is kept free of a budget before a request is sent
_FILTERED = re.compile(r"content[_ -]?(filter|policy|management)", re.IGNORECASE)


@dataclass(frozen=True)
class _Said:
    text: str
    tokens_in: int
    tokens_out: int
    blocked: bool


class HttpChat:
    """The endpoint that `request` describes.

    Args:
        request: how it is asked.
        cache: file in which answers are kept; the same question to the same model is then paid once.

    Raises:
        UsageError: variables of the headers are not set.
    """

    def __init__(self, request: ChatRequest, *, cache: Path | None = None) -> None:
        self.request = request
        self.name = f"{request.model} at {request.address}" if request.model else request.address
        self._tokens = [0, 0]
        self.pool = Pool(
            request.address,
            headers=secrets_of(request.headers, request.url),
            written=request.headers,
            limits=request.limits(),
            cache=AnswerCache(cache) if cache else None,
            ca=request.ca,
        )

    def chat(self, conversations: Sequence[Conversation], *, tokens: int, seed: int) -> list[Reply]:
        """Return a reply to each conversation; at temperature 0 and with the seed, as far as the endpoint heeds them."""
        bodies = [self._body(one, tokens, seed) for one in conversations]
        price = self.request.price

        def most(body: bytes) -> float:
            return (len(body) / _BYTES_A_TOKEN * price.input + tokens * price.output) / _MILLION if price else 0.0

        def bill(said: _Said) -> float:
            return (said.tokens_in * price.input + said.tokens_out * price.output) / _MILLION if price else 0.0

        return [self._reply(answer) for answer in self.pool.ask(bodies, _read, price=most, bill=bill)]

    def costs(self) -> ChatCosts:
        """Return what was spent so far. Answers that were on disk have tokens, and no price."""
        spent, price = self.pool.costs, self.request.price
        money = spent.money if price else None
        currency = price.currency if price else ""
        return ChatCosts(spent.sent, spent.cached, self._tokens[0], self._tokens[1], money, currency)

    def close(self) -> None:
        """Close connections and the cache."""
        self.pool.close()

    def _body(self, conversation: Conversation, tokens: int, seed: int) -> bytes:
        body = {
            "model": self.request.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in conversation],
            self.request.tokens_field: tokens,
            "temperature": 0,
            "seed": seed,
            **self.request.extra,
        }
        return json.dumps(body, separators=(",", ":")).encode()

    def _reply(self, answer: Answer[_Said]) -> Reply:
        if answer.value is not None:
            self._tokens[0] += answer.value.tokens_in
            self._tokens[1] += answer.value.tokens_out
            return Reply(answer.value.text, blocked=answer.value.blocked)
        if answer.status == "rejected" and _FILTERED.search(answer.why):
            return Reply("", why=answer.why, blocked=True)
        return Reply(None, answer.status, answer.why)


def _read(content: bytes) -> _Said:
    """Return what a completion says. Raises ValueError where it is none."""
    found = json.loads(content)
    choices = found.get("choices") if isinstance(found, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        msg = "it has no choices[0].message"
        raise ValueError(msg)  # noqa: TRY004 - of an answer, not of an argument
    blocked = choice.get("finish_reason") == "content_filter"
    text = _text(message.get("content"))
    if not text:
        text = _text(message.get("refusal")) or text
    if text is None and not blocked:
        msg = "its message has no content"
        raise ValueError(msg)
    usage = found.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return _Said(text or "", _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")), blocked)


def _text(content: object) -> str | None:
    if isinstance(content, list):  # parts
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
