"""Validate anybody's bill of materials: CycloneDX JSON 1.4-1.7, SPDX 2.3 and 3.0.1 JSON, by schema and by sense."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from stannary.core.errors import InputError
from stannary.report.bom import semantic
from stannary.report.bom.locate import Keys, lines_of
from stannary.report.bom.schemas import CYCLONEDX, schema_of

__all__ = ["LARGEST", "BomProblem", "Validation", "decoded", "kind_of", "validate"]

LARGEST = 256 << 20
_MOST = 500


class BomProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong: `path` in the document, the line of the text, and whether a schema or our own check says so."""

    path: str
    line: int
    message: str
    check: Literal["schema", "reference", "sense"]


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What validating a document found: `valid` is the verdict of its schema, `sound` that of all checks.

    `omitted` says how many more problems there are.
    """

    file: str
    format: str
    version: str
    valid: bool
    sound: bool
    problems: tuple[BomProblem, ...]
    omitted: int = 0


def validate(content: bytes, file: str = "") -> Validation:
    """Validate a document. Raises InputError when it is no JSON, or no bill of materials of a version that is known."""
    text, document = decoded(content, file)
    kind, version = kind_of(document, file)
    try:
        found = [(problem.where(), problem.message, "schema") for problem in schema_of(f"{kind}-{version}").problems(document)]
        more = (
            semantic.cyclonedx(document)
            if kind == "cyclonedx"
            else semantic.spdx2(document)
            if version == "2.3"
            else semantic.spdx3(document)
        )
        found += [(row.problem.where(), row.problem.message, row.check) for row in more]
    except RecursionError as error:
        msg = "is nested too deeply"
        raise InputError(msg, where=file, code="BOM003") from error
    unique = list(dict.fromkeys(found))
    lines = lines_of(text, {keys for keys, _, _ in unique[:_MOST]})
    problems = [
        BomProblem(path=_path(keys), line=lines[keys], message=message, check=check)  # type: ignore[arg-type]
        for keys, message, check in unique[:_MOST]
    ]
    problems.sort(key=lambda row: row.line)
    return Validation(
        file=file,
        format="CycloneDX" if kind == "cyclonedx" else "SPDX",
        version=version,
        valid=not any(check == "schema" for _, _, check in unique),
        sound=not unique,
        problems=tuple(problems),
        omitted=max(0, len(unique) - _MOST),
    )


def decoded(content: bytes, file: str) -> tuple[str, dict[str, Any]]:
    """Return a document as text and as values. Raises InputError when it is no JSON object."""
    if len(content) > LARGEST:
        msg = f"is larger than {LARGEST:,} bytes"
        raise InputError(msg, where=file, code="BOM002")
    try:
        text = content.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        msg = f"is not UTF-8: {error.reason} at byte {error.start}"
        raise InputError(msg, where=file, code="BOM002") from error
    except (ValueError, RecursionError) as error:
        msg = f"is not JSON: {error}"
        raise InputError(msg, where=file, code="BOM002", help="XML, YAML and tag-value documents are not read here") from error
    if not isinstance(document, dict):
        msg = "is no JSON object"
        raise InputError(msg, where=file, code="BOM002")
    return text, document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:index]))
        msg = f"the key {twice!r} is there twice in one object; readers differ in which they take"
        raise ValueError(msg)
    return found


def _constant(name: str) -> None:
    msg = f"{name} is no number of JSON"
    raise ValueError(msg)


def kind_of(document: dict[str, Any], file: str) -> tuple[str, str]:
    """Return the format and the version of a document. Raises InputError when they are not known."""
    hint = f"known are CycloneDX {', '.join(CYCLONEDX)}, SPDX 2.3 and 3.0.1"
    if document.get("bomFormat") == "CycloneDX" or "specVersion" in document:
        version = document.get("specVersion")
        if version in CYCLONEDX:
            return "cyclonedx", str(version)
        msg = f"is CycloneDX of version {str(version)[:20]!r}, which is not known here"
    elif "spdxVersion" in document:
        if document["spdxVersion"] == "SPDX-2.3":
            return "spdx", "2.3"
        msg = f"is {str(document['spdxVersion'])[:20]!r}, which is not known here"
    elif "@context" in document:
        context = str(document["@context"])
        if "/3.0.1/" in context or "/3.0.0/" in context:
            return "spdx", "3.0.1"
        msg = f"has the context {context[:100]!r}, which is not that of SPDX 3.0.1"
    else:
        msg = "is no bill of materials: it has neither bomFormat, nor spdxVersion, nor @context"
    raise InputError(msg, where=file, code="BOM003", help=hint)


def _path(keys: Keys) -> str:
    found = "$"
    for key in keys:
        found += f"[{key}]" if isinstance(key, int) else f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"
    return found
