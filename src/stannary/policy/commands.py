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
_SUITES = ("robustness", "privacy", "backdoor", "labels", "llm")  # what `stannary evaluate` measures and records under these names


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
        named = f" whose check has the id {check}" if check else ""
        made = f"stannary does not measure {check} yet: measure it with a tool of yours, then " if check else ""
        waived = "" if not check or not requirement.waivable else f", or have it waived (--kind waiver --rule {requirement.name})"
        return f"{made}{attest}{named} (`stannary schema predicate:{kind}` says what stands in it){waived}"
    return _COMMANDS.get(kind, attest)
