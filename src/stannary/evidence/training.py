"""`with stannary.training_run(...)`: what went into a model is recorded while it is trained, and signed when it is saved.

    with stannary.training_run(data=["claims.parquet"], code=".", parameters={"lr": 1e-3}, seeds={"torch": 7}) as run:
        model = train(...)
        torch.save(model.state_dict(), "model/weights.pt")
        run.metric("validation_accuracy", 0.93)
        run.output("model/")

On leaving the block a `training-run` statement about each output is signed with the workspace's key and logged. A
block that fails states that it failed about the outputs there are, and passes the exception on. Inputs are hashed
when the block is entered *and* when it is left: data that changed in between is an error.
"""

from __future__ import annotations

import math
import operator
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import IntegrityError, StannaryError, UsageError
from stannary.core.evidence import Outcome, Resource
from stannary.core.model import Json
from stannary.evidence.chain import Chain, Recorded
from stannary.evidence.predicates.ours import LineageEdge, Relation, TrainingRun
from stannary.evidence.subject import identify, resource_of
from stannary.evidence.working_tree import Code, code_at
from stannary.evidence.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Run", "environment_of", "training_run"]

_EXACT = 2**53  # integers up to here are the same in every reader of JSON (RFC 8785)
_Path = str | os.PathLike[str]


class Run:
    """A training run that is under way."""

    def __init__(self, workspace: Workspace, started: datetime) -> None:
        self.recorded: list[Recorded] = []
        self._workspace = workspace
        self._started = started
        self._inputs: list[tuple[Relation, Path, Resource]] = []
        self._code: list[Code] = []
        self._outputs: list[Path] = []
        self._metrics: dict[str, float] = {}
        self._parameters: dict[str, Json] = {}
        self._seeds: dict[str, int | str] = {}

    def input(self, path: _Path, relation: Relation = "trained-from") -> None:
        """Note what the outputs are made from: data (`trained-from`) or a model (`fine-tuned-from`, ...). It is hashed now."""
        self._inputs.append((relation, Path(path), resource_of(identify(os.fspath(path), "dataset"))))

    def output(self, path: _Path) -> None:
        """Note a model that the run makes: a file or a folder, hashed when the block is left."""
        self._outputs.append(Path(path))

    def metric(self, name: str, value: float) -> None:
        """Note a number about the outputs. It is stated, not measured: a gate asks for an evaluation. Raises UsageError for NaN."""
        number = float(value)
        if not math.isfinite(number):
            what = f"the metric {name!r}"
            raise _unstatable(what, f"{number} is no measurement")
        self._metrics[name] = number

    def parameter(self, name: str, value: Json) -> None:
        """Note a parameter: anything that is JSON. Raises UsageError now, and not after the training, for what is not."""
        try:
            built = msgspec.to_builtins(value)
            canonical_json(built)
        except (TypeError, ValueError, RecursionError) as error:
            what = f"the parameter {name!r}"
            raise _unstatable(what, str(error)) from error
        self._parameters[name] = built

    def seed(self, name: str, value: int) -> None:
        """Note the seed of a source of randomness. One of more than 53 bits is stated as text. Raises UsageError."""
        try:
            number = operator.index(value)
        except TypeError as error:
            what = f"the seed {name!r}"
            raise _unstatable(what, f"{value!r:.60} is no whole number") from error
        self._seeds[name] = number if abs(number) <= _EXACT else str(number)

    def code(self, path: _Path) -> None:
        """Note code: the commit of a git working tree and what is not committed, or the digest of a file or folder.

        Raises UsageError when what is not committed cannot be told.
        """
        self._code.append(code_at(Path(path)))

    def finish(self, outcome: Outcome) -> None:
        """State and log. Raises UsageError when there is no output, IntegrityError when an input changed."""
        outputs = [path for path in self._outputs if outcome == "passed" or path.exists()]
        if outcome == "passed" and not outputs:
            msg = "made nothing that was named"
            raise UsageError(msg, where="training_run", code="TRN001", help="call run.output(PATH) in the block")
        changed = [path for _, path, before in self._inputs if resource_of(identify(path, "dataset")).digest != before.digest]
        if changed:
            msg = f"changed while it was used: {', '.join(map(str, changed))}"
            raise IntegrityError(msg, where="training_run", code="TRN002", help="train again on data that stays as it is")
        predicate = TrainingRun(
            outcome=outcome,
            edges=tuple(LineageEdge(relation=relation, resource=resource) for relation, _, resource in self._inputs),
            code=tuple(code.resource for code in self._code),
            uncommitted=tuple(code.changes for code in self._code if code.changes is not None),
            parameters=self._parameters,
            seeds=self._seeds,
            metrics=self._metrics,
            started_on=self._started,
            finished_on=self._workspace.clock(),
            **environment_of(),
        )
        subjects = [resource_of(identify(path)) for path in outputs]
        if subjects:
            chain = Chain(self._workspace, write=True)
            self.recorded = [chain.state(subject, "training-run", predicate) for subject in subjects]
            chain.ledger.close()


@contextmanager
def training_run(
    *,
    data: _Path | Iterable[_Path] = (),
    base: _Path | None = None,
    code: _Path | None = None,
    parameters: Mapping[str, Json] | None = None,
    seeds: Mapping[str, int] | None = None,
    workspace: _Path | None = None,
) -> Iterator[Run]:
    """Record a training run. See the module's docstring.

    Args:
        data: files and folders that the model is trained from.
        base: the model that it is fine-tuned from.
        code: a git working tree, a file or a folder.
        parameters: anything that is JSON.
        seeds: by the name of what they seed.
        workspace: where to record; the nearest one upward by default.
    """
    opened = Workspace.find(os.fspath(workspace) if workspace is not None else None)
    _ = opened.signer  # a key that cannot be used is an error now, not after hours of training
    run = Run(opened, opened.clock())
    for path in [data] if isinstance(data, str | os.PathLike) else data:
        run.input(path)
    if base is not None:
        run.input(base, "fine-tuned-from")
    if code is not None:
        run.code(code)
    for name, value in (parameters or {}).items():
        run.parameter(name, value)
    for name, seed in (seeds or {}).items():
        run.seed(name, seed)
    try:
        yield run
    except BaseException as error:
        try:
            run.finish("error")
        except* (StannaryError, OSError) as others:  # what went wrong in the block is what the caller has to see
            for other in others.exceptions:
                error.add_note(f"and the training run could not be recorded: {other}")
        raise
    run.finish("passed")


def _unstatable(what: str, why: str) -> UsageError:
    msg = f"{what} cannot be stated: {why}"
    return UsageError(msg, where="training_run", code="TRN003", help="note its text: run.parameter(NAME, str(value))")


def environment_of() -> dict[str, Any]:
    """Return the fields of a training run that say where it ran: packages, hardware, interpreter."""
    interpreter = {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": platform.platform(),
    }
    return {"packages": _packages(), "hardware": _hardware(), "environment": interpreter}


def _packages() -> dict[str, str]:
    """Return every distribution that is installed with its version: the environment's lock."""
    found = {(dist.metadata["Name"] or "").lower(): dist.version for dist in metadata.distributions()}
    return {name: version for name, version in sorted(found.items()) if name}


def _hardware() -> dict[str, Any]:
    found: dict[str, Any] = {"machine": platform.machine(), "processors": os.cpu_count() or 0}
    torch = sys.modules.get("torch")  # only when the training uses it anyway
    if torch is not None and torch.cuda.is_available():
        found["accelerators"] = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return found
