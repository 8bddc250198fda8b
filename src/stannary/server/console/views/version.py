"""A version with its chain of evidence and findings; two versions compared; a statement with its proof; lineage."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from stannary.core.errors import PolicyDenied, StannaryError
from stannary.core.model import Digest
from stannary.crypto import dsse
from stannary.evidence.chain import Chain
from stannary.evidence.ledger import Receipt
from stannary.evidence.statement import decode, filed_about
from stannary.evidence.story import Story, Told, story_of
from stannary.evidence.verify import verify_envelope
from stannary.registry import queries
from stannary.registry.compare import Difference, compare
from stannary.registry.labels import labels_of
from stannary.registry.measured import ReportCard, card_of
from stannary.registry.model import Version
from stannary.registry.shredded import PastShredding, shredding_of, shreddings
from stannary.report.registry import FileRow
from stannary.server.console.page import Page, Shown
from stannary.server.console.views.asked import MODEL, VERSION, digest_in, may_see, number_in
from stannary.server.console.views.chain import Step, steps
from stannary.server.console.views.charts import Line, curves
from stannary.server.operations import Call
from stannary.server.sight import no_statement, sees

__all__ = ["PAGES"]

_FILES = 200
_FINDINGS = 200


class RuleRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is about, in the words of its description."""

    title: str
    what: str
    why: str
    exploit: str
    fix: str


class FindingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of the newest scan, and the statement that it stands in."""

    rule: str
    severity: str
    file: str
    message: str
    evidence: str


class VersionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A version with all that is known of it. `findings_left` and `files_left`: how many are not listed.

    `decision`: the newest one. `shredded`: by what it became unreadable, when the key of its namespace was destroyed.
    """

    schema: str = "stannary.console.version/1"
    version: Version
    shredded: PastShredding | None
    chain: tuple[Step, ...]
    story: Story
    decision: Told | None
    card: ReportCard | None
    curves: tuple[Line, ...]
    findings: tuple[FindingRow, ...]
    findings_left: int
    rules: dict[str, RuleRow]
    files: tuple[FileRow, ...]
    files_left: int
    aliases: tuple[str, ...]
    description: str
    tags: dict[str, str]
    rights: dict[str, bool]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions of a model, side by side."""

    schema: str = "stannary.console.compare/1"
    name: Any
    first: int
    second: int
    numbers: tuple[int, ...]
    difference: Difference


class StatementPage(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement: who signed it, what it says, the proof that it is logged, or why it counts for nothing."""

    schema: str = "stannary.console.statement/1"
    id: str
    kind: str
    subject: str
    versions: tuple[Version, ...]
    signer: str
    keyid: str
    problem: str
    time: str
    statement: Any
    envelope: dsse.Envelope
    receipt: Receipt
    verify: str


def _version(call: Call) -> Shown:
    store = call.store
    found = store.show(call.reference(call.number()))
    story = story_of(store.chain, store.subject(found), admit=lambda other: sees(store, other))
    with store.reading() as connection:
        placed = queries.aliases(connection, found.name)
        label = labels_of(connection, found.name).get(found.number)
    rows, left = _findings(store.chain, found.digest)
    files = () if found.dropped else store.manifest(found).files
    rights = {
        action: store.may(action, found.name) for action in ("promote", "rollback", "approve", "quarantine", "freeze", "push")
    }
    card = card_of(store, found)
    shredded = shredding_of(found, shreddings(store.chain.ledger, since=found.entry)) if found.dropped else None
    data = VersionPage(
        version=found, shredded=shredded, chain=tuple(steps(found, story, placed, shredded)), story=story, card=card,
        decision=max(story.decisions, key=lambda told: told.decision.issued, default=None),
        curves=curves(card.rows) if card is not None else (), findings=rows, findings_left=left,
        rules=_stories({row.rule for row in rows}), aliases=tuple(sorted({"production", *(item.alias for item in placed)})),
        files=tuple(FileRow(file.path, file.size, file.sha256) for file in files[:_FILES]), files_left=max(0, len(files) - _FILES),
        rights=rights, description=(label.note or "") if label else "",
        tags={key: value for key, value in (label.tags if label else {}).items() if value is not None},
    )  # fmt: skip
    return Shown(template="version.html", title=str(found), data=data)


def _findings(chain: Chain, digest: str) -> tuple[tuple[FindingRow, ...], int]:
    """Return the findings of the newest statement of each check, the worst first, and how many were left out."""
    from stannary.core.model import severity_rank

    newest = {
        (item.value.kind, item.value.check.id): item.value for item in chain.about(Digest.parse(digest), decisions=False).evidence
    }
    rows = [
        FindingRow(rule=row.rule, severity=row.severity, file=row.where.file, message=row.message, evidence=str(value.id))
        for value in newest.values()
        for row in value.findings
    ]
    rows.sort(key=lambda row: (severity_rank(row.severity), row.rule, row.file))
    return tuple(rows[:_FINDINGS]), max(0, len(rows) - _FINDINGS)


@cache
def _rules() -> dict[str, RuleRow]:
    from stannary.checks.static.ruleset import load

    return {
        rule.id: RuleRow(title=rule.title, what=rule.what, why=rule.why, exploit=rule.exploit, fix=rule.fix)
        for rule in load().rules.values()
    }


def _stories(names: set[str]) -> dict[str, RuleRow]:
    return {name: _rules()[name] for name in sorted(names) if name in _rules()}


def _compare(call: Call) -> Shown:
    store, name = call.store, call.name
    with_numbers = store.versions(name, limit=200)
    numbers = tuple(item.number for item in with_numbers)
    second = number_in(call, "second") or (numbers[0] if numbers else 1)
    first = number_in(call, "first") or max((n for n in numbers if n < second), default=second)
    found = compare(store, call.reference(first), call.reference(second))
    data = Comparison(name=name, first=first, second=second, numbers=numbers, difference=found)
    return Shown(template="compare.html", title=f"{name}: {first} and {second}", data=data)


def _statement(call: Call) -> Shown:
    chain, name = call.store.chain, str(digest_in(call.path["id"]))
    row = chain.ledger.newest(name)
    if row is None or row.type not in ("evidence", "decision"):
        raise no_statement(name)
    envelope = msgspec.convert(row.body, dsse.Envelope)
    statement = decode(dsse.payload_of(envelope))
    about = filed_about(statement, row.subject)
    try:
        versions = may_see(call, about)
    except PolicyDenied as error:
        raise no_statement(name) from error
    signer = keyid = problem = ""
    try:
        item = verify_envelope(envelope, chain.workspace.trust.verifiers(), subject=about, recorded=row.time, index=row.index)
        signer, keyid = item.identity, item.keyid
    except StannaryError as error:
        problem = str(error)
    data = StatementPage(
        id=name, kind=row.kind, subject=row.subject, versions=tuple(versions), signer=signer, keyid=keyid, problem=problem,
        time=row.time.isoformat(), statement=msgspec.json.decode(dsse.payload_of(envelope)), envelope=envelope,
        receipt=chain.ledger.prove(row.index), verify=f"stannary ledger prove {row.index}",
    )  # fmt: skip
    return Shown(template="statement.html", title=f"{row.kind} {name[7:19]}", data=data)


PAGES = (
    Page(id="version", path=VERSION, run=_version),
    Page(id="compare", path=f"{MODEL}/compare", run=_compare),
    Page(id="statement", path="/evidence/{id}/statement", run=_statement),
)
