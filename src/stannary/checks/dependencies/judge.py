"""`requirements.*` facts to findings: where packages come from, what their names imitate, known vulnerabilities."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stannary.checks.dependencies.advisories import Advisories
from stannary.checks.dependencies.names import lookalike
from stannary.checks.static.judges.addresses import doubtful_address
from stannary.checks.static.judges.word_sets import words
from stannary.checks.static.ruleset import Hit
from stannary.formats.interface import Fact

__all__ = ["judge", "match_advisories"]

_USUAL = {("pypi", "org"), ("pythonhosted", "org")}  # the public index: what every installer takes when nothing is said
_INDEX_OPTIONS = frozenset({"--index-url", "--extra-index-url", "--find-links"})
_LOCAL = re.compile(r"^(?:(?:https?://)?(?:localhost|127\.0\.0\.1)(?:[:/]|$)|\.{0,2}/|\.{1,2}$)")
_ELSEWHERE = re.compile(
    r"\.\.[\\/]\.\.|[/~]"
)  # conda writes `name @ file:///...` of where it built it: its own work, not another's
_COMMIT = re.compile(r"@[0-9a-f]{40}\b")
_OWNER = re.compile(r"(?:://|@)[^/\s:]+[/:]([\w.-]+)/")
_HOST = re.compile(r"^https://(?:[^/@?#\\]*@)?([a-z0-9.-]+)", re.IGNORECASE)


def judge(facts: Sequence[Fact]) -> Iterator[Hit]:
    """Judge the dependency lists of one file."""
    unpinned = 0
    for fact in facts:
        if fact.kind == "requirements.entry":
            unpinned += fact.data["source"] == "pypi" and fact.data["version"] is None and not fact.data["specifier"]
            yield from _entry(fact)
        elif fact.kind == "requirements.option":
            yield from _option(fact)
        elif fact.kind == "requirements.file" and unpinned:
            yield Hit("DEP001", fact, f"{unpinned} of {fact.data['entries']} dependencies have no version")


def match_advisories(facts: Sequence[Fact], advisories: Advisories) -> Iterator[Hit]:
    """Yield a finding for each vulnerability of each pinned dependency."""
    for fact in facts:
        if fact.kind != "requirements.entry" or not fact.data["version"] or not fact.data["name"]:
            continue
        for found in advisories.affecting(fact.data["name"], fact.data["version"]):
            what = f"{found.project} {fact.data['version']}: {found.id}"
            fixed = f", fixed in {', '.join(found.fixed[:4])}" if found.fixed else ""
            evidence = {
                **fact.data,
                "advisory": found.id,
                "aliases": list(found.aliases),
                "fixed": list(found.fixed),
                "summary": found.summary,
            }
            yield Hit("DEP008" if found.malicious else "DEP007", fact, f"{what}{fixed}: {found.summary}", evidence, found.severity)


def _entry(fact: Fact) -> Iterator[Hit]:
    data = fact.data
    address = data["url"]
    if data["source"] in {"url", "vcs"}:
        if doubtful_address(address):
            yield Hit("DEP003", fact)
        else:
            known = data["source"] != "vcs" or _COMMIT.search(address) or _publisher(address) in words("known_publishers")
            yield Hit("DEP002", fact, None, None, "info" if known else "low")
    if data["source"] == "path" and _ELSEWHERE.match(address):
        yield Hit("DEP002", fact, f"installs {address[:120]}, which is not in the folder", None, "low")
    if data["name"] and data["source"] in {"pypi", "conda", "url", "vcs"}:
        similar = lookalike(data["name"])
        if similar is not None and data["source"] == "pypi":
            yield Hit(
                "DEP004",
                fact,
                f"{data['name']} looks like {similar.target} ({similar.how})",
                {**data, "target": similar.target, "how": similar.how},
            )


def _publisher(address: str) -> str:
    """Return the owner of a repository by its address, in lower case; empty when there is none."""
    found = _OWNER.search(address)
    return found[1].lower() if found else ""


def _option(fact: Fact) -> Iterator[Hit]:
    option, value = fact.data["option"], fact.data["value"]
    if option == "--trusted-host":
        known = _of_a_framework(value if "://" in value else f"https://{value}") or _LOCAL.match(value)
        yield Hit("DEP006", fact, None, None, "low" if known else "medium")
    elif option == "channel":
        if doubtful_address(value):
            yield Hit("DEP003", fact, f"packages come from {value}")
    elif option in {"--requirement", "--constraint"} and doubtful_address(value):
        yield Hit("DEP003", fact, f"more requirements come from {value}")
    elif option in _INDEX_OPTIONS and not _LOCAL.match(value):
        if doubtful_address(value):
            yield Hit("DEP003", fact, f"packages come from {value}")
        else:
            # An index besides the main one is a race for names, and one in its place is all there is: whose is it?
            quiet = _of_a_framework(value) or not _HOST.match(value)
            unknown = value.startswith("$")  # the whole address, not only its password, is the environment's
            yield Hit("DEP005", fact, None, None, "low" if unknown else "info" if quiet else "medium")


def _of_a_framework(address: str) -> bool:
    found = _HOST.match(address)
    labels = found.group(1).lower().split(".") if found else []
    if tuple(labels[-2:]) in _USUAL:
        return True
    return any(".".join(labels[start:]) in words("framework_domains") for start in range(len(labels)))
