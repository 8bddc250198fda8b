"""A story for a terminal: decisions first, then what they went by, then where it came from."""

from __future__ import annotations

from collections.abc import Iterable

from stannary.evidence.story import Link, Story
from stannary.report.escape import inline

__all__ = ["render"]


def render(story: Story) -> str:
    """Return the story as text."""
    name = inline(story.name) or "artifact"
    lines = [name, f"  {story.subject}", ""]
    for told in story.decisions:
        until = f", stands until {told.stands_until:%Y-%m-%d %H:%M}" if told.stands_until else ""
        lines.append(f"{told.verdict.upper()} by policy {inline(told.policy)} on {told.decision.issued:%Y-%m-%d %H:%M}{until}")
        lines += [f"  {inline(reason, 300)}" for reason in told.reasons]
        lines += ["  it went by:" if told.evidence else "  it went by nothing", *(f"  {row}" for row in _links(told.evidence))]
        lines += [*_links([told.decision]), ""]
    if not story.decisions:
        lines += ["No decision was made about it.", "  next: stannary gate TARGET --policy baseline", ""]
    if story.evidence:
        lines += ["Evidence", *_links(story.evidence), ""]
    if story.origin:
        lines += ["Where it comes from", *(f"  {inline(row, 300)}" for row in story.origin), ""]
    if story.refused:
        lines += ["Refused (counts for nothing)", *(f"  {inline(row, 300)}" for row in story.refused), ""]
    lines.append(f"All of it is under the signed head of {inline(story.log)}: {story.size:,} entries, root {story.root[:16]}.")
    lines.append("Verify without trusting this machine: stannary evidence export DIR; stannary ledger head")
    return "\n".join(lines) + "\n"


def _links(links: Iterable[Link]) -> list[str]:
    return [
        f"  [{link.id[7:19]}] {link.kind}: {inline(link.says, 300)}; signed by {inline(link.signer)} on {link.issued:%Y-%m-%d}"
        f"{f', until {link.expires:%Y-%m-%d}' if link.expires else ''}; {link.verify}"
        for link in links
    ]
