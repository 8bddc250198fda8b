"""Pickles: the class of what a stream builds, the tensors that torch would rebuild, versions that libraries leave behind."""

from __future__ import annotations

import sys
from typing import Any

from stannary.core.errors import FormatError
from stannary.formats.headers.model import Header, Tally
from stannary.formats.interface import Budget, View, clip
from stannary.formats.pickle_machine import Machine
from stannary.formats.pickle_record import Recorder
from stannary.formats.pickle_values import Global, Made, Map, Opaque

__all__ = ["LIBRARIES", "read", "summary"]

_REBUILD = frozenset({"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"})
_CLASSES = 60
_TORCH_STREAMS = 4
LIBRARIES = {
    "sklearn": "scikit-learn", "torch": "PyTorch", "xgboost": "XGBoost", "lightgbm": "LightGBM", "catboost": "CatBoost",
    "numpy": "NumPy",
    "tensorflow": "TensorFlow", "keras": "Keras", "spacy": "spaCy", "gensim": "Gensim", "statsmodels": "statsmodels",
    "pandas": "pandas",
    "transformers": "transformers", "fastai": "fastai", "surprise": "Surprise", "implicit": "implicit", "prophet": "Prophet",
}  # fmt: skip
# Parts of every pickle, which say nothing about what it is.
_COMMON = (
    "builtins",
    "__builtin__",
    "collections",
    "copyreg",
    "copy_reg",
    "_codecs",
    "numpy",
    "torch._utils",
    "torch.storage",
    "joblib",
)


class _Tensors(Recorder):
    """Counts what torch would rebuild as a tensor, and what NumPy would as an array."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.versions: dict[str, str] = {}

    def call(self, machine: Machine, func: Any, args: Any, how: str) -> Any:  # noqa: ANN401 - symbolic
        if type(func) is Global and func.name in _REBUILD and type(args) is tuple and len(args) > 2:
            storage = args[0]
            value = storage.value if type(storage) is Opaque and type(storage.value) is tuple else ()
            kind = value[1].name if len(value) > 1 and type(value[1]) is Global else "?"
            sizes = args[2]
            if type(sizes) is tuple and all(type(size) is int for size in sizes):
                self.tally.add(kind.removesuffix("Storage"), sizes)
        return super().call(machine, func, args, how)

    def build(self, machine: Machine, target: Any, state: Any) -> None:  # noqa: ANN401 - symbolic
        if type(state) is Map:
            items = state.items[:400]
            for key, value in zip(items[::2], items[1::2], strict=False):
                if key == "_sklearn_version" and type(value) is str:
                    self.versions.setdefault("scikit-learn", clip(value, 40))
        super().build(machine, target, state)


def read(view: View, budget: Budget) -> Header | None:
    """Read the first stream. Raises FormatError; None when it builds nothing that is a model."""
    return summary(view, budget, "pickle")


def summary(view: View, budget: Budget, name: str) -> Header | None:
    """Return the header of a pickle of a format. Raises FormatError."""
    recorder = _Tensors()
    recorder.content = view.data
    result: Any = None
    incomplete = ""
    at = 0
    for _ in range(_TORCH_STREAMS):  # torch before 1.6 wrote a magic number, a version and a table first
        machine = Machine(view.data, at, recorder, budget)
        try:
            at = machine.run()
        except FormatError as error:
            if not recorder.globals:
                raise
            incomplete = f"pickle: {error.message}"
            break
        result = machine.stack[-1] if machine.stack else machine.result
        if recorder.globals or at >= len(view):
            break
    names = [f"{row.module}.{row.name}" for row in recorder.globals.values()]
    if not names:
        return None
    root = result.root if type(result) is Made else result if type(result) is Global else None
    telling = [row for row in names if not row.startswith(_COMMON)]
    architecture = f"{root.module}.{root.name}" if root is not None and _is_class(root.module, root.name) else ""
    classes = (f"{row.module}.{row.name}" for row in recorder.globals.values() if _is_class(row.module, row.name))
    architecture = architecture or ("" if recorder.tally.tensors else next(classes, ""))
    library = (architecture or ("torch" if recorder.tally.tensors else names[0])).partition(".")[0]
    framework = LIBRARIES.get(library, "")
    fields = recorder.tally.fields() if recorder.tally.tensors else {}
    if incomplete:
        fields["incomplete"] = incomplete
    return Header(
        format=name,
        framework=framework,
        framework_version=recorder.versions.get(framework, ""),
        architecture=clip(architecture, 200),
        classes=tuple(clip(row, 200) for row in (telling or names)[:_CLASSES]),
        **fields,  # type: ignore[arg-type]
    )


def _is_class(module: str, name: str) -> bool:
    """Tell whether a name is that of a model's class: not of the standard library, and written as classes are, not functions."""
    own = module.startswith(_COMMON) or module.partition(".")[0] in sys.stdlib_module_names
    return not own and name.rpartition(".")[2].lstrip("_")[:1].isupper()
