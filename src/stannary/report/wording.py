"""Words and numbers that all reports share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what counts files and sizes pays for no scan's types
    from stannary.checks.static.result import ScanFinding, ScanResult, TargetResult, Verdict

__all__ = [
    "VERDICTS",
    "VERDICT_MEANING",
    "counted",
    "file_count",
    "first_sentence",
    "headline",
    "human_seconds",
    "human_size",
    "location",
    "tally",
]

# Worst first.
VERDICTS: tuple[Verdict, ...] = ("unsafe", "suspicious", "incomplete", "unverified", "clean")
VERDICT_MEANING: dict[str, str] = {
    "unsafe": "Loading this can run code or reach files, as shown below. Do not load it.",
    "suspicious": "Something here has no place in a model. Read the findings before you load it.",
    "incomplete": "Nothing bad was found in what could be read, but part of it could not be read. It is not clean.",
    "unverified": "Nothing bad was found, but it uses names that nobody here knows.",
    "clean": "Everything that a loader would interpret was read, and nothing was found.",
}


def human_size(count: int) -> str:
    """Return bytes in decimal units: `512 B`, `1.2 kB`, `2.1 GB`."""
    size = float(count)
    if size < 1000:  # noqa: PLR2004 - decimal units
        return f"{count} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95 or unit == "TB":  # noqa: PLR2004 - would print as 1000.0
            return f"{size:.1f} {unit}"
    return f"{size:.1f} TB"


def human_seconds(seconds: float) -> str:
    """Return a duration: `12 ms`, `1.3 s`, `2 min 05 s`."""
    if seconds < 0.9995:  # noqa: PLR2004 - would print as 1000 ms
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.95:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return `1 file`, `12,000 files`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def first_sentence(text: str, limit: int = 200) -> str:
    """Return the first sentence of a rule's text, on one line."""
    flat = " ".join(text.split())
    end = flat.find(". ")
    sentence = flat if end < 0 else flat[: end + 1]
    return sentence if len(sentence) <= limit else f"{sentence[: limit - 1].rstrip()}…"


def location(finding: ScanFinding) -> str:
    """Return where in its file a finding is: `archive/data.pkl @ 12`, `line 3`, or nothing. Not escaped."""
    where = finding.part
    if finding.line is not None:
        return f"{where} line {finding.line}".strip()
    if finding.offset is not None:
        return f"{where} @ {finding.offset}".strip()
    return where


def file_count(target: TargetResult) -> int:
    """Return how many files a target has: a folder that was read as a whole is none."""
    return sum(file.format != "repository" for file in target.files)


def tally(result: ScanResult) -> Counter[str]:
    """Count the files by verdict."""
    return Counter(file.verdict for target in result.targets for file in target.files)


def headline(result: ScanResult) -> str:
    """Return `scanned 2.1 GB in 1.3 s · 12 files · 1 unsafe · 11 clean`."""
    counts = tally(result)
    total = result.summary.bytes
    unread = sum(file.size for target in result.targets for file in target.files if file.status == "failed")
    done, amount = human_size(max(0, total - unread)), human_size(total)
    if done != amount:
        amount = f"{done} of {amount}"
    parts = [
        f"scanned {amount} in {human_seconds(result.summary.seconds)}",
        counted(result.summary.files, "file"),
        *(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS if counts[verdict]),
    ]
    if result.summary.waived:
        parts.append(f"{result.summary.waived:,} waived")
    broken = sum(bool(target.errors) for target in result.targets)
    if broken:
        parts.append(f"{counted(broken, 'target')} with errors")
    return " · ".join(parts)
