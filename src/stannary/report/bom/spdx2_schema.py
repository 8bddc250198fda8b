"""SPDX 2.3 as a JSON Schema, from the tables of its specification: members, types, cardinalities, words.

The project's own schema is not shipped: its licence is another than that of the rest. This one says the same in the
form that `json_schema.py` compiles.
"""

from __future__ import annotations

from typing import Any

__all__ = ["SCHEMA"]

_TIME = {
    "type": "string",
    "pattern": r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]|23:59:60)Z$",
}
_STRING = {"type": "string"}
_STRINGS = {"type": "array", "items": _STRING}
_ID = {"type": "string", "pattern": "^SPDXRef-[a-zA-Z0-9.-]+$"}
_ALGORITHMS = (
    "SHA1 SHA224 SHA256 SHA384 SHA512 SHA3-256 SHA3-384 SHA3-512 BLAKE2b-256 BLAKE2b-384 BLAKE2b-512 BLAKE3 MD2 MD4 MD5 MD6 ADLER32"
)
_PURPOSES = "OTHER INSTALL ARCHIVE FIRMWARE APPLICATION FRAMEWORK LIBRARY CONTAINER SOURCE DEVICE OPERATING_SYSTEM FILE"
_FILE_TYPES = "OTHER DOCUMENTATION IMAGE VIDEO ARCHIVE SPDX APPLICATION SOURCE BINARY TEXT AUDIO"
_RELATIONS = (
    "VARIANT_OF COPY_OF PATCH_FOR TEST_DEPENDENCY_OF CONTAINED_BY DATA_FILE_OF OPTIONAL_COMPONENT_OF ANCESTOR_OF GENERATES"
    " CONTAINS OPTIONAL_DEPENDENCY_OF FILE_ADDED REQUIREMENT_DESCRIPTION_FOR DEV_DEPENDENCY_OF DEPENDENCY_OF"
    " BUILD_DEPENDENCY_OF DESCRIBES PREREQUISITE_FOR HAS_PREREQUISITE PROVIDED_DEPENDENCY_OF DYNAMIC_LINK DESCRIBED_BY"
    " METAFILE_OF DEPENDENCY_MANIFEST_OF PATCH_APPLIED RUNTIME_DEPENDENCY_OF TEST_OF TEST_TOOL_OF DEPENDS_ON"
    " SPECIFICATION_FOR FILE_MODIFIED DISTRIBUTION_ARTIFACT AMENDS DOCUMENTATION_OF GENERATED_FROM STATIC_LINK OTHER"
    " BUILD_TOOL_OF TEST_CASE_OF PACKAGE_OF DESCENDANT_OF FILE_DELETED EXPANDED_FROM_ARCHIVE DEV_TOOL_OF EXAMPLE_OF"
)
_CATEGORIES = "OTHER PERSISTENT-ID PERSISTENT_ID SECURITY PACKAGE-MANAGER PACKAGE_MANAGER"


def _words(text: str) -> dict[str, Any]:
    return {"type": "string", "enum": text.split()}


def _object(required: str, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas
    return {"type": "object", "required": required.split(), "properties": members, "additionalProperties": False}


def _array(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, **({"minItems": least} if least else {})}


_CHECKSUM = _object(
    "algorithm checksumValue", algorithm=_words(_ALGORITHMS), checksumValue={"type": "string", "pattern": "^[0-9a-fA-F]+$"}
)
_ANNOTATION = _object(
    "annotationDate annotationType annotator comment",
    annotationDate=_TIME,
    annotationType=_words("OTHER REVIEW"),
    annotator=_STRING,
    comment=_STRING,
)
_CROSS = _object(
    "url",
    isLive={"type": "boolean"},
    isValid={"type": "boolean"},
    isWayBackLink={"type": "boolean"},
    match=_STRING,
    order={"type": "integer"},
    timestamp=_STRING,
    url=_STRING,
)
_ITEM: dict[str, Any] = {
    "annotations": _array(_ANNOTATION),
    "attributionTexts": _STRINGS,
    "comment": _STRING,
    "copyrightText": _STRING,
    "licenseComments": _STRING,
    "licenseConcluded": _STRING,
    "name": _STRING,
}
_PACKAGE = _object(
    "SPDXID downloadLocation name",
    SPDXID=_ID,
    **_ITEM,
    builtDate=_TIME,
    checksums=_array(_CHECKSUM),
    description=_STRING,
    downloadLocation=_STRING,
    externalRefs=_array(
        _object(
            "referenceCategory referenceLocator referenceType",
            comment=_STRING,
            referenceCategory=_words(_CATEGORIES),
            referenceLocator=_STRING,
            referenceType=_STRING,
        )
    ),
    filesAnalyzed={"type": "boolean"},
    hasFiles=_STRINGS,
    homepage=_STRING,
    licenseDeclared=_STRING,
    licenseInfoFromFiles=_STRINGS,
    originator=_STRING,
    packageFileName=_STRING,
    packageVerificationCode=_object(
        "packageVerificationCodeValue", packageVerificationCodeExcludedFiles=_STRINGS, packageVerificationCodeValue=_STRING
    ),
    primaryPackagePurpose=_words(_PURPOSES),
    releaseDate=_TIME,
    sourceInfo=_STRING,
    summary=_STRING,
    supplier=_STRING,
    validUntilDate=_TIME,
    versionInfo=_STRING,
)
_FILE = _object(
    "SPDXID checksums fileName",
    SPDXID=_ID,
    **{name: schema for name, schema in _ITEM.items() if name != "name"},
    artifactOfs=_array({"type": "object"}),
    checksums=_array(_CHECKSUM, 1),
    fileContributors=_STRINGS,
    fileDependencies=_STRINGS,
    fileName=_STRING,
    fileTypes=_array(_words(_FILE_TYPES)),
    licenseInfoInFiles=_STRINGS,
    noticeText=_STRING,
)
_POINTER = _object("reference", reference=_STRING, offset={"type": "integer"}, lineNumber={"type": "integer"})
_SNIPPET = _object(
    "SPDXID name ranges snippetFromFile",
    SPDXID=_ID,
    **_ITEM,
    licenseInfoInSnippets=_STRINGS,
    ranges=_array(_object("endPointer startPointer", endPointer=_POINTER, startPointer=_POINTER), 1),
    snippetFromFile=_STRING,
)
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_object(
        "SPDXID creationInfo dataLicense name spdxVersion documentNamespace",
        SPDXID=_STRING,
        annotations=_array(_ANNOTATION),
        comment=_STRING,
        creationInfo=_object(
            "created creators", comment=_STRING, created=_TIME, creators=_array(_STRING, 1), licenseListVersion=_STRING
        ),
        dataLicense=_STRING,
        documentDescribes=_STRINGS,
        documentNamespace=_STRING,
        externalDocumentRefs=_array(
            _object(
                "checksum externalDocumentId spdxDocument", checksum=_CHECKSUM, externalDocumentId=_STRING, spdxDocument=_STRING
            )
        ),
        files=_array(_FILE),
        hasExtractedLicensingInfos=_array(
            _object(
                "extractedText licenseId",
                comment=_STRING,
                crossRefs=_array(_CROSS),
                extractedText=_STRING,
                licenseId=_STRING,
                name=_STRING,
                seeAlsos=_STRINGS,
            )
        ),
        name=_STRING,
        packages=_array(_PACKAGE),
        relationships=_array(
            _object(
                "relatedSpdxElement relationshipType spdxElementId",
                comment=_STRING,
                relatedSpdxElement=_STRING,
                relationshipType=_words(_RELATIONS),
                spdxElementId=_STRING,
            )
        ),
        revieweds=_array(_object("reviewDate", comment=_STRING, reviewDate=_TIME, reviewer=_STRING)),
        snippets=_array(_SNIPPET),
        spdxVersion=_STRING,
    ),
}
SCHEMA["properties"]["$schema"] = _STRING
