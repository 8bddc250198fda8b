"""What no schema can say: references that lead nowhere, names that are there twice, digests that are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from stannary.report.bom.json_schema import Path, Problem
from stannary.report.bom.licences import expression_problem
from stannary.report.bom.spdx_profiles import lacks

__all__ = ["Doubt", "cyclonedx", "spdx2", "spdx3"]

# Hexadecimal digits of each algorithm, by its name without case and dashes.
_DIGITS = {
    "md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128, "sha3224": 56, "sha3256": 64, "sha3384": 96,
    "sha3512": 128, "blake2b256": 64, "blake2b384": 96, "blake2b512": 128, "blake3": 64,
}  # fmt: skip
# Members of CycloneDX that hold references to a `bom-ref`.
_REFERENCES = frozenset({
    "ref", "dependsOn", "provides", "subjects", "target", "assessor", "claims", "counterClaims", "counterEvidence",
    "mitigationStrategies",
    "requirement", "assemblies", "dependencies", "affects", "evidence",
})  # fmt: skip
# Members of SPDX 3 that hold the ids of elements.
_POINTERS = frozenset({
    "from", "to", "element", "rootElement", "creationInfo", "createdBy", "createdUsing", "originatedBy", "suppliedBy", "subject",
})  # fmt: skip
_INDIVIDUALS = frozenset(
    {
        "NoneElement",
        "NoAssertionElement",
        "SpdxOrganization",
        "expandedlicensing_NoneLicense",
        "expandedlicensing_NoAssertionLicense",
    }
)
_HEX = re.compile(r"[0-9a-fA-F]+")
_LINK = re.compile(r"urn:cdx:[0-9a-f-]{36}/[1-9]\d*(?:#.+)?", re.IGNORECASE)


class Doubt(NamedTuple):
    """A problem and which of our checks says so."""

    problem: Problem
    check: Literal["reference", "sense"]


def cyclonedx(document: dict[str, Any]) -> Iterator[Doubt]:
    """Yield what does not hold together in a CycloneDX document."""
    names: dict[str, Path] = {}
    used: list[tuple[str, Path]] = []
    for node, path in _objects(document):
        ref = node.get("bom-ref")
        if isinstance(ref, str):
            if ref in names:
                yield _doubt((path, "bom-ref"), f"{ref!r} is a bom-ref that is there twice", "reference")
            names.setdefault(ref, path)
        used += _used(node, path)
        if isinstance(node.get("alg"), str) and isinstance(node.get("content"), str):
            yield from _digest(node["alg"], node["content"], (path, "content"))
        if isinstance(node.get("expression"), str):
            wrong = expression_problem(node["expression"])
            if wrong:
                yield _doubt((path, "expression"), f"{node['expression'][:100]!r} {wrong}", "sense")
    for name, path in used:
        if name not in names and not _LINK.fullmatch(name):
            yield _doubt(path, f"refers to {name[:200]!r}, which is no bom-ref of this document", "reference")
    yield from _dependencies(document)


def _used(node: dict[str, Any], path: Path) -> Iterator[tuple[str, Path]]:
    for key in _REFERENCES & node.keys():
        value = node[key]
        if isinstance(value, str):
            if key != "evidence":
                yield value, (path, key)
        elif isinstance(value, list):
            yield from ((item, ((path, key), index)) for index, item in enumerate(value) if isinstance(item, str))


def _dependencies(document: dict[str, Any]) -> Iterator[Doubt]:
    """Yield rows of the graph that are there twice, and components that depend on themselves."""
    seen: set[str] = set()
    rows = document.get("dependencies")
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        ref = row.get("ref") if isinstance(row, dict) else None
        if not isinstance(ref, str):
            continue
        if ref in seen:
            yield _doubt((((), "dependencies"), index), f"{ref[:200]!r} has two rows of dependencies", "sense")
        seen.add(ref)
        if isinstance(row.get("dependsOn"), list) and ref in row["dependsOn"]:
            yield _doubt((((), "dependencies"), index), f"{ref[:200]!r} depends on itself", "sense")


def spdx2(document: dict[str, Any]) -> Iterator[Doubt]:
    """Yield what does not hold together in an SPDX 2.3 document."""
    names: set[str] = {"NONE", "NOASSERTION"}
    for node, path in _objects(document):
        name = node.get("SPDXID")
        if isinstance(name, str):
            if name in names:
                yield _doubt((path, "SPDXID"), f"{name[:200]!r} is an SPDXID that is there twice", "reference")
            names.add(name)
        if isinstance(node.get("algorithm"), str) and isinstance(node.get("checksumValue"), str):
            yield from _digest(node["algorithm"], node["checksumValue"], (path, "checksumValue"))
        for key in ("licenseConcluded", "licenseDeclared"):
            text = node.get(key)
            wrong = expression_problem(text) if isinstance(text, str) and text not in ("NONE", "NOASSERTION") else ""
            if wrong:
                yield _doubt((path, key), f"{str(text)[:100]!r} {wrong}", "sense")
    rows = document.get("relationships")
    for index, row in enumerate(rows if isinstance(rows, list) else ()):
        for key in ("spdxElementId", "relatedSpdxElement"):
            name = row.get(key) if isinstance(row, dict) else None
            if isinstance(name, str) and name not in names and not name.startswith("DocumentRef-"):
                yield _doubt(
                    ((((), "relationships"), index), key),
                    f"refers to {name[:200]!r}, which is no element of this document",
                    "reference",
                )


def spdx3(document: dict[str, Any]) -> Iterator[Doubt]:
    """Yield what does not hold together in an SPDX 3 document: elements that are not there, imports aside."""
    rows = document.get("@graph")
    graph: Path = ((), "@graph")
    elements = [(row, (graph, index)) for index, row in enumerate(rows)] if isinstance(rows, list) else [(document, ())]
    names: set[str] = set()
    for row, at in elements:
        for key in ("spdxId", "@id"):
            name = row.get(key) if isinstance(row, dict) else None
            if isinstance(name, str):
                if name in names:
                    yield _doubt((at, key), f"{name[:200]!r} is there twice", "reference")
                names.add(name)
    names |= {node["externalSpdxId"] for node, _ in _objects(document) if isinstance(node.get("externalSpdxId"), str)}
    names |= {node["@id"] for node, _ in _objects(document) if isinstance(node.get("@id"), str)}
    for row, at in elements:
        for name, where in _pointers(row, at):
            if name not in names and not _individual(name):
                yield _doubt(where, f"refers to {name[:200]!r}, which is no element of this document", "reference")
    yield from _claims([row for row, _ in elements], [at for _, at in elements])
    for node, path in _objects(document):
        if isinstance(node.get("algorithm"), str) and isinstance(node.get("hashValue"), str):
            yield from _digest(node["algorithm"].removesuffix("_"), node["hashValue"], (path, "hashValue"))


def _claims(rows: list[Any], places: list[Path]) -> Iterator[Doubt]:
    """Yield what elements lack for the profiles that the document claims."""
    claimed = {
        profile
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("profileConformance"), list)
        for profile in row["profileConformance"]
        if isinstance(profile, str)
    }
    for row in lacks(rows) if claimed else ():
        if row.profile in claimed:
            yield _doubt(places[row.at], f"{row.message}, but the document claims the profile {row.profile!r}", "sense")


def _pointers(row: Any, at: Path) -> Iterator[tuple[str, Path]]:  # noqa: ANN401 - JSON
    """Yield the names of other elements that an element holds."""
    for key in _POINTERS & row.keys() if isinstance(row, dict) else ():
        value = row[key]
        if isinstance(value, str):
            yield value, (at, key)
        elif isinstance(value, list):
            yield from ((name, ((at, key), position)) for position, name in enumerate(value) if isinstance(name, str))


def _individual(name: str) -> bool:
    """Tell whether a name is one of SPDX's own individuals, which no document defines."""
    return name.startswith(("https://spdx.org/rdf/", "https://spdx.org/licenses/")) or name in _INDIVIDUALS


def _digest(algorithm: str, text: str, path: Path) -> Iterator[Doubt]:
    digits = _DIGITS.get(re.sub(r"[-_]", "", algorithm).lower())
    if digits is not None and (len(text) != digits or _HEX.fullmatch(text) is None):
        yield _doubt(path, f"is {len(text)} characters, no {algorithm} of {digits} hexadecimal digits", "sense")


def _objects(value: Any) -> Iterator[tuple[dict[str, Any], Path]]:  # noqa: ANN401 - JSON
    """Yield every object with its path, from the top."""
    todo: list[tuple[Any, Path]] = [(value, ())]
    while todo:
        node, path = todo.pop()
        if isinstance(node, dict):
            yield node, path
            todo += [(item, (path, key)) for key, item in reversed(node.items()) if isinstance(item, (dict, list))]
        elif isinstance(node, list):
            todo += [
                (node[index], (path, index)) for index in range(len(node) - 1, -1, -1) if isinstance(node[index], (dict, list))
            ]


def _doubt(path: Path, message: str, check: Literal["reference", "sense"]) -> Doubt:
    return Doubt(Problem(path, message), check)
