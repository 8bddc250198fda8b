"""What two bills of materials say differently: components, digests, licences, parameters, data, origins, findings.

Each document becomes a view: components by kind and name, each with flat fields. So documents of different versions
and of different tools can be compared. Of documents of different formats, what both formats have a place for is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import msgspec

from stannary.report.bom.validate import decoded, kind_of
from stannary.report.escape import inline
from stannary.report.wording import counted

__all__ = ["Change", "Difference", "Document", "View", "compare", "load", "table"]

_KINDS = {
    "ai_AIPackage": "machine-learning-model", "dataset_DatasetPackage": "data", "software_File": "file",
    "software_Package": "library",
}  # fmt: skip
# Who made a document and when is no part of what it is about; nor are names that are only references.
_SKIPPED = frozenset(
    {
        "bom-ref",
        "components",
        "name",
        "type",
        "licenses",
        "hashes",
        "properties",
        "externalReferences",
        "evidence",
        "data",
        "pedigree",
    }
)
_MOST = 10_000

_ROOT = "the artifact"
# What each format has a place for, under one name; what is not here is compared among documents of one format only.
_SPDX2_FIELDS = frozenset({"digest", "version", "licence"})
_SPDX3_FIELDS = _SPDX2_FIELDS | {"purl", "description", "made from", "reference distribution", "reference website"}
_FIELDS: dict[str, frozenset[str]] = {
    "CycloneDX": _SPDX3_FIELDS,
    "SPDX 3": _SPDX3_FIELDS,
    "SPDX 2.3": _SPDX2_FIELDS,
}
# Names of SPDX 3 → the names above.
_NAMES = {
    "packageVersion": "version",
    "packageUrl": "purl",
    "downloadLocation": "reference distribution",
    "homePage": "reference website",
}

View = dict[str, dict[str, str]]


class Document(NamedTuple):
    """A document as it is compared: its format (`CycloneDX`, `SPDX 2.3`, `SPDX 3`) and its view."""

    format: str
    view: View


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: a component that came or went, or a field of one that both have."""

    what: Literal["added", "removed", "changed"]
    component: str
    field: str = ""
    old: str = ""
    new: str = ""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that differs, by component. `omitted` says how many more there are."""

    schema: str = "stannary.bom-diff/1"
    changes: tuple[Change, ...]
    omitted: int = 0
    only: tuple[str, ...] = ()  # the fields that were compared, when the documents are of different formats


def load(content: bytes, file: str) -> Document:
    """Return a document as it is compared. Raises InputError when it is none that is known."""
    _, document = decoded(content, file)
    kind, version = kind_of(document, file)
    if kind == "cyclonedx":
        return Document("CycloneDX", _cyclonedx(document))
    if version == "2.3":
        return Document("SPDX 2.3", _spdx2(document))
    return Document("SPDX 3", _spdx3(document))


def compare(old: Document, new: Document) -> Difference:
    """Return what differs between two documents."""
    only: frozenset[str] = frozenset()
    before, after = old.view, new.view
    if old.format != new.format:
        only = _FIELDS[old.format] & _FIELDS[new.format]
        before, after = _restricted(before, only), _restricted(after, only)
    changes: list[Change] = []
    for name in sorted({*before, *after}):
        if name not in after:
            changes.append(Change(what="removed", component=name, old=before[name].get("digest", "")))
        elif name not in before:
            changes.append(Change(what="added", component=name, new=after[name].get("digest", "")))
        else:
            changes += _fields(name, before[name], after[name])
    return Difference(changes=tuple(changes[:_MOST]), omitted=max(0, len(changes) - _MOST), only=tuple(sorted(only)))


def _restricted(view: View, only: frozenset[str]) -> View:
    return {
        name: {field: value for field, value in fields.items() if field in only} for name, fields in view.items() if name != _ROOT
    }


def _fields(name: str, old: dict[str, str], new: dict[str, str]) -> Iterator[Change]:
    for field in sorted({*old, *new}):
        before, after = old.get(field, ""), new.get(field, "")
        if before != after:
            what: Literal["added", "removed", "changed"] = "added" if not before else "removed" if not after else "changed"
            yield Change(what=what, component=name, field=field, old=before[:1000], new=after[:1000])


def table(found: Difference) -> str:
    """Return the differences as text."""
    signs = {"added": "+", "removed": "-", "changed": "~"}
    lines = []
    for row in found.changes:
        head = f"{signs[row.what]} {inline(row.component, 200)}"
        if not row.field:
            lines.append(head)
        elif row.what == "changed":
            lines.append(f"{head}: {inline(row.field, 100)}: {inline(row.old, 160)} → {inline(row.new, 160)}")
        else:
            lines.append(f"{head}: {inline(row.field, 100)}: {inline(row.new or row.old, 200)}")
    if found.omitted:
        lines.append(f"and {found.omitted} more")
    lines.append("They say the same." if not lines else f"{counted(len(found.changes) + found.omitted, 'difference')}.")
    if found.only:
        lines.append(f"The formats differ: compared are components, and of each {', '.join(found.only)}.")
    return "\n".join(lines) + "\n"


# CycloneDX


def _cyclonedx(document: dict[str, Any]) -> View:
    view: View = {}
    names: dict[str, str] = {}
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    todo = [(row, "") for row in [root, *_dicts(document.get("components"))] if isinstance(row, dict)]
    while todo:
        row, owner = todo.pop()
        name = _unique(view, _key(row, owner, root=row is root))
        names[str(row.get("bom-ref", ""))] = name
        view[name] = _component(row)
        todo += [(inner, "" if row is root else name) for inner in _dicts(row.get("components"))]
    for row in _dicts(document.get("dependencies")):
        name = names.get(str(row.get("ref")), "")
        if name in view and isinstance(row.get("dependsOn"), list) and row["dependsOn"]:
            view[name]["depends on"] = ", ".join(sorted(names.get(ref, ref) for ref in row["dependsOn"] if isinstance(ref, str)))
    for row in _dicts(document.get("vulnerabilities")):
        rated = ", ".join(sorted({str(rating.get("severity") or rating.get("score", "")) for rating in _dicts(row.get("ratings"))}))
        for affected in _dicts(row.get("affects")):
            name = names.get(str(affected.get("ref")), "")
            if name in view:
                view[name][f"finding {row.get('id')}"] = rated or "unrated"
    for fields in view.values():
        listed = fields.get("modelParameters.datasets")
        if listed:
            fields["modelParameters.datasets"] = ", ".join(
                sorted(names.get(ref.removeprefix("ref="), ref) for ref in listed.split(", "))
            )
    return view


def _key(row: dict[str, Any], owner: str, *, root: bool) -> str:
    """Return what a component is compared by: its kind and its name; files under their model, versions aside."""
    if root:
        return _ROOT
    kind, name = str(row.get("type", "component")), str(row.get("name", ""))
    group = f"{row['group']}/" if row.get("group") else ""
    return f"{kind} {group}{name}" + (f" in {owner}" if owner and kind != "file" else "")


def _unique(view: View, name: str) -> str:
    count, found = 1, name
    while found in view:
        count += 1
        found = f"{name} ({count})"
    return found


def _component(row: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in _dicts(row.get("hashes")):
        field = "digest" if item.get("alg") == "SHA-256" else f"digest {item.get('alg')}"
        found[field] = ", ".join(filter(None, (found.get(field, ""), str(item.get("content", "")).lower())))
    licences = [item.get("expression") or _named(item.get("license")) for item in _dicts(row.get("licenses"))]
    if licences:
        found["licence"] = ", ".join(sorted(map(str, licences)))
    for item in _dicts(row.get("externalReferences")):
        field = f"reference {item.get('type')}"
        found[field] = ", ".join(sorted(filter(None, (*found.get(field, "").split(", "), str(item.get("url"))))))
    pedigree = row.get("pedigree")
    ancestors = _dicts(pedigree.get("ancestors")) if isinstance(pedigree, dict) else []
    if ancestors:
        found["made from"] = ", ".join(sorted(str(item.get("name")) for item in ancestors))
    _properties(row, found)
    for field, value in row.items():
        if field == "modelCard" and isinstance(value, dict):
            _flatten("", {key: item for key, item in value.items() if key != "properties"}, found)
            _properties(value, found)
        elif field not in _SKIPPED:
            _flatten(field, value, found)
    return found


def _properties(row: dict[str, Any], found: dict[str, str]) -> None:
    for item in _dicts(row.get("properties")):
        name = str(item.get("name", ""))
        if not name.startswith("stannary:source"):
            found[name] = str(item.get("value", ""))


def _named(value: Any) -> str:  # noqa: ANN401 - JSON
    return str(value.get("id") or value.get("name")) if isinstance(value, dict) else ""


def _flatten(name: str, value: Any, found: dict[str, str], depth: int = 0) -> None:  # noqa: ANN401 - JSON
    """Keep scalars under dotted names; lists of tables as sorted lines."""
    if isinstance(value, dict) and depth < 6:  # noqa: PLR2004 - deeper than any model card
        for key, item in value.items():
            if key != "bom-ref":
                _flatten(f"{name}.{key}" if name else str(key), item, found, depth + 1)
    elif isinstance(value, list):
        found[name] = ", ".join(sorted(_line(item) for item in value))
    elif value is not None:
        found[name] = str(value)


def _line(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return " ".join(f"{key}={_line(item)}" for key, item in sorted(value.items()) if key != "bom-ref")
    return ", ".join(map(_line, value)) if isinstance(value, list) else str(value)


# SPDX


def _spdx2(document: dict[str, Any]) -> View:
    view: View = {}
    for kind, rows in (("library", document.get("packages")), ("file", document.get("files"))):
        for row in _dicts(rows):
            name = str(row.get("name") or row.get("fileName", "")).removeprefix("./")
            found = {
                "version": str(row.get("versionInfo", "")),
                "licence": str(row.get("licenseDeclared") or row.get("licenseConcluded") or ""),
            }
            for item in _dicts(row.get("checksums")):
                field = "digest" if item.get("algorithm") == "SHA256" else f"digest {item.get('algorithm')}"
                found[field] = str(item.get("checksumValue", "")).lower()
            view[_unique(view, f"{kind} {name}")] = {field: value for field, value in found.items() if value}
    return view


def _spdx3(document: dict[str, Any]) -> View:
    rows = _dicts(document.get("@graph")) or [document]
    view: View = {}
    names: dict[str, str] = {}
    ancestors = {str(row.get("from")) for row in rows if row.get("relationshipType") == "ancestorOf"}
    texts = {str(row.get("spdxId")): str(row.get("simplelicensing_licenseExpression") or row.get("name", "")) for row in rows}
    for row in rows:
        kind = _KINDS.get(str(row.get("type")))
        if kind is None or str(row.get("spdxId")) in ancestors:
            continue
        name = _unique(view, f"{kind} {row.get('name', '')}")
        names[str(row.get("spdxId"))] = name
        view[name] = _element(row)
    for row in rows:
        if row.get("relationshipType") == "ancestorOf" and isinstance(row.get("to"), list):
            for target in filter(None, (names.get(str(ref)) for ref in row["to"])):
                made = {*filter(None, view[target].get("made from", "").split(", ")), texts.get(str(row.get("from")), "")}
                view[target]["made from"] = ", ".join(sorted(made))
            continue
        source = names.get(str(row.get("from")), "")
        if row.get("type") not in ("Relationship", "LifecycleScopedRelationship") or not source:
            continue
        kind = str(row.get("relationshipType"))
        if kind == "contains":
            continue
        targets = row.get("to") if isinstance(row.get("to"), list) else []
        field = "licence" if kind in ("hasDeclaredLicense", "hasConcludedLicense") else kind
        said = [names.get(str(target)) or texts.get(str(target)) or str(target) for target in targets or ()]
        if field == "licence":
            said = [word for text in said for word in text.split(" AND ") if not word.endswith("NoAssertionLicense")]
            if not said:
                continue
        view[source][field] = ", ".join(sorted({*filter(None, view[source].get(field, "").split(", ")), *said}))
    return view


def _element(row: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in _dicts(row.get("verifiedUsing")):
        field = "digest" if item.get("algorithm") == "sha256" else f"digest {item.get('algorithm')}"
        found[field] = str(item.get("hashValue", "")).lower()
    for field, value in row.items():
        if field in ("spdxId", "type", "name", "creationInfo", "verifiedUsing", "@id"):
            continue
        short = field.partition("_")[2] or field
        short = _NAMES.get(short, short)
        if short in ("hyperparameter", "metric", "metricDecisionThreshold"):
            for item in _dicts(value):
                found[f"{short} {item.get('key')}"] = str(item.get("value"))
        else:
            _flatten(short, value, found)
    return found


def _dicts(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
