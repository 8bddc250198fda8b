"""The fields that the OWASP AIBOM project scores, as data (`data/registry.toml`): where each is, who fills it, where to put it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from stannary.core.model import Json
from stannary.report.bom.inventory import Inventory, Model
from stannary.report.bom.words import merged

__all__ = ["Row", "load_rows", "properties_at"]

_WEIGHTS = frozenset(
    {"safetensors", "gguf", "ggml", "torch-zip", "pickle", "hdf5", "onnx", "tensorflow", "keras", "tflite", "xgboost", "lightgbm"}
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A field of the registry.

    Attributes:
        id, tier, category: as the registry has them.
        at: where it is in a document: a path from the top, `component` for the first model, `property:NAME` in it.
        field: the field of the inventory that fills it, when it is a property.
        put: what to write where, for whoever wants it filled.
        human: only a person can say it.
    """

    id: str
    tier: Literal["critical", "important", "supplementary"]
    category: Literal["required_fields", "metadata", "component_basic", "component_model_card", "external_references"]
    at: str
    field: str = ""
    put: str = ""
    human: bool = False


@cache
def load_rows() -> tuple[Row, ...]:
    """Return the rows in the registry's order."""
    text = resources.files("stannary.report.bom").joinpath("data/registry.toml").read_text("utf-8")
    return tuple(msgspec.convert({"id": name, **row}, Row) for name, row in tomllib.loads(text).items())


def properties_at(where: Literal["card", "metadata"], inventory: Inventory, model: Model) -> list[tuple[str, Json]]:
    """Return the properties that the registry looks for in a model's card or in the metadata."""
    prefix = "component.modelCard.property:" if where == "card" else "metadata.property:"
    return [
        (row.at.removeprefix(prefix), value_of(row.field, inventory, model))
        for row in load_rows()
        if row.field and row.at.startswith(prefix)
    ]


def value_of(field: str, inventory: Inventory, model: Model) -> Json:
    """Return what fills a field of the registry; None when nothing does."""
    made = _MADE.get(field)
    return made(inventory, model) if made is not None else model.facts.value(field)


def _weights(_inventory: Inventory, model: Model) -> Json:
    sizes = {file.path: file.size for file in model.files}
    return sum(sizes.get(path, 0) for path in model.headers) or None


def _runtime(_inventory: Inventory, model: Model) -> Json:
    formats = {header.format for header in model.headers.values()}
    return ("llm-stack" if formats <= {"gguf", "ggml"} else "python") if formats & _WEIGHTS else None


def _energy(_inventory: Inventory, model: Model) -> Json:
    said = model.facts.value("energy")
    return f"{said} kWh" if said is not None else model.facts.value("environment")


def _thresholds(inventory: Inventory, model: Model) -> Json:
    return (
        model.facts.value("decision_threshold")
        or [f"{row.metric} {row.threshold}" for row in inventory.metrics if row.threshold][:50]
    )


# Fields of the registry that are put together.
_MADE: dict[str, Callable[[Inventory, Model], Json]] = {
    "hyperparameter": lambda _, model: merged(model.facts, "hyperparameter") or model.facts.value("hyperparameters"),
    "weights_size": _weights,
    "runtime": _runtime,
    "metrics": lambda inventory, _: [f"{row.metric}: {row.value}" for row in inventory.metrics[:50]],
    "thresholds": _thresholds,
    "energy": _energy,
    "energy_unit": lambda _, model: "kWh" if model.facts.value("energy") is not None else None,
    "energy_quantity": lambda _, model: model.facts.value("energy"),
    "application": lambda _, model: model.facts.value("application") or model.facts.value("intended_use"),
}
