"""Names, models and versions as MLflow writes them. Times are milliseconds since 1970, versions are numbers in text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from stannary.core.errors import UsageError
from stannary.registry.labels import Label, labels_of
from stannary.registry.model import Version
from stannary.registry.names import DEFAULT, Name, parse, parse_model
from stannary.server.operations import Call

__all__ = [
    "STAGES",
    "alias_named",
    "asked",
    "label_of",
    "model_of",
    "model_tags",
    "name_of",
    "named",
    "number_of",
    "pairs_of",
    "registered_model",
    "source_of",
    "tags_of",
    "version_of",
]

STAGES = {"Production": "production", "Staging": "staging"}


# What the client adds to every search of its own accord: there are no prompts here.
_NO_PROMPTS = re.compile(r"(?:\s+and\s+|^)\s*tags?\.`mlflow\.prompt\.is_prompt`\s*!=\s*'true'\s*$", re.IGNORECASE)


def asked(text: str) -> str:
    """Return what somebody searches for, without what the client adds."""
    return _NO_PROMPTS.sub("", text).strip()


def named(text: str) -> Name:
    """Return the name that MLflow means: `fraud`, or `team~fraud`. Raises UsageError."""
    namespace, tilde, name = text.rpartition("~")
    if "/" in text:
        msg = f"is no name of a model: {text[:120]!r}"
        raise UsageError(msg, where="name", code="REG001", help="NAME, or NAMESPACE~NAME; small letters, digits, and . _ - within")
    return parse_model(f"{namespace}/{name}" if tilde else name)


def name_of(name: Name) -> str:
    """Return a name as MLflow writes it."""
    return name.name if name.namespace == DEFAULT else f"{name.namespace}~{name.name}"


def number_of(text: str) -> int:
    """Return a version. Raises UsageError."""
    return parse(f"any:{text}").number


def alias_named(text: str) -> str:
    """Return an alias. Raises UsageError for what is none here."""
    return parse(f"any@{text}").alias


def tags_of(version: Version, label: Label | None = None) -> dict[str, str]:
    """Return the tags of a version: those it was pushed with, as they were changed since; and its digest."""
    tags = _told(version).get("tags")
    found: dict[str, str | None] = {str(key): str(value) for key, value in (tags if isinstance(tags, Mapping) else {}).items()}
    found |= label.tags if label is not None else {}
    return {key: value for key, value in found.items() if value is not None} | {"stannary.digest": version.digest}


def version_of(version: Version, label: Label | None = None) -> dict[str, Any]:
    """Return a version in MLflow's words."""
    told, created = _told(version), _millis(version.created)
    stage = next((stage for stage, alias in STAGES.items() if alias in version.aliases), "None")
    return {
        "name": name_of(version.name),
        "version": str(version.number),
        "creation_timestamp": created,
        "last_updated_timestamp": max(created, _millis(label.changed)) if label is not None else created,
        "user_id": version.creator,
        "current_stage": stage,
        "description": version.note if label is None or label.note is None else label.note,
        "source": source_of(version),
        "run_id": str(told.get("run_id") or ""),
        "run_link": "",
        "status": "READY",
        "status_message": f"quarantined: {version.quarantined}" if version.quarantined else "",
        "tags": _listed(tags_of(version, label)),
        "aliases": list(version.aliases),
    }


def source_of(version: Version) -> str:
    """Return where the client loads a version from: this server's own artifacts."""
    return f"mlflow-artifacts:/versions/{version.name.namespace}/{version.name.name}/{version.number}"


def registered_model(name: Name, versions: list[Version], labels: Mapping[int, Label]) -> dict[str, Any]:
    """Return a model in MLflow's words, with its versions (the newest first, none that was deleted) and what is said of them."""
    own = labels.get(0)
    times = [_millis(text) for text in (*(version.created for version in versions), *(row.changed for row in labels.values()))]
    latest = {stage: next((row for row in versions if alias in row.aliases), None) for stage, alias in STAGES.items()}
    plain = next((row for row in versions if not set(STAGES.values()) & set(row.aliases)), None)
    return {
        "name": name_of(name),
        "creation_timestamp": min(times, default=0),
        "last_updated_timestamp": max(times, default=0),
        "description": (own.note or "") if own is not None else "",
        "latest_versions": [version_of(row, labels.get(row.number)) for row in (*latest.values(), plain) if row is not None],
        "tags": _listed(model_tags(labels)),
        "aliases": [{"alias": alias, "version": str(row.number)} for row in versions for alias in row.aliases],
    }


def model_tags(labels: Mapping[int, Label]) -> dict[str, str]:
    """Return the tags of a model."""
    own = labels.get(0)
    return {key: value for key, value in own.tags.items() if value is not None} if own is not None else {}


def model_of(call: Call, name: Name) -> dict[str, Any]:
    """Return a model as the caller sees it. Raises UsageError when there is none."""
    versions = [row for row in call.store.versions(name) if not row.dropped]
    with call.store.reading() as connection:
        labels = labels_of(connection, name)
    if not versions and 0 not in labels:
        msg = "was deleted"
        raise UsageError(msg, where=str(name), code="REG010", help="push a version under that name")
    return registered_model(name, versions, labels)


def label_of(call: Call, version: Version) -> Label | None:
    """Return what is said of a version."""
    with call.store.reading() as connection:
        return labels_of(connection, version.name).get(version.number)


def _told(version: Version) -> Mapping[str, Any]:
    told = version.info.get("mlflow")
    return told if isinstance(told, Mapping) else {}


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def pairs_of(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Return the tags that a client sends."""
    return {row.get("key", ""): row.get("value", "") for row in tags or ()}


def _millis(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
