"""Hardening: the model is scanned, hardened in the guard, judged beside the original, and written where that was asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stannary.app.evaluating import vouched
from stannary.app.evaluation_request import Request, Work
from stannary.app.guarding import Note, guarded, jail_of, left_behind, raised, scratch_folder
from stannary.app.hardening_request import HardenAnswer, HardenRequest, HardenWork
from stannary.core.errors import BackendError, Bug, InputError, StannaryError, UsageError
from stannary.harden.card import HardeningResult
from stannary.harden.keep import suffix_of
from stannary.harden.methods import METHODS

if TYPE_CHECKING:
    from stannary.app.opening import Admitted

__all__ = ["harden"]

_NO_MODEL = "EVA009"  # of `open_file.open_object`
_ADDRESS = ("http://", "https://")


def harden(
    request: HardenRequest, *, note: Note = lambda _: None, agree: Callable[[HardeningResult], None] = lambda _: None
) -> HardeningResult:
    """Harden what is asked for, write the new model, and return the comparison of both.

    Args:
        request: what is asked for.
        note: is told how far it is.
        agree: is shown the result before the model is put in its place, which is not done when it raises.

    Raises:
        UsageError, InputError: options, data, or a model that cannot be trained.
        PolicyDenied: the scan refuses the model, or what came out of the guard.
        BackendError: the guard.
    """
    _writable(request)
    with ExitStack() as stack:
        folder = scratch_folder(stack)
        model = None if request.is_function else _admit(request, stack, note)
        work = HardenWork(request=request, model=model, folder=folder)
        if request.is_function or request.device != "cpu":
            from stannary.app.hardening_work import do

            answer = do(work, note)
        else:
            answer, work = _guarded(work, note)
        if answer.error is not None:
            found = raised(answer.error)
            if isinstance(found, InputError) and found.code == _NO_MODEL and request.model.startswith(_ADDRESS):
                raise _no_endpoint(request.model, found)
            raise found
        if answer.result is None:
            msg = "hardening gave no result"
            raise Bug(msg)
        result = _vouched(answer.result, work)
        agree(result)
        return _kept(result, _made(folder), _output(request, answer.kind), request)


def _writable(request: HardenRequest) -> None:
    """Say before hours of training that a folder is not there, or what would be written over. Raises UsageError."""
    output = request.output
    over = [name for name in (request.model, request.data, request.test, request.domain) if output and name and _same(name, output)]
    if output and over:
        msg = f"is {over[0]}, which it would be written over"
        raise UsageError(msg, where=output, code="IO003", help="--save another file")
    if output and not Path(output).absolute().parent.is_dir():
        msg = "its folder is not there"
        raise UsageError(msg, where=output, code="IO002", help="name a file in a folder that is there")


def _same(name: str, output: str) -> bool:
    return Path(name).resolve() == Path(output).resolve()


def _admit(request: HardenRequest, stack: ExitStack, note: Note) -> Admitted:
    from stannary.app.opening import admit
    from stannary.app.targets import located
    from stannary.checks.static.scan import ScanOptions

    note("scanning the model")
    try:
        (target,) = stack.enter_context(located([request.model], offline=request.offline))
        return admit(target, ScanOptions(jail=request.jail), trust=request.trust)
    except (BackendError, InputError, ExceptionGroup) as error:
        if not request.model.startswith(_ADDRESS):
            raise
        raise _no_endpoint(request.model, error) from error


def _no_endpoint(model: str, error: Exception) -> UsageError:
    """Return what to say of an address that gives no model: whoever meant an endpoint is told what can be trained."""
    one: BaseException = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
    why = one.message if isinstance(one, StannaryError) else str(one)
    msg = f"hardening trains a model, and this address gives none ({why}); an endpoint cannot be trained"
    takes = "give TorchScript, a pickled module or classifier, or `package.module:build()`"
    return UsageError(msg, where=model, help=f"{takes}; to attack the endpoint: stannary evaluate {model} --request FILE")


def _guarded(work: HardenWork, note: Note) -> tuple[HardenAnswer, HardenWork]:
    request = work.request
    read = [request.data, request.test, request.domain, work.model.path if work.model else None]
    answer, level = guarded(
        "stannary.app.hardening_work:worker",
        jail_of(request.jail, work.folder, read),
        lambda level: msgspec.json.encode(msgspec.structs.replace(work, jail=level)),
        request.model,
        note,
    )
    return msgspec.json.decode(answer, type=HardenAnswer), msgspec.structs.replace(work, jail=level)


def _vouched(result: HardeningResult, work: HardenWork) -> HardeningResult:
    """Return the result with what this process knows by itself: the original's identity, the guard, what was asked for.

    Raises InputError for a training with differential privacy that does not say what it spent: nothing would be booked.
    """
    request = work.request
    if request.method == "dp-sgd" and result.privacy is None:
        msg = "the training does not say what it spent of the data's privacy"
        raise InputError(msg, where=request.model, code="EVA004")
    evaluated = Work(
        request=Request(model=request.model, seed=request.seed, device=request.device), model=work.model, jail=work.jail
    )
    judged = METHODS[request.method].judged_by
    before = msgspec.structs.replace(vouched(result.before, evaluated), suite=(judged,))
    model = msgspec.structs.replace(result.after.model, jail=work.jail, digest=None, sha256=None)
    after = msgspec.structs.replace(result.after, tool=before.tool, model=model, suite=(judged,), seed=request.seed)
    return msgspec.structs.replace(
        result,
        tool=before.tool,
        method=request.method,
        judged_by=judged,
        before=before,
        after=after,
        training=request.data,
        max_accuracy_loss=request.max_accuracy_loss,
    )


def _made(folder: str) -> bytes:
    """Return what the guarded process wrote. Raises InputError."""
    try:
        return left_behind(Path(folder, "hardened"))
    except OSError as exc:
        msg = f"the hardened model cannot be read: {exc.strerror}"
        raise InputError(msg, code="EVA004") from exc


def _output(request: HardenRequest, kind: str) -> Path:
    if request.output:
        return Path(request.output)
    name = request.model.rstrip("/")
    stem = name.rpartition(":")[2].removesuffix("()") if request.is_function else Path(name).stem
    return Path(f"{stem}-{request.method}{suffix_of(kind)}")


def _kept(result: HardeningResult, content: bytes, output: Path, request: HardenRequest) -> HardeningResult:
    """Scan the new model, put it where it belongs, whole or not at all, and name it in the result."""
    from stannary.app.opening import admit
    from stannary.app.targets import located
    from stannary.checks.static.scan import ScanOptions
    from stannary.evidence.subject import identify, resource_of

    new = output.with_name(f".{os.getpid()}.{output.name}")  # with its ending, which some readers go by
    try:
        try:
            new.write_bytes(content)
            with located([str(new)], offline=True) as (target,):
                admit(target, ScanOptions(jail=request.jail), trust=True)  # what is unsafe is refused all the same
            new.replace(output)
        finally:
            new.unlink(missing_ok=True)
    except OSError as exc:
        msg = f"the hardened model cannot be written: {exc.strerror}"
        raise UsageError(msg, where=str(output), code="IO003") from exc
    artifact = identify(output)
    named = {"path": str(output), "name": output.name, "digest": str(artifact.digest)}
    single = resource_of(artifact).digest.get("sha256")
    after = msgspec.structs.replace(result.after, model=msgspec.structs.replace(result.after.model, **named, sha256=single))
    return msgspec.structs.replace(result, after=after, output=str(output))
