"""From signed evidence to the inventory: measurements, what it was made from, parameters of its training."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from stannary.core.evidence import Evidence, Measurement, Resource, Verified
from stannary.evidence.predicates.ours import EvalResult, Lineage, LineageEdge, TrainingRun
from stannary.report.bom.inventory import Dataset, Facts, Measured, Origin, Package, Source

__all__ = ["EvidenceFacts", "read_evidence"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_DATA = frozenset({"trained-from", "derived-dataset", "evaluated-on"})


class EvidenceFacts:
    """What evidence gives beside facts about the model."""

    def __init__(self) -> None:
        self.datasets: list[Dataset] = []
        self.origins: list[Origin] = []
        self.metrics: list[Measured] = []
        self.packages: list[Package] = []


def read_evidence(items: Iterable[Verified[Evidence]], facts: Facts) -> EvidenceFacts:
    """Say what verified evidence says, the newest first. Revocations and waivers say nothing about what it is made of."""
    found = EvidenceFacts()
    for item in sorted(items, key=lambda row: row.value.issued, reverse=True):
        evidence = item.value
        source = Source("evidence", str(evidence.id), evidence.kind)
        if evidence.kind == "eval-result":
            thresholds = _thresholds(evidence)
            found.metrics += [_measured(row, evidence, thresholds.get(row.metric, ""), source) for row in evidence.measurements]
            found.datasets += [_dataset(row, "evaluation", source) for row in evidence.inputs]
        elif evidence.kind == "training-run":
            _training(msgspec.convert(evidence.predicate, TrainingRun), source, facts, found)
        elif evidence.kind == "lineage":
            _edges(msgspec.convert(evidence.predicate, Lineage).edges, source, found)
    return found


def _thresholds(evidence: Evidence) -> dict[str, str]:
    rows = msgspec.convert(evidence.predicate, EvalResult).results
    return {row.metric: f"{row.comparator} {row.threshold:g}" for row in rows if row.threshold is not None and row.comparator}


def _measured(row: Measurement, evidence: Evidence, threshold: str, source: Source) -> Measured:
    data = next((resource.name for resource in evidence.inputs if resource.name), "")
    return Measured(
        metric=row.metric,
        value=f"{row.value:g}",
        slice=data,
        low=row.low,
        high=row.high,
        n=row.n,
        threshold=threshold,
        source=source,
    )


def _training(run: TrainingRun, source: Source, facts: Facts, found: EvidenceFacts) -> None:
    _edges(run.edges, source, found)
    for name, value in run.parameters.items():
        facts.say("hyperparameter", {name: value}, source)
    for name, seed in run.seeds.items():
        facts.say("hyperparameter", {f"seed.{name}": seed}, source)
    found.metrics += [Measured(metric=name, value=f"{value:g}", source=source) for name, value in run.metrics.items()]
    found.packages += [Package(name=name, version=version, source=source) for name, version in run.packages.items()]


def _edges(edges: Iterable[LineageEdge], source: Source, found: EvidenceFacts) -> None:
    for edge in edges:
        if edge.relation in _DATA:
            found.datasets.append(_dataset(edge.resource, "evaluation" if edge.relation == "evaluated-on" else "training", source))
        elif edge.relation != "served-by":
            row = edge.resource
            found.origins.append(
                Origin(
                    name=_name(row),
                    relation=edge.relation,
                    url=row.uri,
                    sha256=_hex(row, "sha256"),
                    tree=_hex(row, "dirHash1"),
                    source=source,
                )
            )


def _dataset(row: Resource, use: str, source: Source) -> Dataset:
    made: Dataset = Dataset(
        name=_name(row),
        use="evaluation" if use == "evaluation" else "training",
        url=row.uri,
        sha256=_hex(row, "sha256"),
        tree=_hex(row, "dirHash1"),
        source=source,
    )
    return made


def _name(row: Resource) -> str:
    digest = _hex(row, "dirHash1") or _hex(row, "sha256")
    return row.name or row.uri or (f"sha256:{digest[:12]}" if digest else "unnamed")


def _hex(row: Resource, algorithm: str) -> str:
    """Return a digest of 64 hexadecimal digits, empty when the statement has none."""
    text = row.digest.get(algorithm, "").lower()
    return text if _DIGEST.fullmatch(text) else ""
