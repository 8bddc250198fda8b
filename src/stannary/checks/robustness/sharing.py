"""Blocks of samples, worked on in this process or by several, and taken in their order either way.

Blocks know nothing of each other and are of one size for any number of workers, so that the results are the same. What a stop rule
makes needless is thrown away, and counts for nothing.
"""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
import torch

from stannary.checks.robustness.checkpoint import Checkpoint
from stannary.core.errors import BackendError, UsageError

__all__ = ["Part", "alone", "parts"]

Part = dict[str, np.ndarray]
_Run = Callable[[Any, int, Any], Part]


def alone(target: Any, workers: int) -> None:  # noqa: ANN401 - a target, counted or not
    """Raise UsageError where several workers would spend one budget."""
    if workers > 1 and getattr(target, "budget", None) is not None:
        msg = "a budget of queries cannot be shared by several workers"
        raise UsageError(msg, help="use one worker")


def parts(run: _Run, held: Any, work: Sequence[Any], *, checkpoint: Checkpoint | None = None, workers: int = 1) -> Generator[Part]:  # noqa: ANN401 - what `run` is given
    """Yield the results of the blocks in their order, from the checkpoint or computed; those that are finished are stored.

    Args:
        run: gives the arrays of a block, of `held`, its number and what is in it; a function of a module. An array `stopped` that
            is not empty says that the block was not finished.
        held: what all blocks need; sent once to each worker.
        work: the blocks.
        checkpoint: where finished blocks are found, and stored.
        workers: processes, each started anew: a forked torch hangs.

    Raises:
        UsageError: what is needed cannot be sent to other processes.
        BackendError: one of them died.
    """
    stored = {number: found for number in range(len(work)) if checkpoint and (found := checkpoint.load(number)) is not None}
    todo = [number for number in range(len(work)) if number not in stored]
    pool, futures = None, dict[int, Future[Part | str]]()
    if workers > 1 and len(todo) > 1:
        content = _packed(run, held)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(workers, len(todo)), context, _open, (content, torch.get_num_threads()))
    try:
        if pool is not None:
            futures = {number: pool.submit(_work, number, work[number]) for number in todo}
        for number, item in enumerate(work):
            part = stored.get(number)
            if part is None:
                part = _result(futures[number]) if futures else run(held, number, item)
                if checkpoint is not None and not str(part["stopped"]):
                    checkpoint.save(number, part)
            yield part
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)


def _packed(run: _Run, held: Any) -> bytes:  # noqa: ANN401 - as in `parts`
    try:
        return pickle.dumps((run, held))
    except (pickle.PicklingError, AttributeError, TypeError, RuntimeError, ValueError) as exc:
        msg = f"the model cannot be sent to other processes: {str(exc)[:200]}"
        raise UsageError(msg, code="USE013", help="leave --workers out") from exc


def _result(future: Future[Part | str]) -> Part:
    try:
        found = future.result()
    except BrokenProcessPool as exc:
        msg = "a worker process ended before its samples were done (out of memory?)"
        raise BackendError(msg, help="use fewer --workers; with --checkpoint what is done is kept") from exc
    if isinstance(found, str):
        msg = f"the model cannot be opened in other processes: {found}"
        raise UsageError(msg, code="USE013", help="leave --workers out")
    return found


_SENT: list[bytes] = []  # of a worker process: once, not with every block
_HELD: list[tuple[_Run, Any]] = []


def _open(content: bytes, threads: int) -> None:
    torch.set_num_threads(threads)
    _SENT[:] = [content]


def _work(number: int, item: Any) -> Part | str:  # noqa: ANN401 - as in `parts`
    if not _HELD:
        try:
            _HELD[:] = [pickle.loads(_SENT[0])]  # noqa: S301 - from the process that started this one
        except Exception as exc:  # noqa: BLE001 - told to that process: a model's own code may fail in any way
            return f"{type(exc).__name__}: {str(exc)[:200]}"
    run, held = _HELD[0]
    return run(held, number, item)
