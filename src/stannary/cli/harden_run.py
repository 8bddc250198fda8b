"""What `stannary harden` does once its command line is read: harden, report, record, exit code."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stannary.cli import exits
from stannary.cli.evaluate_run import needs_torch, outputs_of, written
from stannary.cli.talk import Talk, wants_color
from stannary.cli.workspace import open_workspace
from stannary.core.clock import system_clock
from stannary.core.errors import UsageError
from stannary.report.escape import inline
from stannary.report.hardening import renderer
from stannary.report.hardening.words import VERDICTS

if TYPE_CHECKING:
    from stannary.evidence.chain import Recorded
    from stannary.harden.card import HardeningResult

__all__ = ["start"]


def start(given: Mapping[str, Any], talk: Talk) -> int:
    """Do what the options of the command line ask for and return the exit code. Raises what the error tree has."""
    outputs = outputs_of(given["formats"], given["report"], renderer)
    limit = given["max_epsilon"]
    if limit is not None and not given["record"]:
        msg = "--max-epsilon bounds what the ledger has seen: add --record"
        raise UsageError(msg, code="USE013", help="stannary harden --help")
    workspace = open_workspace(given["workspace"], offline=given["offline"]) if given["record"] else None
    needs_torch()
    from stannary.app.hardening import harden
    from stannary.app.hardening_record import record_hardening, spender, training_data
    from stannary.app.hardening_request import HardenRequest

    request = HardenRequest.of(given)

    def tell(recorded: Recorded) -> None:
        talk.note(f"recorded {recorded.id.hex[:12]} about {recorded.subject} as entry {recorded.receipt.index}")

    started = system_clock()
    data = training_data(request) if workspace is not None else None
    if workspace is None or data is None:
        result = harden(request, note=talk.detail)
    else:
        result = harden(request, note=talk.detail, agree=spender(data, workspace, limit, tell))
    for name, path in outputs.items():
        color = not path and name == "table" and wants_color(sys.stdout, talk.color)
        written(renderer(name)(result, color=color), name, path, talk)
    if workspace is not None and data is not None:
        for recorded in record_hardening(result, request, data, workspace, started):
            tell(recorded)
    elif result.privacy is not None:
        talk.note("what this spends of the data's privacy is on no ledger: --record")
    if "table" not in outputs or outputs["table"]:
        talk.verdict(f"{VERDICTS[result.verdict]}: {inline(result.output)}")
    return exits.CLEAN if given["exit_zero"] else _code(result)


def _code(result: HardeningResult) -> int:
    codes = [exits.CLEAN if result.verdict == "hardened" else exits.DENIED]
    codes += [exits.INCOMPLETE] if result.before.incomplete or result.after.incomplete else []
    return exits.worst(codes)
