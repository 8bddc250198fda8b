"""How an endpoint is asked, as a YAML file: address, headers, a template of the body, and where the scores stand in the answer.

    url: https://models.example/v2/models/credit/infer
    preset: kserve-v2                       # or tf-serving, sklearn, mlflow, seldon, plain; what follows overrides it
    headers: {Authorization: "Bearer ${CREDIT_TOKEN}"}
    body: {instances: "{{rows}}"}
    scores: /predictions                    # JSON pointer (RFC 6901) to scores (n, classes) or (n,)
    batch: 64

A text of the template that is one of `{{rows}}`, `{{flat}}`, `{{shape}}`, `{{n}}`, `{{columns}}`, `{{records}}` becomes that value;
in other texts nothing is replaced, so that data can never become structure.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from stannary.checks.target.http_pool import Limits
from stannary.core.errors import InputError, UsageError

__all__ = [
    "PRESETS",
    "HttpRequest",
    "Price",
    "check_address",
    "fill",
    "load_request",
    "number",
    "point",
    "read_mapping",
    "request_of",
    "secrets_of",
]

Kind: TypeAlias = Literal["auto", "logits", "probabilities", "labels"]
_Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_PosReal: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]
_Amount: TypeAlias = Annotated[float, msgspec.Meta(ge=0)]
_MOST = 1 << 20  # bytes of a request's file
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "kserve-v2": {  # Open Inference Protocol, also Triton, MLServer, OpenVINO, TorchServe
        "body": {"inputs": [{"name": "input-0", "shape": "{{shape}}", "datatype": "FP64", "data": "{{flat}}"}]},
        "scores": "/outputs/0/data",
        "shape": "/outputs/0/shape",
    },
    "tf-serving": {"body": {"instances": "{{rows}}"}, "scores": "/predictions"},
    "sklearn": {"body": {"instances": "{{rows}}"}, "scores": "/predictions"},  # KServe v1's servers of scikit-learn and xgboost
    "mlflow": {"body": {"dataframe_split": {"columns": "{{columns}}", "data": "{{rows}}"}}, "scores": "/predictions"},
    "seldon": {"body": {"data": {"ndarray": "{{rows}}"}}, "scores": "/data/ndarray"},
    "plain": {"body": "{{rows}}", "scores": ""},
}


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an answer costs: so much a request, and so much a sample in it."""

    request: _Amount = 0.0
    sample: _Amount = 0.0
    currency: str = ""


class HttpRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A request as its file says it.

    Args:
        each: pointer to a list with one element a sample; `scores` then starts at an element.
        shape: pointer to the shape of what `scores` points to, where that is flat.
        labels: names of the classes in the order of the model's outputs, where the answer has names.
        kind: what `scores` points to; `auto` takes rows that sum to one for probabilities, whole numbers for labels.
        whole: write whole numbers without a decimal point.
        budget: of requests sent, and of money.
        plain_http: secrets may go over a connection that is not encrypted.
    """

    url: str
    method: Literal["POST", "PUT"] = "POST"
    headers: Mapping[str, str] = {}
    body: Any = None
    scores: str = ""
    each: str | None = None
    shape: str | None = None
    kind: Kind = "auto"
    labels: tuple[str, ...] = ()
    whole: bool = False
    batch: _Positive = 64
    concurrency: _Positive = 8
    rate: _PosReal | None = None
    timeout: _PosReal = 30.0
    tries: _Positive = 5
    patience: _Amount = 60.0
    answer_bytes: _Positive = 16 << 20
    price: Price = Price()
    requests: _Positive | None = None
    money: _Amount | None = None
    ca: str | None = None
    plain_http: bool = False
    preset: str | None = None

    def limits(self) -> Limits:
        """Return what may be asked of the endpoint."""
        return Limits(
            concurrency=self.concurrency, rate=self.rate, timeout=self.timeout, tries=self.tries, patience=self.patience,
            answer_bytes=self.answer_bytes, requests=self.requests, money=self.money,
        )  # fmt: skip


def load_request(path: Path, url: str | None = None) -> HttpRequest:
    """Read a request's file.

    Raises:
        UsageError: it cannot be read, is no YAML, or says something that a request does not have.
    """
    return request_of(read_mapping(path, url), str(path))


def read_mapping(path: Path, url: str | None = None) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; `url` is the address where it names none. Raises UsageError."""
    import yaml

    try:
        if path.stat().st_size > _MOST:
            msg = f"a request's file is at most {_MOST} bytes"
            raise UsageError(msg, where=str(path))
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as exc:
        msg = f"the request cannot be read: {exc}"
        raise UsageError(msg, where=str(path)) from exc
    if not isinstance(found, dict):
        msg = "a request is a mapping: `url`, `preset` and so on"
        raise UsageError(msg, where=str(path))
    if url is not None and found.setdefault("url", url) != url:
        msg = f"it is about {found['url']}, and not about {url}"
        raise UsageError(msg, where=str(path), help="leave `url` out of the file, or name the same address")
    return found


def check_address(url: str, headers: Mapping[str, str], *, plain_http: bool) -> list[str]:
    """Return what is wrong with an address, or with sending these headers there."""
    try:
        address = urlsplit(url)
        host, _ = address.hostname, address.port
    except ValueError as exc:
        return [f"`url` is no address: {exc}"]
    if address.scheme not in ("http", "https") or not host or "@" in address.netloc:
        return ["`url` is an http or https address without a user or password"]
    secret = any(_VARIABLE.search(value) for value in headers.values())
    if secret and address.scheme == "http" and host not in _LOOPBACK and not plain_http:
        return ["its headers have secrets, and http would show them to anybody on the way: use https, or `plain_http: true`"]
    return []


def request_of(found: Mapping[str, Any], where: str = "request") -> HttpRequest:
    """Return a request from what its file says. Raises UsageError."""
    preset = found.get("preset", "")
    if preset and preset not in PRESETS:
        msg = f"there is no preset {preset!r}: there are {', '.join(PRESETS)}"
        raise UsageError(msg, where=where)
    try:
        request = msgspec.convert({**PRESETS.get(preset, {}), **found}, HttpRequest)
    except msgspec.ValidationError as exc:
        raise UsageError(str(exc), where=where) from exc
    problems = check_address(request.url, request.headers, plain_http=request.plain_http)
    if request.body is None:
        problems.append("there is no `body`, and no `preset` that has one")
    problems += [
        f"`{name}` is no JSON pointer: it starts with /"
        for name in ("scores", "each", "shape")
        if (text := getattr(request, name)) and not text.startswith("/")
    ]
    if problems:
        raise UsageError("; ".join(problems), where=where)
    return request


def secrets_of(headers: Mapping[str, str], where: str = "headers") -> dict[str, str]:
    """Return headers with each `${NAME}` replaced by the variable of that name.

    Raises:
        UsageError: variables are not set (all are named), or a value cannot be in a header.
    """
    missing = sorted({name for value in headers.values() for name in _VARIABLE.findall(value) if name not in os.environ})
    if missing:
        msg = f"the variables {', '.join(missing)} are not set"
        raise UsageError(msg, where=where, help=f"export {missing[0]}=...")
    filled = {name: _VARIABLE.sub(lambda found: os.environ[found[1]], value) for name, value in headers.items()}
    for name, value in filled.items():
        if not (name + value).isascii() or any(c in name + value for c in "\r\n\0"):
            msg = f"the value of {name} cannot be in a header"  # it is not shown: it may be a secret
            raise UsageError(msg, where=where)
    return filled


def fill(template: object, values: Mapping[str, Callable[[], object]]) -> object:
    """Return the template with every text `{{name}}` replaced by its value.

    Raises:
        UsageError: it names a value that there is not.
    """
    if isinstance(template, Mapping):
        return {key: fill(value, values) for key, value in template.items()}
    if isinstance(template, Sequence) and not isinstance(template, str):
        return [fill(value, values) for value in template]
    if isinstance(template, str) and template.startswith("{{") and template.endswith("}}"):
        name = template[2:-2].strip()
        if name not in values:
            msg = f"the body has {template}: there are {', '.join(values)}"
            raise UsageError(msg, where="body")
        return values[name]()
    return template


def point(found: object, pointer: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a JSON pointer (RFC 6901) leads to. Raises ValueError."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key) and int(key) < len(found):
            found = found[int(key)]
        else:
            msg = f"it has no {pointer}"
            raise ValueError(msg)
    return found


def number(value: float, *, whole: bool) -> float | int | None:
    """Return a number as JSON has it: NaN is null. Raises InputError for an infinite one."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        msg = "an infinite number cannot be sent as JSON"
        raise InputError(msg)
    return int(value) if whole and value == math.floor(value) else value
