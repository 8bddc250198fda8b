"""What CycloneDX calls pedigree, formulation and declarations: where a model comes from, how it was made, who vouches for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from stannary.core.evidence import Evidence, Verified
from stannary.evidence.predicates.ours import Statement as HumanStatement
from stannary.evidence.predicates.ours import TrainingRun
from stannary.formats.interface import clip
from stannary.report.bom.inventory import Inventory
from stannary.report.bom.options import BomOptions
from stannary.report.bom.words import address, hub_purl, line, properties, shown, some

__all__ = ["declarations", "formulation", "pedigree", "remarks"]

_UNREAD = 500
# Evidence that is a claim about the model, in words.
_CLAIMS = {
    "model-scan": "a static scan was run", "eval-result": "it was evaluated", "dataset-check": "its data was checked",
    "training-run": "its training was recorded", "lineage": "its origin was stated", "statement": "somebody stated",
    "test-result": "tests were run",
    "vuln": "known vulnerabilities were looked for", "provenance": "its build was recorded", "vsa": "a policy decided",
    "waiver": "a rule was waived",
    "signature": "its files were signed", "revocation": "its use was revoked", "incident": "an incident was recorded",
    "response-action": "there was a response to an incident",
}  # fmt: skip


def pedigree(inventory: Inventory) -> dict[str, Any]:
    """Return the models that it was made from."""
    ancestors = []
    for row in inventory.origins:
        url = address(row.url)
        ancestors.append(
            some(
                type_="machine-learning-model",
                name=line(row.name, 200) or "unnamed",
                hashes=[{"alg": "SHA-256", "content": row.sha256}] if row.sha256 else None,
                purl=hub_purl(row.name) if url.startswith("https://huggingface.co/") else "",
                externalReferences=[{"type": "distribution", "url": url}] if url else None,
                properties=properties(
                    [("stannary:relation", row.relation), ("stannary:dirHash1", row.tree), ("stannary:source", str(row.source))]
                ),
            )
        )
    return some(ancestors=ancestors)


def formulation(inventory: Inventory, model: str, datasets: dict[str, str]) -> list[dict[str, Any]]:
    """Return the training runs that were recorded: code, data, parameters, environment."""
    workflows = [_workflow(item, model, datasets) for item in inventory.evidence if item.value.kind == "training-run"]
    return [{"bom-ref": "formula:training", "workflows": workflows}] if workflows else []


def _workflow(item: Verified[Evidence], model: str, datasets: dict[str, str]) -> dict[str, Any]:
    evidence = item.value
    run = msgspec.convert(evidence.predicate, TrainingRun)
    parameters = [
        some(name=line(name, 200), value=clip(shown(value), 2000)) for name, value in {**run.parameters, **_seeds(run)}.items()
    ]
    names = dict.fromkeys(edge.resource.name for edge in run.edges)
    inputs: list[dict[str, Any]] = [{"resource": {"ref": datasets[name]}} for name in names if name in datasets]
    if parameters:
        inputs.append({"parameters": parameters})
    said = {**run.environment, **_hardware(run), **_uncommitted(run)}
    variables = properties((line(name, 200), value) for name, value in said.items())
    if variables:
        inputs.append({"environmentVars": variables})
    code = [
        some(
            type_="vcs",
            url=address(row.uri) or f"urn:stannary:code:{next(iter(row.digest.values()), '')}",
            comment=line(f"{row.name} {shown(dict(row.digest))}", 400),
        )
        for row in run.code
    ]
    return some(
        bom_ref=f"workflow:{evidence.id.hex[:16]}",
        uid=str(evidence.id),
        name="training",
        description=f"training run, {run.outcome}; signed by {line(item.identity, 200)}",
        resourceReferences=[{"externalReference": row} for row in _distinct(code)],
        taskTypes=["build"],
        inputs=inputs,
        outputs=[{"type": "artifact", "resource": {"ref": model}}],
        timeStart=_time(run.started_on),
        timeEnd=_time(run.finished_on),
        properties=properties([("stannary:evidence", str(evidence.id)), ("stannary:outcome", run.outcome)]),
    )


def _seeds(run: TrainingRun) -> dict[str, int | str]:
    return {f"seed.{name}": seed for name, seed in run.seeds.items()}


def _hardware(run: TrainingRun) -> dict[str, str]:
    return {f"hardware.{name}": shown(value) for name, value in run.hardware.items()}


def _uncommitted(run: TrainingRun) -> dict[str, str]:
    return {f"uncommitted.{row.commit}": shown(row.digest) for row in run.uncommitted}


def _distinct(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(msgspec.json.encode(row).decode(), row)
    return list(found.values())


def declarations(inventory: Inventory, model: str) -> dict[str, Any]:
    """Return who vouches for what: one claim and one piece of evidence a statement, one attestation a signer."""
    if not inventory.evidence:
        return {}
    assessors: dict[str, dict[str, Any]] = {}
    by_signer: dict[str, list[str]] = {}
    claims, evidence = [], []
    for item in inventory.evidence:
        found = item.value
        ref = found.id.hex[:16]
        signer = f"assessor:{item.keyid[:16]}"
        assessors.setdefault(
            signer, {"bom-ref": signer, "thirdParty": False, "organization": {"name": line(item.identity or item.keyid, 200)}}
        )
        by_signer.setdefault(signer, []).append(f"claim:{ref}")
        evidence.append(_evidence(item, ref))
        against = found.outcome in ("failed", "error", "incomplete")
        claims.append(
            some(
                bom_ref=f"claim:{ref}",
                target=model,
                predicate=_CLAIMS.get(found.kind, found.kind),
                reasoning=line(_says(found), 1000),
                **{"counterEvidence" if against else "evidence": [f"evidence:{ref}"]},
            )
        )
    attestations = [
        {
            "summary": f"statements signed by {assessors[signer]['organization']['name']}",
            "assessor": signer,
            "map": [{"claims": refs}],
        }
        for signer, refs in by_signer.items()
    ]
    return {"assessors": list(assessors.values()), "attestations": attestations, "claims": claims, "evidence": evidence}


def _evidence(item: Verified[Evidence], ref: str) -> dict[str, Any]:
    found = item.value
    where = f"entry {item.index} of the ledger" if item.index is not None else "outside of the ledger"
    return some(
        bom_ref=f"evidence:{ref}",
        propertyName=f"stannary:evidence:{found.kind}",
        description=line(f"in-toto statement {found.predicate_type}, {where}, key {item.keyid[:16]}", 500),
        data=[{"name": str(found.id), "contents": {"url": f"urn:stannary:evidence:{found.id}"}}],
        created=_time(found.issued),
        expires=_time(found.expires),
        author={"name": line(item.identity or item.keyid, 200)},
    )


def _says(found: Evidence) -> str:
    parts = [found.verdict or found.outcome]
    if found.kind == "statement":
        said = msgspec.convert(found.predicate, HumanStatement)
        parts = [f"{said.topic}: {said.decision or 'stated'} by {said.author}: {said.statement}"]
    if found.check.id and found.check.id != found.kind:
        parts.append(f"check {found.check.id} {found.check.version}")
    parts += [f"{row.metric} {row.value:g} [{row.low:g}, {row.high:g}] n={row.n}" for row in found.measurements[:10]]
    return "; ".join(parts)


def remarks(inventory: Inventory, model: str, options: BomOptions) -> list[dict[str, Any]]:
    """Return what a reader of the document has to know: what was not read, where sources disagree."""
    texts = [
        f"not read, so nothing is said from it: {line(path, 300)}: {line(why, 300)}" for path, why in inventory.unread[:_UNREAD]
    ]
    if len(inventory.unread) > _UNREAD:
        texts.append(f"{len(inventory.unread) - _UNREAD} more files were not read")
    for field, facts in inventory.primary.facts.disputes():
        said = "; ".join(f"{line(shown(fact.value), 100)} ({fact.source})" for fact in facts[:6])
        texts.append(f"sources disagree about {field}: {said}. The first counts here")
    tool = {"type": "application", "name": "stannary", "version": options.tool_version}
    return [
        {"subjects": [model], "annotator": {"component": tool}, "timestamp": _time(options.timestamp), "text": text}
        for text in texts
    ]


def _time(moment: datetime | None) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z") if moment else ""
