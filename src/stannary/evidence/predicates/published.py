"""Predicate types that others published, as far as a gate looks into them.

Sources: in-toto/attestation spec/predicates (test-result v0.1, vuln v0.2, cyclonedx, spdx), SLSA
provenance v1 and verification summary v1, OpenSSF model signing v1.0. Only fields that are read are named.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from stannary.core.evidence import Resource
from stannary.core.model import Json

__all__ = ["Composition", "CycloneDx", "Document", "SlsaProvenance", "TestResult", "VerificationSummary", "Vulnerabilities"]

Time = Annotated[datetime, msgspec.Meta(tz=True)]


class TestResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """https://in-toto.io/attestation/test-result/v0.1: tests that were run on the subject."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[dict[str, Json], ...]
    url: str = ""
    passed_tests: tuple[str, ...] = ()
    warned_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()


class _Metadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    scan_started_on: Time | None = None
    scan_finished_on: Time | None = None


class _Severity(msgspec.Struct, frozen=True, kw_only=True):
    method: str = ""
    score: str = ""


class _Vulnerability(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    severity: tuple[_Severity, ...] | _Severity = ()


class _Scanner(msgspec.Struct, frozen=True, kw_only=True):
    uri: str = ""
    version: str = ""
    result: tuple[_Vulnerability, ...] = ()


class Vulnerabilities(msgspec.Struct, frozen=True, kw_only=True):
    """https://in-toto.io/attestation/vulns/v0.2: known vulnerabilities in the subject."""

    scanner: _Scanner
    metadata: _Metadata = _Metadata()


class _Builder(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class _BuildMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    invocation_id: str = ""
    started_on: Time | None = None
    finished_on: Time | None = None


class _BuildDefinition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    build_type: str
    external_parameters: dict[str, Json] = {}
    resolved_dependencies: tuple[dict[str, Json], ...] = ()


class _RunDetails(msgspec.Struct, frozen=True, kw_only=True):
    builder: _Builder
    metadata: _BuildMetadata = _BuildMetadata()


class SlsaProvenance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """https://slsa.dev/provenance/v1: how the subject was built."""

    build_definition: _BuildDefinition
    run_details: _RunDetails

    @property
    def inputs(self) -> tuple[Resource, ...]:
        """Return what went into the build, as far as it has digests."""
        rows = self.build_definition.resolved_dependencies
        return tuple(msgspec.convert(row, Resource) for row in rows if row.get("digest"))


class _Verifier(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: dict[str, str] = {}


class VerificationSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """https://slsa.dev/verification_summary/v1: what a policy decided about the subject."""

    verifier: _Verifier
    time_verified: Time
    resource_uri: str
    policy: dict[str, Json]
    verification_result: Literal["PASSED", "FAILED"]
    verified_levels: tuple[str, ...] = ()
    input_attestations: tuple[dict[str, Json], ...] = ()


class Document(msgspec.Struct, frozen=True):
    """A whole document as the predicate: a CycloneDX or SPDX bill of materials, the manifest of a model signature."""


class Composition(msgspec.Struct, frozen=True):
    """How complete a part of a CycloneDX document is, as it says itself."""

    aggregate: str = ""
    assemblies: tuple[str, ...] = ()


class CycloneDx(msgspec.Struct, frozen=True, rename="camel"):
    """https://cyclonedx.org/bom: what of a CycloneDX document a gate asks for; the document is the predicate, whole."""

    bom_format: Literal["CycloneDX"]
    spec_version: str
    compositions: tuple[Composition, ...] = ()
