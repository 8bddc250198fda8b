"""What makes the evidence that a requirement asks for: the next command of a reason."""

from __future__ import annotations

from stannary.policy.model import Requirement

__all__ = ["command_for"]

_COMMANDS = {
    "model-scan": "stannary scan TARGET --record",
    "model-signature": "stannary sign TARGET --record",
    "cyclonedx": "stannary bom TARGET --record",
    "spdx": "stannary bom TARGET --format spdx --record",
    "training-run": "`with stannary.training_run(...)` around the training (docs/how-to/record-a-training-run.md)",
}
_SUITES = (
    "robustness",
    "privacy",
    "backdoor",
    "labels",
    "poisoning",
    "llm",
)  # what `stannary evaluate` measures and records under these names


def command_for(requirement: Requirement) -> str:
    """Return the command, or what to do where no command of ours makes it."""
    kind, check = requirement.kind, requirement.check
    if kind == "statement":
        decision = " --decision approve" if requirement.approvals is not None or check == "approval" else ""
        return f"stannary attest TARGET --topic {check or 'TOPIC'}{decision} --statement TEXT"
    attest = f"stannary attest TARGET --kind {kind} --predicate FILE"
    if kind == "eval-result":
        if check in _SUITES:
            return f"stannary evaluate TARGET --data FILE --suite {check} --record"
        if not check:
            return f"{attest} (`stannary schema predicate:{kind}` says what stands in it)"
        waived = f"stannary attest TARGET --kind waiver --rule {requirement.name} --reason TEXT --owner WHO --expires 30d"
        return (
            f"stannary has no check of {check} yet: somebody measures it with another tool and states the result by {attest}, "
            f"where FILE names {check} as its check (docs/how-to/gate-a-release.md has one to copy)"
            + (f"; or who answers for it waives it for a while: {waived}" if requirement.waivable else "")
        )
    return _COMMANDS.get(kind, attest)
