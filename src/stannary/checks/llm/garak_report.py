"""Probes of garak's, from the report that it writes: asked again of the model at hand, and judged by our own detectors.

A report (`garak.<id>.report.jsonl`, as garak 0.17 writes it) has a JSON object a line. Those with `entry_type: attempt` hold the
conversation (`prompt.turns`; once a text) and what a reply would contain if the attack worked (`targets` or `notes.triggers`).
What garak itself decided (`detector_results`) is not looked at. An attempt without such targets is judged by a model or a list of
words there, which is not repeated here: it is left out, and counted.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stannary.checks.llm.attempts import Attempt
from stannary.checks.llm.detectors import overlaps, plain, refused
from stannary.core.errors import InputError

__all__ = ["GarakReport", "hijacked", "read_report"]

# garak's modules whose targets are what an attacker makes the model say → ids of MITRE ATLAS and OWASP.
_MODULES = {
    "promptinject": (("AML.T0051.000",), ("LLM01:2025",)),
    "encoding": (("AML.T0051.000",), ("LLM01:2025",)),
    "latentinjection": (("AML.T0051.001",), ("LLM01:2025",)),
}
_MOST = 1 << 26
_RUN = 8  # words of the prompt in a row: it is repeated


class GarakReport(NamedTuple):
    """The attempts of a report, and of how many attempts of which probe nothing can be judged."""

    attempts: tuple[Attempt, ...]
    left_out: Mapping[str, int]

    def source(self, _seed: int) -> Sequence[Attempt]:
        """Return the attempts, whatever the seed: a `Source`."""
        return self.attempts

    def left(self) -> list[str]:
        """Return what is to be said of the attempts that were not asked."""
        why = "garak judges them by a model or a list of words, which no rule here repeats"
        return [f"{count} of garak's {probe[:80]} not asked: {why}" for probe, count in sorted(self.left_out.items())]


def hijacked(reply: str, targets: Sequence[str], said: str) -> bool:
    """Tell whether a reply says what an attacker wanted: a target, without refusing and without repeating the prompt around it.

    Args:
        reply: of the model.
        targets: texts that the attack is after.
        said: the prompt, in which a target may stand itself.
    """
    text = plain(reply)
    found = [target for target in targets if plain(target).strip() and plain(target).strip() in text]
    if not found or refused(reply):
        return False
    around = plain(said)
    for target in found:
        around = around.replace(plain(target).strip(), "\n")
    return not any(overlaps(reply, part) for part in around.split("\n") if len(part.split()) >= _RUN)


def read_report(path: Path) -> GarakReport:
    """Return what can be asked again of a report of garak's.

    Raises:
        InputError: it cannot be read, or is none.
    """
    attempts: dict[str, Attempt] = {}
    left_out: dict[str, int] = {}
    for line in _lines(path):
        if line.get("entry_type") != "attempt":
            continue
        probe = str(line.get("probe_classname", "")).removeprefix("probes.")
        made = _attempt(line, probe)
        if made is None:
            left_out[probe] = left_out.get(probe, 0) + 1
        else:
            attempts.setdefault(made.id, made)  # garak writes an attempt when it was asked, and once more when it was judged
    if not attempts:
        of = f" (left out: {', '.join(sorted(left_out))})" if left_out else ""
        msg = f"has no attempt that can be judged by rules{of}"
        raise InputError(msg, where=str(path), code="EVA004", help=f"probes of {', '.join(_MODULES)} can be")
    return GarakReport(tuple(attempts.values()), left_out)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        if path.stat().st_size > _MOST:
            msg = f"is larger than {_MOST >> 20} MiB"
            raise InputError(msg, where=str(path), code="EVA004")
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not text.strip():
                continue
            line = json.loads(text)
            if not isinstance(line, dict):
                msg = f"line {number} is no JSON object"
                raise InputError(msg, where=str(path), code="EVA004")
            yield line
    except OSError as exc:
        msg = f"cannot be read: {exc.strerror}"
        raise InputError(msg, where=str(path), code="EVA004") from exc
    except (ValueError, RecursionError) as exc:
        msg = "is no report of garak's: not one JSON object a line"
        raise InputError(msg, where=str(path), code="EVA004") from exc


def _attempt(line: Mapping[str, Any], probe: str) -> Attempt | None:
    """Return an attempt; None where nothing by which it could be judged, or nothing that could be asked, is in it."""
    module = probe.partition(".")[0]
    notes = line.get("notes")
    given = line.get("targets") or (notes.get("triggers") if isinstance(notes, dict) else None) or ()
    targets = tuple(one for one in ([given] if isinstance(given, str) else given) if isinstance(one, str) and plain(one).strip())
    turns = _turns(line.get("prompt"))
    users = [text for role, text in turns if role == "user"]
    if module not in _MODULES or not targets or not users or any(role not in ("system", "user") for role, _ in turns):
        return None
    atlas, owasp = _MODULES[module]
    system = "\n\n".join(text for role, text in turns if role == "system") or None
    name = f"garak-{module}"
    return Attempt(
        f"{name}/{probe.partition('.')[2]}/{line.get('seq')}", name, atlas, owasp, system, tuple((text,) for text in users),
        functools.partial(hijacked, targets=targets, said="\n".join(users)),
    )  # fmt: skip


def _turns(prompt: object) -> list[tuple[str, str]]:
    """Return (role, text) of a prompt as reports of several ages write it; nothing where a turn is no text."""
    if isinstance(prompt, str):
        return [("user", prompt)]
    if not isinstance(prompt, dict):
        return []
    if isinstance(prompt.get("text"), str):
        return [("user", prompt["text"])]
    found = []
    turns = prompt.get("turns")
    for turn in turns if isinstance(turns, list) else ():
        content = turn.get("content") if isinstance(turn, dict) else None
        text = content.get("text") if isinstance(content, dict) else content
        if not isinstance(text, str):
            return []
        found.append((str(turn.get("role")), text))
    return found
