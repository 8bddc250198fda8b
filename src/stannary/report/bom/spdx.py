"""SPDX 3.0.1 as JSON-LD, with the AI and Dataset profiles: elements in one graph, relations between them."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from stannary.core.model import File
from stannary.formats.interface import clip
from stannary.report.bom.findings import findings
from stannary.report.bom.inventory import Dataset, Facts, Inventory, Licence, Measured, Model, Origin, Package
from stannary.report.bom.licences import reference
from stannary.report.bom.options import BomOptions
from stannary.report.bom.spdx_profiles import CLASSES, NO_ASSERTION, lacks
from stannary.report.bom.words import address, fetched_purl, flat, hub_purl, line, merged, pypi_purl, shown
from stannary.report.escape import encodable

__all__ = ["render"]

_CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_NAMESPACE = uuid.UUID("6f5b1f3a-6d0b-5c0e-9f3b-0d6f6b1a7f11")
_INFO = "_:creation"
_RISKS = ("serious", "high", "medium", "low")
_PRESENCE = {"yes": "yes", "true": "yes", "no": "no", "false": "no"}
# Our relation → the one of SPDX, from the model to its ancestor.
_RELATIONS = {
    "fine-tuned-from": "descendantOf", "quantised-from": "descendantOf", "merged-from": "descendantOf",
    "converted-from": "descendantOf",
    "trained-from": "trainedOn", "derived-dataset": "trainedOn",
}  # fmt: skip
_TEXT = 4000


def render(inventory: Inventory, options: BomOptions) -> dict[str, Any]:
    """Return the document of an inventory, as JSON values."""
    graph = _Graph(inventory, options)
    graph.build()
    found: dict[str, Any] = encodable({"@context": _CONTEXT, "@graph": graph.rows})
    return found


class _Graph:
    """Elements and relations, each element under an address of this document."""

    def __init__(self, inventory: Inventory, options: BomOptions) -> None:
        self.inventory = inventory
        self.options = options
        self.rows: list[dict[str, Any]] = []
        evidence = [str(item.value.id) for item in inventory.evidence]
        said = msgspec.json.encode([str(inventory.digest), options, inventory.name, inventory.address, evidence])
        self.base = f"urn:uuid:{uuid.uuid5(_NAMESPACE, hashlib.sha256(said).hexdigest())}"
        self.files: dict[str, str] = {}
        self.licences: set[str] = set()

    def build(self) -> None:
        inventory = self.inventory
        when = self.options.timestamp.strftime("%Y-%m-%dT%H:%M:%SZ")
        tool = self._id("tool", "stannary")
        agent = self._id("agent", "stannary")
        self.rows.append(
            {
                "type": "CreationInfo",
                "@id": _INFO,
                "specVersion": "3.0.1",
                "created": when,
                "createdBy": [agent],
                "createdUsing": [tool],
            }
        )
        self._element("Tool", tool, name=f"stannary {self.options.tool_version}")
        self._element("SoftwareAgent", agent, name="stannary")
        models = [self._model(model) for model in inventory.models]
        for file in inventory.files:
            self._file(file)
        for model, ref in zip(inventory.models, models, strict=True):
            self._relate("contains", ref, [self.files[file.path] for file in model.files])
        primary = models[0]
        for row in inventory.datasets:
            ref = self._dataset(row)
            self._relate("testedOn" if row.use == "evaluation" else "trainedOn", primary, [ref])
            self._licences(ref, row.licences)
        for origin in inventory.origins:
            ref = self._origin(origin)
            if _RELATIONS.get(origin.relation) == "descendantOf":
                self._relate("ancestorOf", ref, [primary])
            else:
                self._relate("trainedOn", primary, [ref])
            self._licences(ref, ())
        packages = [self._package(row) for row in inventory.packages]
        self._relate("dependsOn", primary, packages)
        for model, ref in zip(inventory.models, models, strict=True):
            self._licences(ref, inventory.licences if model is inventory.primary else ())
        self._evidence(primary)
        self._findings(primary)
        self._document(models)

    def _id(self, kind: str, name: str) -> str:
        return f"{self.base}#{kind}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"

    def _element(self, kind: str, ref: str, **fields: Any) -> str:  # noqa: ANN401 - JSON
        row = {"type": kind, "spdxId": ref, "creationInfo": _INFO}
        row |= {name: value for name, value in fields.items() if value not in (None, "", [], {}, ())}
        self.rows.append(row)
        return ref

    def _relate(self, kind: str, source: str, targets: list[str]) -> None:
        if targets:
            self._element(
                "Relationship",
                self._id("relation", f"{kind} {source} {targets[0]}"),
                relationshipType=kind,
                **{"from": source},
                to=targets,
            )

    def _model(self, model: Model) -> str:
        facts, primary = model.facts, model is self.inventory.primary
        ref = self._id("model", model.path)
        supplier = (self.options.supplier if primary else "") or flat(facts, "supplier") or flat(facts, "author")
        metrics = [
            {"type": "DictionaryEntry", "key": line(row.metric, 200), "value": line(_with_interval(row), 200)}
            for row in self.inventory.metrics[:2000]
        ]
        thresholds = [
            {"type": "DictionaryEntry", "key": line(row.metric, 200), "value": line(row.threshold, 200)}
            for row in self.inventory.metrics[:2000]
            if row.threshold
        ]
        return self._element(
            "ai_AIPackage",
            ref,
            name=line(self.inventory.name if primary else model.name, 200) or "unnamed",
            description=flat(facts, "description"),
            suppliedBy=self._agent(supplier) if supplier else None,
            releaseTime=_day(flat(facts, "released")),
            verifiedUsing=[_hash(model.files[0].sha256)] if len(model.files) == 1 else None,
            comment=f"dirHash1 {self.inventory.digest.hex}" if primary else "",
            software_packageVersion=(self.options.version if primary else "") or flat(facts, "version"),
            software_primaryPurpose="model",
            software_packageUrl=(self.options.purl or fetched_purl(self.inventory.address)) if primary else "",
            software_downloadLocation=address(flat(facts, "distribution")),
            software_homePage=address(flat(facts, "homepage")),
            externalRef=_references(facts) if primary else None,
            ai_typeOfModel=[value for value in (flat(facts, "architecture"), flat(facts, "architecture_family")) if value],
            ai_domain=_many(facts, "domain") or _many(facts, "task"),
            ai_autonomyType=_PRESENCE.get(flat(facts, "autonomy").lower()),
            ai_useSensitivePersonalInformation=_PRESENCE.get(flat(facts, "sensitive_data").lower()),
            ai_informationAboutApplication=_text(facts, "intended_use"),
            ai_informationAboutTraining=_text(facts, "training"),
            ai_limitation=_text(facts, "limitations"),
            ai_modelDataPreprocessing=_many(facts, "preprocessing"),
            ai_modelExplainability=_many(facts, "explainability"),
            ai_standardCompliance=_many(facts, "standard_compliance"),
            ai_safetyRiskAssessment=next((risk for risk in _RISKS if flat(facts, "safety_risk").lower().startswith(risk)), None),
            ai_hyperparameter=_entries(facts),
            ai_metric=metrics if primary else None,
            ai_metricDecisionThreshold=thresholds if primary else None,
            ai_energyConsumption=_energy(facts),
        )

    def _agent(self, name: str) -> str:
        ref = self._id("agent", name)
        if not any(row.get("spdxId") == ref for row in self.rows[:2000]):
            self._element("Agent", ref, name=line(name, 200))
        return ref

    def _file(self, file: File) -> None:
        ref = self._id("file", file.path)
        self.files[file.path] = self._element(
            "software_File",
            ref,
            name=line(file.path, 1000),
            verifiedUsing=[_hash(file.sha256)],
            software_primaryPurpose="file",
        )

    def _dataset(self, row: Dataset) -> str:
        return self._element(
            "dataset_DatasetPackage",
            self._id(f"data-{row.use}", row.name),
            name=line(row.name, 200) or "unnamed",
            comment=f"dirHash1 {row.tree}; {row.source}" if row.tree else str(row.source),
            verifiedUsing=[_hash(row.sha256)] if row.sha256 else None,
            software_downloadLocation=address(row.url),
            software_primaryPurpose="data",
            # What kind of data it is nobody says; SPDX wants the kind, and has a word for that.
            dataset_datasetType=["noAssertion"],
        )

    def _origin(self, row: Origin) -> str:
        return self._element(
            "ai_AIPackage",
            self._id("origin", row.name),
            name=line(row.name, 200) or "unnamed",
            comment=f"{row.relation}; {row.source}{f'; dirHash1 {row.tree}' if row.tree else ''}",
            verifiedUsing=[_hash(row.sha256)] if row.sha256 else None,
            software_packageUrl=hub_purl(row.name) if row.url.startswith("https://huggingface.co/") else "",
            software_downloadLocation=address(row.url),
            software_primaryPurpose="model",
        )

    def _package(self, row: Package) -> str:
        return self._element(
            "software_Package",
            self._id("package", row.name),
            name=line(row.name, 200),
            comment=f"{row.specifier}; {row.source}" if row.specifier else str(row.source),
            verifiedUsing=[_hash(row.hashes[0])] if len(row.hashes) == 1 else None,
            software_packageVersion=line(row.version, 100),
            software_packageUrl=pypi_purl(row.name, row.version),
            software_primaryPurpose="library",
        )

    def _licences(self, ref: str, rows: tuple[Licence, ...]) -> None:
        """Say under which licences something is, all of them at once: the profiles want one declared and one concluded."""
        for kind, declared in (("hasDeclaredLicense", True), ("hasConcludedLicense", False)):
            said = [row for row in rows if row.declared is declared]
            self._relate(kind, ref, [self._licence(said) if said else NO_ASSERTION])

    def _licence(self, rows: list[Licence]) -> str:
        named = {row.id or reference(row.name): row for row in rows}
        expression = " AND ".join(named)
        ref = self._id("licence", expression)
        if ref in self.licences:
            return ref
        self.licences.add(ref)
        own = [
            {"type": "DictionaryEntry", "key": name, "value": self._licence_text(row, name)}
            for name, row in named.items()
            if not row.id
        ]
        return self._element(
            "simplelicensing_LicenseExpression",
            ref,
            simplelicensing_licenseExpression=expression,
            simplelicensing_customIdToUri=own,
        )

    def _licence_text(self, row: Licence, name: str) -> str:
        ref = self._id("licence-text", name)
        if ref not in self.licences:
            self.licences.add(ref)
            text = f"{row.name}{f', {row.url}' if row.url else ''}; named by {row.source}, its text is there"
            self._element("simplelicensing_SimpleLicensingText", ref, name=name, simplelicensing_licenseText=text)
        return ref

    def _evidence(self, primary: str) -> None:
        """Annotate the model with the signed statements about it, and with what was not read."""
        for item in self.inventory.evidence:
            found = item.value
            text = f"{found.kind}: {found.verdict or found.outcome}; signed by {item.identity}; in-toto statement {found.id}"
            self._annotate(primary, str(found.id), line(text, 1000))
        for path, why in self.inventory.unread[:500]:
            self._annotate(primary, f"unread {path}", f"not read, so nothing is said from it: {line(path, 300)}: {line(why, 300)}")

    def _findings(self, primary: str) -> None:
        """State what scans found as vulnerabilities of the files that have it. How severe is said in words: there is no score."""
        for row in findings(self.inventory, primary, self.files):
            severities = ", ".join(str(rating.get("severity", rating.get("score"))) for rating in row["ratings"])
            ref = self._element(
                "security_Vulnerability",
                self._id("finding", row["bom-ref"]),
                name=row["id"],
                summary=row.get("description", ""),
                description=row.get("detail", ""),
                comment=f"severity {severities}; {row['source']['name']}",
            )
            for affected in row["affects"]:
                self._relate("hasAssociatedVulnerability", affected["ref"], [ref])

    def _annotate(self, subject: str, name: str, text: str) -> None:
        self._element("Annotation", self._id("annotation", name), annotationType="other", subject=subject, statement=text)

    def _document(self, models: list[str]) -> None:
        lacking = {row.profile for row in lacks(self.rows)}
        elements = [row["spdxId"] for row in self.rows if "spdxId" in row]
        bom = self._element(
            "software_Sbom",
            f"{self.base}#bom",
            name=line(self.inventory.name, 200),
            rootElement=models,
            element=elements,
            software_sbomType=["analyzed"],
        )
        self._element(
            "SpdxDocument",
            f"{self.base}#document",
            name=line(self.inventory.name, 200) or "unnamed",
            profileConformance=["core", "software", "simpleLicensing", *(name for name in CLASSES if name not in lacking)],
            rootElement=[bom],
            element=[*elements, bom],
        )


def _day(text: str) -> str:
    """Return a date of a card as a time of SPDX, empty when it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (found.astimezone(UTC) if found.tzinfo else found).strftime("%Y-%m-%dT%H:%M:%SZ")


def _with_interval(row: Measured) -> str:
    """Return a measurement in one text: the AI profile has no field for its interval and its sample."""
    if row.low is None or row.high is None:
        return row.value
    return f"{row.value} [{row.low:g}, {row.high:g}]{f', n={row.n}' if row.n is not None else ''}"


def _hash(digest: str) -> dict[str, str]:
    return {"type": "Hash", "algorithm": "sha256", "hashValue": digest}


def _text(facts: Facts, field: str) -> str:
    value = facts.value(field)
    return "" if value is None else clip(shown(value), _TEXT)


def _many(facts: Facts, field: str) -> list[str]:
    return [clip(shown(fact.value), _TEXT) for fact in facts.all(field)[:20]]


def _entries(facts: Facts) -> list[dict[str, str]]:
    rows = {**merged(facts, "hyperparameter")}
    for field in (
        "parameters",
        "context_length",
        "vocabulary",
        "embedding_length",
        "blocks",
        "heads",
        "kv_heads",
        "feed_forward",
        "quantisation",
    ):
        value = facts.value(field)
        if value is not None:
            rows.setdefault(field, value)
    return [
        {"type": "DictionaryEntry", "key": line(key, 200), "value": line(shown(value), 500)}
        for key, value in list(rows.items())[:500]
    ]


def _energy(facts: Facts) -> dict[str, Any] | None:
    value = facts.value("energy")
    try:
        quantity = f"{float(str(value).split()[0]):g}" if value is not None else ""
    except (ValueError, IndexError):
        return None
    if not quantity or "e" in quantity:
        return None
    row = {"type": "ai_EnergyConsumptionDescription", "ai_energyQuantity": quantity, "ai_energyUnit": "kilowattHour"}
    return {"type": "ai_EnergyConsumption", "ai_trainingEnergyConsumption": [row]}


def _references(facts: Facts) -> list[dict[str, Any]]:
    found = []
    for kind, field in (("vcs", "repository"), ("documentation", "paper")):
        for fact in facts.all(field)[:20]:
            url = address(shown(fact.value))
            if url:
                found.append({"type": "ExternalRef", "externalRefType": kind, "locator": [url]})
    return found
