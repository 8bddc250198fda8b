"""A model behind an HTTP endpoint as a target: rows go out in batches, many requests at a time; every answer is paid once.

A row whose answer cannot be used (an error, NaN, a wrong shape, no connection) has no answer: -1, NaN. It is counted in
`Spend.unanswered`, and never called robust. An endpoint that is gone raises BackendError, a budget that is used up BudgetSpent:
the engine then ends with what was found until there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stannary.checks.target.array_model import log_of, looks_like_probabilities
from stannary.checks.target.http_cache import AnswerCache
from stannary.checks.target.http_pool import Answer, Pool
from stannary.checks.target.http_request import HttpRequest, fill, number, point, secrets_of
from stannary.checks.target.interface import Access, BudgetSpent, Loss
from stannary.checks.target.torch_model import labels_of
from stannary.core.errors import BackendError, InputError, UsageError

__all__ = ["HttpTarget", "http_target", "read_answer"]

Rows = Callable[[torch.Tensor], Sequence[Sequence[object]]]
_PROBES = 16


class HttpTarget:
    """A classifier behind `request`.

    Args:
        request: how it is asked.
        shape: of one input.
        classes: how many there are.
        kind: what it answers: `logits`, `probabilities` or `labels`.
        columns: names of a table's columns, for `{{columns}}` and `{{records}}`.
        rows: makes the rows that are sent out of inputs `(n, *shape)`, e.g. with words where the data has them; by default the
            numbers as they are.
        cache: file in which answers are kept.

    Raises:
        UsageError: variables of the headers are not set.
    """

    device = "cpu"

    def __init__(
        self,
        request: HttpRequest,
        shape: tuple[int, ...],
        classes: int,
        *,
        kind: str = "logits",
        columns: Sequence[str] = (),
        rows: Rows | None = None,
        cache: Path | None = None,
    ) -> None:
        self.request, self.shape, self.classes, self.kind = request, shape, classes, kind
        self.name = request.url
        self.access: Access = "decision" if kind == "labels" else "score"
        self.labels, self.columns, self.rows = request.labels, tuple(columns), rows
        self.notes: list[str] = []
        self.pool = Pool(
            request.url,
            headers=secrets_of(request.headers, request.url),
            written=request.headers,
            method=request.method,
            limits=request.limits(),
            cache=AnswerCache(cache) if cache else None,
            ca=request.ca,
        )

    @property
    def calls(self) -> int:
        """How many requests were really sent: what `Counting` reports as calls."""
        return self.pool.costs.sent

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores `(n, classes)`, float64: logits or log-probabilities; NaN where there was no answer."""
        if self.kind == "labels":
            msg = "the endpoint gives labels only"
            raise UsageError(msg, where=self.name)
        out = self._asked(x)
        if self.kind == "probabilities":
            good = np.isfinite(out).all(1) & (out >= 0).all(1)
            out = np.where(good[:, None], log_of(out), np.nan)
        return torch.from_numpy(np.where(np.isfinite(out).all(1)[:, None], out, np.nan)).to(x.device)

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return the labels `(n,)`, -1 where there was no answer."""
        if self.kind != "labels":
            return labels_of(self.logits(x))
        out = self._asked(x)[:, 0]
        good = np.isfinite(out) & (out >= 0) & (out < self.classes) & (np.floor(out) == out)
        return torch.from_numpy(np.where(good, out, -1).astype(np.int64)).to(x.device)

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # noqa: ARG002 - the protocol's
        """Refuse: raises UsageError."""
        msg = f"an endpoint offers no gradient (access: {self.access})"
        raise UsageError(msg, where=self.name, help="use attacks by scores or decisions")

    def close(self) -> None:
        """Close connections and the cache."""
        self.pool.close()

    def _asked(self, x: torch.Tensor) -> Any:  # noqa: ANN401 - numpy
        """Return what the endpoint says of rows, `(n, classes)` or `(n, 1)` for labels, float64; NaN where it says nothing."""
        width = 1 if self.kind == "labels" else self.classes
        out = np.full((len(x), width), np.nan)
        x = x.detach().cpu()
        parts = [range(start, min(start + self.request.batch, len(x))) for start in range(0, len(x), self.request.batch)]
        while parts:
            answers = self._ask([x[part.start : part.stop] for part in parts], width)
            halves: list[range] = []
            for part, answer in zip(parts, answers, strict=True):
                if answer.value is not None:
                    out[part.start : part.stop] = answer.value
                elif answer.status == "budget":
                    msg = f"{self.name}: the budget is used up"
                    raise BudgetSpent(msg)
                elif answer.status == "gone":
                    raise BackendError("the endpoint no longer answers: " + answer.why, where=self.name)
                elif answer.status == "rejected" and len(part) > 1:  # one row may be at fault; its neighbours are asked without it
                    middle = part.start + len(part) // 2
                    halves += [range(part.start, middle), range(middle, part.stop)]
            parts = halves
        return out

    def _ask(self, parts: Sequence[torch.Tensor], width: int) -> list[Answer[Any]]:
        found: list[Answer[Any]] = []
        price = self.request.price
        for same in _runs(parts):  # of one length: an answer of another is none

            def read(content: bytes, rows: int = len(same[0])) -> Any:  # noqa: ANN401 - numpy
                out = read_answer(content, self.request, rows)
                if out.shape == (rows, 1) and width == 2 and self.kind == "probabilities":  # noqa: PLR2004 - of two classes
                    out = np.concatenate([1 - out, out], 1)
                elif out.shape == (rows, 1) and width == 2:  # noqa: PLR2004 - of two classes
                    out = np.concatenate([np.zeros_like(out), out], 1)
                if out.shape != (rows, width):
                    msg = f"it has shape {out.shape} for {rows} rows and {self.classes} classes"
                    raise ValueError(msg)
                return out

            cost = price.request + price.sample * len(same[0])
            found += self.pool.ask([self._body(part) for part in same], read, price=lambda _, cost=cost: cost)  # type: ignore[misc]
        return found

    def _body(self, x: torch.Tensor) -> bytes:
        """Return a request's body for inputs `(n, *shape)`."""
        whole = self.request.whole

        def rows() -> Sequence[Sequence[object]]:
            if self.rows is None:
                return [_nested(row, whole=whole) for row in x.tolist()]
            return [[number(one, whole=whole) if isinstance(one, float) else one for one in row] for row in self.rows(x)]

        values: dict[str, Callable[[], object]] = {
            "rows": rows,
            "flat": lambda: [one for row in rows() for one in _flat(row)],
            "shape": lambda: list(x.shape) if self.rows is None else [len(x), len(self.columns)],
            "n": lambda: len(x),
            "columns": lambda: list(self.columns),
            "records": lambda: [dict(zip(self.columns, row, strict=True)) for row in rows()],
        }
        if not self.columns and "{{columns}}" in json.dumps(self.request.body):
            msg = "the body has {{columns}}, and the data has no columns with names"
            raise UsageError(msg, where=self.name)
        return json.dumps(fill(self.request.body, values), allow_nan=False, separators=(",", ":")).encode()


def http_target(
    request: HttpRequest,
    probe: torch.Tensor,
    *,
    classes: int = 0,
    columns: Sequence[str] = (),
    rows: Rows | None = None,
    cache: Path | None = None,
) -> HttpTarget:
    """Return an endpoint as a target. A few rows of `probe` `(n, *shape)` are asked to learn what it gives, and paid for.

    Args:
        request: how it is asked.
        probe: some inputs.
        classes: how many there are, where it gives labels only.
        columns: names of a table's columns.
        rows: see `HttpTarget`.
        cache: file in which answers are kept.

    Raises:
        BackendError: there is no usable answer.
        InputError: the answer is neither scores nor labels, or has another number of classes than `classes`.
        UsageError: the request cannot be made.
    """
    target = HttpTarget(request, tuple(probe.shape[1:]), 2, columns=columns, rows=rows, cache=cache)
    few = probe[: min(_PROBES, request.batch)].detach().cpu()
    (answer,) = target.pool.ask([target._body(few)], lambda content: read_answer(content, request, len(few)))  # noqa: SLF001 - its maker
    if answer.value is None:
        target.close()
        raise BackendError("the endpoint gives no usable answer: " + answer.why, where=request.url)
    out = answer.value
    target.kind = request.kind if request.kind != "auto" else _kind(out, request)
    if target.kind == "labels":
        target.access = "decision"
        target.classes = max(classes, len(request.labels), 2)
    else:
        target.classes = max(2, out.shape[1])
        if classes and target.classes != classes:
            target.close()
            msg = f"it gives {target.classes} scores a row; there are {classes} classes"
            raise InputError(msg, where=request.url, help="`scores` points at something else, or the data has other labels")
        if target.kind == "probabilities" and request.kind == "auto":
            target.notes.append("its scores are taken for probabilities")
    return target


def read_answer(content: bytes, request: HttpRequest, rows: int) -> Any:  # noqa: ANN401 - numpy
    """Return an answer's numbers, `(rows, k)` float64, NaN where it has none; labels as their number, k = 1.

    Raises:
        ValueError: it is no JSON, has nothing where the request points, or has another number of rows.
    """
    whole = found = json.loads(content)
    if request.each is not None:
        each = point(found, request.each)
        if not isinstance(each, list):
            msg = f"{request.each} is no list"
            raise ValueError(msg)
        found = [point(one, request.scores) for one in each]
    else:
        found = point(found, request.scores)
    names = {name: float(at) for at, name in enumerate(request.labels)}
    out = np.array(_numbers(found, names), dtype=np.float64)  # ValueError where it is ragged
    if request.shape is not None:
        out = out.reshape(point(whole, request.shape))
    out = out.reshape((*out.shape[:1], -1)) if out.size and out.ndim else np.zeros((0, 0))
    if len(out) != rows:
        msg = f"it has {len(out)} rows, not {rows}"
        raise ValueError(msg)
    return out


def _numbers(found: object, names: dict[str, float]) -> object:
    if isinstance(found, list):
        return [_numbers(one, names) for one in found]
    if isinstance(found, bool) or found is None:
        return float("nan") if found is None else float(found)
    if isinstance(found, (int, float)):
        return float(found) if isinstance(found, float) or abs(found) < 1 << 1000 else float("nan")
    if isinstance(found, str) and (found in names or not names):
        return names[found] if names else float(found)  # ValueError for a name that `labels` does not have
    if isinstance(found, str):
        return -1.0  # a class that nobody named: no answer
    msg = f"it has {type(found).__name__} where numbers are"
    raise ValueError(msg)


def _kind(out: Any, request: HttpRequest) -> str:  # noqa: ANN401 - numpy
    finite = np.isfinite(out).all()
    if out.shape[1] == 1:
        if request.labels or (finite and (np.floor(out) == out).all()):
            return "labels"
        return "probabilities" if finite and ((out >= 0) & (out <= 1)).all() else "logits"
    return "probabilities" if looks_like_probabilities(out) else "logits"


def _nested(row: Any, *, whole: bool) -> Any:  # noqa: ANN401 - lists of numbers
    return [_nested(one, whole=whole) for one in row] if isinstance(row, list) else number(row, whole=whole)


def _flat(row: object) -> list[object]:
    return [one for part in row for one in _flat(part)] if isinstance(row, list) else [row]


def _runs(parts: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Return neighbours of one length together."""
    runs: list[list[torch.Tensor]] = []
    for part in parts:
        if runs and len(runs[-1][0]) == len(part):
            runs[-1].append(part)
        else:
            runs.append([part])
    return runs
