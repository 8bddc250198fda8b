"""CycloneDX 1.6 and 1.7, written directly: no library at hand has model cards.

The first component is the model that the artifact is about; every file of it is a component inside it with its
SHA-256. `metadata.component` is the artifact as a whole, under its dirHash1 digest.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from stannary.core.model import File, Json
from stannary.report.bom.cyclonedx_card import model_card
from stannary.report.bom.cyclonedx_evidence import declarations, formulation, pedigree, remarks
from stannary.report.bom.findings import findings
from stannary.report.bom.inventory import Dataset, Inventory, Licence, Model, Package
from stannary.report.bom.licences import limits_of
from stannary.report.bom.options import BomOptions
from stannary.report.bom.registry import properties_at
from stannary.report.bom.words import address, fetched_purl, flat, line, properties, pypi_purl, shown, some
from stannary.report.escape import encodable

__all__ = ["VERSIONS", "render"]

VERSIONS = ("1.6", "1.7")
_NAMESPACE = uuid.UUID("6f5b1f3a-6d0b-5c0e-9f3b-0d6f6b1a7f10")  # of ours, for serial numbers
_ROOT = "artifact"


def render(inventory: Inventory, options: BomOptions) -> dict[str, Any]:
    """Return the document of an inventory, as JSON values."""
    refs = {id(model): f"model:{line(model.path or model.name, 200)}" for model in inventory.models}
    datasets = {row: f"data:{row.use}:{line(row.name, 200)}" for row in inventory.datasets}
    packages = {row: f"package:{line(row.name, 120)}" for row in inventory.packages}
    components = [_model(inventory, model, refs[id(model)], datasets, options) for model in inventory.models]
    components += [_dataset(row, ref) for row, ref in datasets.items()]
    components += [_package(row, ref) for row, ref in packages.items()]
    primary = refs[id(inventory.primary)]
    training = {row.name: ref for row, ref in datasets.items() if row.use == "training"}
    document = some(
        bomFormat="CycloneDX",
        specVersion=options.spec_version,
        version=1,
        metadata=_metadata(inventory, options),
        components=components,
        dependencies=_dependencies(inventory, refs, datasets, packages),
        compositions=_compositions(inventory, refs),
        vulnerabilities=findings(inventory, primary, _file_refs(inventory, refs)),
        formulation=formulation(inventory, primary, training),
        declarations=declarations(inventory, primary),
        annotations=remarks(inventory, primary, options),
    )
    found: dict[str, Any] = encodable(document)
    # The same content at the same time has the same number: a document can be made again and compared.
    digest = hashlib.sha256(msgspec.json.encode(found, order="sorted")).hexdigest()
    return {"$schema": f"http://cyclonedx.org/schema/bom-{options.spec_version}.schema.json", **_with_serial(found, digest)}


def _with_serial(document: dict[str, Any], digest: str) -> dict[str, Any]:
    head = {"bomFormat": document.pop("bomFormat"), "specVersion": document.pop("specVersion")}
    return {**head, "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest)}", **document}


def _metadata(inventory: Inventory, options: BomOptions) -> dict[str, Any]:
    tool = {"type": "application", "name": "stannary", "version": options.tool_version}
    facts = inventory.primary.facts
    whole = some(
        bom_ref=_ROOT,
        type_="application",
        name=line(inventory.name, 200) or "unnamed",
        version=options.version or flat(facts, "version"),
        components=_loose(inventory),
        properties=properties(
            [
                ("stannary:dirHash1", inventory.digest.hex),
                ("stannary:files", len(inventory.files)),
                ("stannary:bytes", inventory.size),
            ]
        ),
    )
    return some(
        timestamp=_time(options.timestamp),
        lifecycles=[{"phase": "post-build"}],
        tools={"components": [tool]},
        component=whole,
        properties=properties(properties_at("metadata", inventory, inventory.primary)),
    )


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _loose(inventory: Inventory) -> list[dict[str, Any]]:
    """Return the files that belong to none of the models."""
    used = {file.path for model in inventory.models for file in model.files}
    return [_file(file, _ROOT) for file in inventory.files if file.path not in used]


def _file(file: File, owner: str) -> dict[str, Any]:
    return {
        "bom-ref": f"{owner}/{line(file.path, 1000)}" if owner != _ROOT else f"file:{line(file.path, 1000)}",
        "type": "file",
        "name": line(file.path, 1000),
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": [{"name": "stannary:size", "value": str(file.size)}],
    }


def _file_refs(inventory: Inventory, refs: dict[int, str]) -> dict[str, str]:
    """Return the reference of each file; a file that is a model by itself has that of the model."""
    found = {file.path: _file(file, _ROOT)["bom-ref"] for file in inventory.files} if inventory.evidence else {}
    for model in inventory.models if found else ():
        ref = refs[id(model)]
        found |= {file.path: ref if len(model.files) == 1 else _file(file, ref)["bom-ref"] for file in model.files}
    return found


def _model(inventory: Inventory, model: Model, ref: str, datasets: dict[Dataset, str], options: BomOptions) -> dict[str, Any]:
    facts, primary = model.facts, model is inventory.primary
    training = {row.name: found for row, found in datasets.items() if row.use == "training"}
    single = len(model.files) == 1
    supplier = (options.supplier if primary else "") or flat(facts, "supplier")
    return some(
        bom_ref=ref,
        type_="machine-learning-model",
        supplier={"name": supplier} if supplier else None,
        authors=[{"name": flat(facts, "author")}] if flat(facts, "author") else None,
        name=line(inventory.name if primary else model.name, 200) or "unnamed",
        version=(options.version if primary else "") or flat(facts, "version"),
        description=flat(facts, "description"),
        hashes=[{"alg": "SHA-256", "content": model.files[0].sha256}] if single else None,
        licenses=[_licence(row) for row in inventory.licences] if primary else None,
        purl=(options.purl or fetched_purl(inventory.address)) if primary else "",
        externalReferences=_references(inventory, model) if primary else None,
        pedigree=pedigree(inventory) if primary else None,
        modelCard=model_card(inventory, model, ref, training),
        components=None if single else [_file(file, ref) for file in model.files],
        properties=_model_properties(inventory, model, primary=primary),
    )


def _model_properties(inventory: Inventory, model: Model, *, primary: bool) -> list[dict[str, str]]:
    rows: list[tuple[str, Json]] = [("stannary:dirHash1", inventory.digest.hex if primary else None), ("stannary:path", model.path)]
    for path, header in sorted(model.headers.items())[:200]:
        said = some(
            format=header.format,
            architecture=header.architecture,
            tensors=header.tensors,
            parameters=header.parameters,
            quantisation=header.quantisation,
            classes=list(header.classes[:10]),
        )
        rows.append((f"stannary:header:{line(path, 300)}", {name: shown(value) for name, value in said.items()}))
    if primary:
        for row in inventory.licences:
            rows.append((f"stannary:licence:{line(row.id or row.name, 100)}", f"{row.family}; {row.source}"))
            rows.append((f"stannary:licence:limits:{line(row.id or row.name, 100)}", list(limits_of(row.name))))
    return properties(rows)


def _licence(row: Licence) -> dict[str, Any]:
    named = {"id": row.id} if row.id else {"name": line(row.name, 200)}
    extra = some(acknowledgement="declared" if row.declared else "concluded", url=address(row.url))
    return {"license": {**named, **extra}}


def _references(inventory: Inventory, model: Model) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, field in (
        ("vcs", "repository"),
        ("website", "homepage"),
        ("documentation", "paper"),
        ("distribution", "distribution"),
    ):
        for fact in model.facts.all(field)[:20]:
            url = address(shown(fact.value))
            if url:
                found.setdefault((kind, url), {"type": kind, "url": url, "comment": str(fact.source)})
    for row in inventory.evidence:
        url = f"urn:stannary:evidence:{row.value.id}"
        found[("attestation", url)] = {
            "type": "attestation",
            "url": url,
            "comment": f"{row.value.kind}, signed by {line(row.identity, 200)}",
        }
    return list(found.values())


def _dataset(row: Dataset, ref: str) -> dict[str, Any]:
    url = address(row.url)
    return some(
        bom_ref=ref,
        type_="data",
        name=line(row.name, 200) or "unnamed",
        hashes=[{"alg": "SHA-256", "content": row.sha256}] if row.sha256 else None,
        licenses=[_licence(item) for item in row.licences],
        externalReferences=[{"type": "distribution", "url": url}] if url else None,
        data=[some(type_="dataset", name=line(row.name, 200), contents={"url": url} if url else None)],
        properties=properties([("stannary:use", row.use), ("stannary:dirHash1", row.tree), ("stannary:source", str(row.source))]),
    )


def _package(row: Package, ref: str) -> dict[str, Any]:
    """Return a package. A lock lists the digests of all its archives; which was installed it does not say."""
    return some(
        bom_ref=ref,
        type_="library",
        name=line(row.name, 200),
        version=line(row.version, 100),
        purl=pypi_purl(row.name, row.version),
        hashes=[{"alg": "SHA-256", "content": digest} for digest in row.hashes] if len(row.hashes) == 1 else None,
        properties=properties([
            ("stannary:specifier", row.specifier),
            ("stannary:archive:sha256", list(row.hashes) if len(row.hashes) > 1 else None),
            ("stannary:source", str(row.source)),
        ]),
    )  # fmt: skip


def _dependencies(
    inventory: Inventory, refs: dict[int, str], datasets: dict[Dataset, str], packages: dict[Package, str]
) -> list[dict[str, Any]]:
    primary = refs[id(inventory.primary)]
    rows = [some(ref=_ROOT, dependsOn=_unique(refs.values()))]
    rows.append(some(ref=primary, dependsOn=_unique([*datasets.values(), *packages.values()])))
    rows += [{"ref": ref} for ref in [*list(refs.values())[1:], *datasets.values(), *packages.values()]]
    return rows


def _compositions(inventory: Inventory, refs: dict[int, str]) -> list[dict[str, Any]]:
    """Say how complete it is: every file is there, unless one was not read; what packages need besides, nobody said."""
    made = "incomplete" if inventory.unread else "complete"
    rows: list[dict[str, Any]] = [{"aggregate": made, "assemblies": _unique([_ROOT, *refs.values()])}]
    return [*rows, {"aggregate": "unknown", "dependencies": [refs[id(inventory.primary)]]}] if inventory.packages else rows


def _unique(rows: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(rows))
