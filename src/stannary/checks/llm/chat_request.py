"""How a chat endpoint is asked, as a YAML file: address, model, headers, prices, limits.

url: https://llm.example/v1/chat/completions
model: assistant-2
headers: {Authorization: "Bearer ${LLM_TOKEN}"}
price: {input: 0.15, output: 0.60, currency: USD}     # a million tokens
money: 2.0                                            # what may be spent in all
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from stannary.checks.target.http_pool import Limits
from stannary.checks.target.http_request import check_address, read_mapping
from stannary.core.errors import UsageError

__all__ = ["ChatRequest", "TokenPrice", "chat_request_of", "load_chat_request"]

_Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_PosReal: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
_Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
_END = "/chat/completions"


class TokenPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens cost that go in, and that come out."""

    input: _Amount = 0.0
    output: _Amount = 0.0
    currency: str = ""


class ChatRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A chat endpoint as its file says it.

    Args:
        url: of chat completions, or the base address before `/chat/completions`.
        extra: further fields of every request, e.g. `{temperature: 0.7}`; they override what is sent by default.
        tokens_field: how the endpoint calls the limit of a reply; some take `max_completion_tokens`.
        system_prompts: False for an endpoint that has its own and takes no other.
        system: the application's own system prompt.
        secrets: what the application must never say.
        plain_http: secrets may go over a connection that is not encrypted.
    """

    url: str
    model: str = ""
    headers: Mapping[str, str] = {}
    extra: Mapping[str, Any] = {}
    tokens_field: str = "max_tokens"
    system_prompts: bool = True
    system: str | None = None
    secrets: tuple[str, ...] = ()
    concurrency: _Positive = 4
    rate: _PosReal | None = None
    timeout: _PosReal = 120.0
    tries: _Positive = 5
    patience: _Amount = 60.0
    answer_bytes: _Positive = 4 << 20
    price: TokenPrice | None = None
    requests: _Positive | None = None
    money: _Amount | None = None
    ca: str | None = None
    plain_http: bool = False

    @property
    def address(self) -> str:
        """Return the address of chat completions."""
        url = self.url.rstrip("/")
        return url if urlsplit(url).path.endswith(_END) or urlsplit(url).query else url + _END

    def limits(self) -> Limits:
        """Return what may be asked of the endpoint."""
        return Limits(
            concurrency=self.concurrency, rate=self.rate, timeout=self.timeout, tries=self.tries, patience=self.patience,
            answer_bytes=self.answer_bytes, requests=self.requests, money=self.money,
        )  # fmt: skip


def load_chat_request(path: Path, url: str | None = None) -> ChatRequest:
    """Read a chat endpoint's file.

    Raises:
        UsageError: it cannot be read, is no YAML, or says something that a chat endpoint does not have.
    """
    return chat_request_of(read_mapping(path, url), str(path))


def chat_request_of(found: object, where: str = "request") -> ChatRequest:
    """Return a chat endpoint from what its file says. Raises UsageError."""
    try:
        request = msgspec.convert(found, ChatRequest)
    except msgspec.ValidationError as exc:
        raise UsageError(str(exc), where=where) from exc
    problems = check_address(request.url, request.headers, plain_http=request.plain_http)
    if request.money is not None and request.price is None:
        problems.append("`money` needs a `price`: otherwise nobody knows what is spent")
    if problems:
        raise UsageError("; ".join(problems), where=where)
    return request
