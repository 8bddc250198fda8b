"""ONNX models: onnxruntime decides; gradients come from a conversion to torch that has to agree with it first.

onnx2torch imports torchvision for two operators of object detection. Where torchvision is not installed, a placeholder stands
in for it while onnx2torch is imported, and a model that has one of these operators stays a black box.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stannary.checks.target.array_model import ArrayTarget, log_of, looks_like_probabilities
from stannary.checks.target.fitting import Fit, fit, in_batches
from stannary.checks.target.interface import Access, Loss
from stannary.checks.target.torch_file import Network, in_fixed_batches
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError, UsageError

__all__ = ["OnnxTarget", "open_onnx"]

_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8,
}  # fmt: skip
_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
_OF_VISION = frozenset({"NonMaxSuppression", "RoiAlign"})
_CLOSE = 1e-3  # of the logits' spread
_PROBES = 64


class OnnxTarget:
    """An ONNX classifier: scores and labels by onnxruntime, `gradient` by the converted network where there is one.

    `notes` say why there is none. Not made directly: `open_onnx` does.
    """

    device = "cpu"

    def __init__(self, black: ArrayTarget, white: TorchTarget | None) -> None:
        self.black, self.white = black, white
        self.name, self.shape, self.classes = black.name, black.shape, black.classes
        self.access: Access = "white" if white is not None else black.access
        self.labels, self.notes, self.model = black.labels, black.notes, black.model

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return what onnxruntime says, `(n, classes)`."""
        return self.black.logits(x)

    def decide(self, x: torch.Tensor) -> torch.Tensor:
        """Return what onnxruntime decides, `(n,)`."""
        return self.black.decide(x)

    def gradient(self, x: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, losses and gradient of the converted network. Raises UsageError where there is none."""
        if self.white is None:
            return self.black.gradient(x, loss)
        return self.white.gradient(x, loss)


def open_onnx(content: bytes, probe: torch.Tensor, *, name: str = "model.onnx") -> OnnxTarget:
    """Return an ONNX model as a target.

    Args:
        content: the file.
        probe: some inputs `(n, *shape)`, on which the conversion is compared with onnxruntime, and random ones beside them.
        name: for messages.

    Raises:
        InputError: it is no model that onnxruntime runs, keeps its weights elsewhere, or is no classifier of one input.
    """
    model, session = _session(content, name)
    given = session.get_inputs()
    if len(given) != 1 or given[0].type not in _TYPES:
        has = ", ".join(f"{one.name}: {one.type}" for one in given)
        msg = f"the model takes {len(given)} inputs ({has}); one of numbers is evaluated"
        raise InputError(msg, where=name)
    sizes = [size if isinstance(size, int) and size > 0 else None for size in given[0].shape]
    if not sizes:
        msg = "the model's input has no dimension for samples"
        raise InputError(msg, where=name)
    shape = tuple(probe.shape[1:])
    fitted = fit(shape, sizes[1:], name)
    batch = sizes[0] or 0
    run = _runner(session, given[0], fitted, batch)
    black = _black(session, run, probe[:_PROBES], name)
    white, why = _white(model, black, (probe[:_PROBES], fitted, batch), given[0].type, name)
    black.notes += [f"no gradient: {why}"] if why else []
    black.notes += [in_fixed_batches(batch)] if batch > 1 else []
    return OnnxTarget(black, white)


def _session(content: bytes, name: str) -> tuple[Any, Any]:
    import onnx
    import onnxruntime as ort

    try:
        model = onnx.load_from_string(content)
    except Exception as exc:  # protobuf's error for what it cannot decode, a class without types here
        msg = f"this is no ONNX model: {exc}"
        raise InputError(msg, where=name) from exc
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in model.graph.initializer):
        msg = "the model keeps weights in other files, which are not read here"
        raise InputError(msg, where=name, help="save it as one file: onnx.save_model(model, path, save_as_external_data=False)")
    _bare(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # onnxruntime's errors share no class of their own
        msg = f"onnxruntime does not load the model: {str(exc)[:300]}"
        raise InputError(msg, where=name) from exc
    return model, session


def _bare(model: Any) -> None:  # noqa: ANN401 - onnx's
    """Let the model give what goes into a softmax at its end, too: probabilities that are 1 have no slope left."""
    import onnx

    if len(model.graph.output) != 1:
        return
    by_output = {out: node for node in model.graph.node for out in node.output}
    last = by_output.get(model.graph.output[0].name)
    if last is not None and last.op_type in ("Softmax", "LogSoftmax"):
        model.graph.output.insert(0, onnx.ValueInfoProto(name=last.input[0]))


def _runner(session: Any, given: Any, fitted: Fit, batch: int) -> Callable[[Any], list[Any]]:  # noqa: ANN401 - onnxruntime's
    """Return what runs the model on an array `(n, *shape)` and gives its outputs."""
    kind = _TYPES[given.type]

    def once(x: torch.Tensor) -> list[Any]:
        array = x.numpy()
        array = array.astype(kind) if given.type in _FLOATS else np.rint(array).astype(kind)
        outputs: list[Any] = session.run(None, {given.name: array})
        return outputs

    def run(x: Any) -> list[Any]:  # noqa: ANN401 - numpy
        moved = fitted(torch.from_numpy(np.ascontiguousarray(x)))
        if not batch:
            return once(moved)
        count = len(session.get_outputs())

        def output(at: int) -> Any:  # noqa: ANN401 - numpy
            return in_batches(lambda part: torch.from_numpy(np.asarray(once(part)[at])), moved, batch).numpy()

        return [output(at) for at in range(count)]

    return run


def _black(session: Any, run: Callable[[Any], list[Any]], probe: torch.Tensor, name: str) -> ArrayTarget:  # noqa: ANN401 - onnxruntime's
    """Return the model as a black box: which of its outputs are scores and labels, what it gives on the probe says."""
    try:
        outputs = run(probe.double().numpy())
    except Exception as exc:  # onnxruntime's errors share no class of their own
        msg = f"the model fails on the data: {str(exc)[:300]}"
        raise InputError(msg, where=name) from exc
    n, shape = len(probe), tuple(probe.shape[1:])
    words: tuple[str, ...] = ()
    for at, out in enumerate(outputs):
        if isinstance(out, list) and out and isinstance(out[0], dict):  # ZipMap: a mapping from class to probability for each row
            keys = list(out[0])
            words = tuple(map(str, keys))
            scores = _of(run, at, _mapped(keys))
            return ArrayTarget(shape, len(keys), scores, _said(run, outputs, n, keys), name=name, labels=words, model=session)
    for at, out in enumerate(outputs):
        if not isinstance(out, np.ndarray) or out.dtype.kind != "f" or len(out) != n or out.size % n or out.size == 0:
            continue
        classes = out.size // n
        if out.ndim > 2 and classes != out.shape[1]:  # noqa: PLR2004 - trailing dimensions of 1 are flattened
            continue
        flat = out.reshape(n, classes)
        log = looks_like_probabilities(flat)
        single = classes == 1
        probable = single and bool(((flat >= 0) & (flat <= 1)).all())
        shaped = _flatten(1 if single else classes)
        scores = _of(run, at, lambda rows: log_of(shaped(rows)) if log or probable else shaped(rows))  # noqa: B023 - returned at once
        return ArrayTarget(shape, 2 if single else classes, scores, _said(run, outputs, n, None), name=name, model=session)
    labels = next((at for at, out in enumerate(outputs) if _is_labels(out, n)), None)
    if labels is None:
        kinds = ", ".join(f"{one.name}: {one.type}{one.shape}" for one in session.get_outputs())
        msg = f"none of the model's outputs are scores or labels ({kinds})"
        raise InputError(msg, where=name)
    classes = max(2, int(np.max(outputs[labels])) + 1)
    return ArrayTarget(shape, classes, None, _of(run, labels, lambda rows: rows), name=name, model=session)


def _is_labels(out: Any, n: int) -> bool:  # noqa: ANN401 - numpy
    return isinstance(out, np.ndarray) and out.dtype.kind in "iu" and out.reshape(-1).shape == (n,)


def _flatten(classes: int) -> Callable[[Any], Any]:
    return lambda rows: rows.reshape(-1) if classes == 1 else rows.reshape(len(rows), classes)


def _mapped(keys: list[Any]) -> Callable[[Any], Any]:
    return lambda rows: log_of([[row[key] for key in keys] for row in rows])


def _numbered(index: dict[Any, int]) -> Callable[[Any], Any]:
    return lambda rows: [index.get(row, -1) for row in np.asarray(rows).reshape(-1).tolist()]


def _of(run: Callable[[Any], list[Any]], at: int, shaped: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: shaped(run(x)[at])


def _said(run: Callable[[Any], list[Any]], outputs: list[Any], n: int, keys: list[Any] | None) -> Callable[[Any], Any] | None:
    """Return what gives the model's own labels as class numbers, if it has an output of them."""
    for at, out in enumerate(outputs):
        if _is_labels(out, n):
            if keys is None or list(keys) == list(range(len(keys))):
                return _of(run, at, lambda rows: rows)
            index = {key: number for number, key in enumerate(keys)}
            return _of(run, at, _numbered(index))
    return None


def _white(
    model: Any,  # noqa: ANN401 - onnx's
    black: ArrayTarget,
    on: tuple[torch.Tensor, Fit, int],
    kind: str,
    name: str,
) -> tuple[TorchTarget | None, str]:
    """Return the converted network if it agrees with onnxruntime, and why there is none."""
    probe, fitted, batch = on
    if kind not in _FLOATS:
        return None, f"the input is {kind}, which has no slope"
    try:
        network = _converted(model)
        wrapped = Network(network, fitted, batch=batch, call=lambda x: network(x.float()))
        target = TorchTarget(wrapped, tuple(probe.shape[1:]), name=name)
    except Exception as exc:  # noqa: BLE001 - a conversion may fail in every way; then there is no gradient
        return None, f"it cannot be converted to torch: {type(exc).__name__}: {str(exc)[:200]}"
    wide = probe.flatten(1).double()
    low, high = wide.amin(0), wide.amax(0)
    random = low + (high - low) * torch.rand(len(probe), wide.shape[1], generator=torch.Generator().manual_seed(0)).double()
    for what, rows in (("the data", probe), ("random inputs", random.reshape(probe.shape).to(probe.dtype))):
        try:
            ours, theirs = target.logits(rows).double(), black.logits(rows)
        except (RuntimeError, InputError, UsageError) as exc:
            return None, f"the converted network fails on {what}: {exc}"
        if not _agree(ours, theirs, target):
            return None, f"the converted network and onnxruntime differ on {what}"
    return target, ""


def _agree(ours: torch.Tensor, theirs: torch.Tensor, target: TorchTarget) -> bool:
    """Tell whether logits `(n, classes)` are the same up to rounding; log-probabilities where onnxruntime gives those."""
    if ours.shape != theirs.shape or not bool(ours.isfinite().all() and theirs.isfinite().all()):
        return False
    spread = float((theirs.amax(1) - theirs.amin(1)).median().clamp_min(1e-6))
    if float((ours - theirs).abs().max()) <= _CLOSE * spread:
        return True
    if not looks_like_probabilities(ours):
        return False
    assert isinstance(target.module, Network)  # noqa: S101 - made above
    target.module.log = True
    return float((ours - theirs.exp()).abs().max()) <= _CLOSE


def _converted(model: Any) -> torch.nn.Module:  # noqa: ANN401 - onnx's
    vision = [node.op_type for node in model.graph.node if node.op_type in _OF_VISION]
    if vision and "torchvision" not in sys.modules:
        msg = f"{vision[0]} needs torchvision"
        raise UsageError(msg)
    if "onnx2torch" not in sys.modules:
        _import_converter()
    import onnx2torch

    module: torch.nn.Module = onnx2torch.convert(model)
    return module


def _import_converter() -> None:
    """Import onnx2torch, with a placeholder for torchvision where that is not installed."""
    try:
        importlib.import_module("torchvision")
    except ImportError:
        made = {name: types.ModuleType(name) for name in ("torchvision", "torchvision.ops")}

        def missing(*_args: object, **_more: object) -> None:
            msg = "torchvision is not installed"
            raise RuntimeError(msg)

        made["torchvision"].ops = made["torchvision.ops"]  # type: ignore[attr-defined] # a placeholder
        made["torchvision.ops"].roi_align = missing  # type: ignore[attr-defined] # the same
        sys.modules.update(made)
        try:
            import onnx2torch  # noqa: F401 - for what it registers
        finally:
            for name in made:
                sys.modules.pop(name, None)
