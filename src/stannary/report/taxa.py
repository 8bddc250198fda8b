"""The classifications that rules refer to: CWE, MITRE ATLAS, OWASP (LLM and ML top ten)."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["TAXONOMIES", "Taxonomy", "taxonomy", "taxonomy_name", "url_of"]


class Taxonomy(NamedTuple):
    """Where a classification is published. The GUID is ours, fixed, so that runs can be compared."""

    guid: str
    organization: str
    version: str
    uri: str
    text: str


TAXONOMIES: dict[str, Taxonomy] = {
    "CWE": Taxonomy(
        "4d1f0a6e-5c0b-4f55-9d0e-2f9b5f1c7a10", "MITRE", "4.17", "https://cwe.mitre.org/", "Common Weakness Enumeration."
    ),
    "ATLAS": Taxonomy(
        "8a3c2f57-93b4-4f0a-8a3b-6f0d3f2b9e21",
        "MITRE",
        "5.6.0",
        "https://atlas.mitre.org/",
        "Adversarial Threat Landscape for Artificial-Intelligence Systems.",
    ),
    "OWASP": Taxonomy(
        "c6b8f1de-0e5d-4d8e-b7a9-51f0d2c4e832",
        "OWASP",
        "2025",
        "https://genai.owasp.org/llm-top-10/",
        "OWASP Top 10 for LLM applications and for machine learning.",
    ),
}


def taxonomy_name(ident: str) -> str | None:
    """Return the name of the taxonomy an identifier belongs to."""
    if ident.startswith("CWE-"):
        return "CWE"
    if ident.startswith("AML."):
        return "ATLAS"
    return "OWASP" if ident[:2] in {"LL", "ML"} else None


def url_of(ident: str) -> str | None:
    """Return the public page of an identifier."""
    if ident.startswith("CWE-") and ident[4:].isdigit():
        return f"https://cwe.mitre.org/data/definitions/{ident[4:]}.html"
    if ident.startswith("AML.T"):
        return f"https://atlas.mitre.org/techniques/{ident}"
    return TAXONOMIES["OWASP"].uri if ident[:2] == "LL" else None


def taxonomy(name: str, idents: list[str]) -> dict[str, Any]:
    """Return a SARIF toolComponent (§3.19) that holds the taxa named."""
    about = TAXONOMIES[name]
    taxa = []
    for ident in idents:
        url = url_of(ident)
        taxa.append({"id": ident, **({"helpUri": url} if url else {})})
    return {
        "name": name,
        "guid": about.guid,
        "version": about.version,
        "organization": about.organization,
        "informationUri": about.uri,
        "shortDescription": {"text": about.text},
        "isComprehensive": False,
        "taxa": taxa,
    }
