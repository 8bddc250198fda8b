"""The model card of a CycloneDX document: parameters, measurements, considerations."""

from __future__ import annotations

import re
from typing import Any

from stannary.core.model import Json
from stannary.formats.interface import clip
from stannary.report.bom.inventory import Facts, Inventory, Measured, Model
from stannary.report.bom.registry import properties_at
from stannary.report.bom.words import flat, line, merged, properties, shown, some

__all__ = ["model_card"]

_APPROACHES = ("supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_METRICS = 2000
# Fields that are properties of the card under our own name.
_FIELDS = (
    "parameters", "tensors", "dtypes", "quantisation", "framework", "framework_version", "library", "library_version", "adapter",
    "labels", "languages", "tags", "created",
)  # fmt: skip
_TEXT = 4000


def model_card(inventory: Inventory, model: Model, ref: str, datasets: dict[str, str]) -> dict[str, Any]:
    """Return the card of a model. `datasets` are the references of the data that it was trained on, by name."""
    facts, primary = model.facts, model is inventory.primary
    parameters = some(
        approach=_approach(facts),
        task=flat(facts, "task"),
        architectureFamily=flat(facts, "architecture_family") or flat(facts, "family"),
        modelArchitecture=flat(facts, "architecture"),
        datasets=[{"ref": bom_ref} for bom_ref in datasets.values()] if primary else [],
        inputs=[{"format": _port(port)} for port in model.inputs[:200]] or _modalities(facts, 0),
        outputs=[{"format": _port(port)} for port in model.outputs[:200]] or _modalities(facts, 1),
    )
    metrics = [_metric(row) for row in inventory.metrics[:_METRICS]] if primary else []
    return some(
        bom_ref=f"{ref}#card",
        modelParameters=parameters,
        quantitativeAnalysis=some(performanceMetrics=metrics),
        considerations=_considerations(facts),
        properties=properties([*_properties(facts), *(properties_at("card", inventory, model))]),
    )


def _approach(facts: Facts) -> dict[str, str]:
    said = flat(facts, "approach").lower().replace(" ", "-")
    return {"type": said} if said in _APPROACHES else {}


def _port(port: Any) -> str:  # noqa: ANN401 - Port
    shape = f"[{port.shape}]" if port.shape else ""
    return line(f"{port.name}: {port.dtype or 'unknown'}{shape}", 300)


# What goes in and comes out of a task, in the hub's words for it.
_MODALITIES: dict[str, tuple[str, str]] = {
    "text-generation": ("text", "text"), "text-classification": ("text", "label"),
    "token-classification": ("text", "labelled text"),
    "fill-mask": ("text", "text"), "question-answering": ("text", "text"), "summarization": ("text", "text"),
    "translation": ("text", "text"),
    "text2text-generation": ("text", "text"), "feature-extraction": ("text", "vector"), "sentence-similarity": ("text", "number"),
    "image-classification": ("image", "label"), "object-detection": ("image", "boxes with labels"),
    "image-segmentation": ("image", "mask"),
    "text-to-image": ("text", "image"), "image-to-text": ("image", "text"), "image-text-to-text": ("image and text", "text"),
    "automatic-speech-recognition": ("audio", "text"), "text-to-speech": ("text", "audio"),
    "audio-classification": ("audio", "label"),
    "tabular-classification": ("table", "label"), "tabular-regression": ("table", "number"),
    "zero-shot-classification": ("text", "label"),
    "time-series-forecasting": ("time series", "time series"), "text-ranking": ("text", "number"),
}  # fmt: skip


def _modalities(facts: Facts, side: int) -> list[dict[str, str]]:
    found = _MODALITIES.get(flat(facts, "task"))
    return [{"format": found[side]}] if found else []


def _metric(row: Measured) -> dict[str, Any]:
    interval = some(
        lowerBound=f"{row.low:g}" if row.low is not None else "", upperBound=f"{row.high:g}" if row.high is not None else ""
    )
    parts = [row.slice, f"n={row.n}" if row.n is not None else "", f"threshold {row.threshold}" if row.threshold else ""]
    return some(
        type_=line(row.metric, 200),
        value=line(row.value, 200),
        slice=line(", ".join(filter(None, parts)), 400),
        confidenceInterval=interval,
    )


def _considerations(facts: Facts) -> dict[str, Any]:
    ethics = [{"name": clip(shown(fact.value), _TEXT)} for fact in facts.all("ethics")[:20]]
    ethics += [some(name=f"Safety risk assessment: {clip(shown(fact.value), _TEXT)}") for fact in facts.all("safety_risk")[:5]]
    fairness = [_fairness(fact.value) for fact in facts.all("fairness")[:20]]
    return some(
        users=_texts(facts, "users"),
        useCases=[*_texts(facts, "intended_use"), *(f"Out of scope: {text}" for text in _texts(facts, "out_of_scope"))],
        technicalLimitations=_texts(facts, "limitations"),
        ethicalConsiderations=ethics,
        environmentalConsiderations=_environment(facts),
        fairnessAssessments=[row for row in fairness if row],
    )


def _texts(facts: Facts, field: str) -> list[str]:
    return [clip(shown(fact.value), _TEXT) for fact in facts.all(field)[:20]]


def _fairness(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        return {"groupAtRisk": "", "harms": clip(shown(value), _TEXT)}
    keys = {
        "group": "groupAtRisk",
        "group_at_risk": "groupAtRisk",
        "benefits": "benefits",
        "harms": "harms",
        "mitigation": "mitigationStrategy",
    }
    return {keys[key]: clip(shown(item), _TEXT) for key, item in value.items() if key in keys}


def _environment(facts: Facts) -> dict[str, Any]:
    """Return energy and emissions of training. Without the energy there is no consumption to state, only properties."""
    energy, grams = _number(facts.value("energy")), _number(facts.value("emissions"))
    co2 = {"value": grams / 1_000_000, "unit": "tCO2eq"} if grams is not None else None
    extra = properties(
        (f"stannary:{name}", facts.value(field))
        for name, field in (
            ("hardware", "hardware"),
            ("region", "region"),
            ("emissions:source", "emissions_source"),
            ("environment", "environment"),
        )
    )
    if energy is None:
        return some(properties=[*properties([("stannary:emissions:gCO2eq", grams)]), *extra])
    consumption = some(
        activity="training", activityEnergyCost={"value": energy, "unit": "kWh"}, co2CostEquivalent=co2, properties=extra
    ) | {"energyProviders": []}
    return {"energyConsumptions": [consumption]}


def _number(value: Json) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    found = _NUMBER.match(str(value).strip()) if value is not None else None
    return float(found[0]) if found else None


def _properties(facts: Facts) -> list[tuple[str, Json]]:
    rows: list[tuple[str, Json]] = [(f"stannary:{field}", facts.value(field)) for field in _FIELDS]
    rows += [("stannary:hyperparameter", merged(facts, "hyperparameter")), ("stannary:generation", merged(facts, "generation"))]
    rows += [(f"stannary:metadata:{key}", value) for key, value in list(merged(facts, "metadata").items())[:60]]
    rows += [(f"stannary:source:{field}", str(fact.source)) for field, fact in facts.fields() if field != "metadata"]
    return rows
