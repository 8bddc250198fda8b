"""The suites that are asked for, one after another; of `--suite all` those that the model and the data allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stannary.app import evaluation_suites as suites
from stannary.app.evaluation_labels import labels
from stannary.app.evaluation_poisoning import poisoning
from stannary.app.evaluation_request import Request
from stannary.app.guarding import Note
from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.target.counting import Counting
    from stannary.checks.target.data import Dataset
    from stannary.checks.target.interface import Target

__all__ = ["run_suites"]

_FEWEST_CLASSES, _FEWEST_ROWS = 3, 200  # for a backdoor to be looked for by both of its signs


def run_suites(
    target: Counting, data: tuple[Dataset, Dataset], request: Request, note: Note, surrogate: Target | None = None
) -> tuple[dict[str, suites.Suite], tuple[str, ...]]:
    """Run what is asked for on a sample and the whole of the data; return what was found, and why a suite of `all` is not in it.

    Raises:
        StannaryError: as the suites; of those that only `all` asked for, what the model or the data do not allow is a reason.
    """
    sampled, whole = data
    steps: dict[str, tuple[str, Callable[[], suites.Suite]]] = {
        "robustness": (
            f"attacking {len(sampled)} samples",
            lambda: suites.robustness(target, (sampled, whole), request, surrogate),
        ),
        "privacy": (
            f"asking who was in the training data, with {request.shadows} shadow models",
            lambda: suites.privacy(target, whole, request),
        ),
        "backdoor": ("looking for a backdoor", lambda: suites.backdoor(target, whole, request)),
        "labels": ("looking for wrong labels", lambda: labels(target, whole, request)),
        "poisoning": ("training models on poisoned data", lambda: poisoning(target, whole, request)),
    }
    found: dict[str, suites.Suite] = {}
    left: list[str] = []
    for name, (said, run) in steps.items():
        if name not in request.suites:
            continue
        optional = name in request.optional
        why = _backdoor_lacks(target, whole) if optional and name == "backdoor" else ""
        if not why:
            note(said)
            try:
                found[name] = run()
            except (InputError, UsageError) as error:
                if not optional:
                    raise
                why = error.message
        if optional and name == "backdoor" and name in found and target.classes < _FEWEST_CLASSES:
            why = "" if found[name].part.verdict == "alarm" else "of two classes nothing but an alarm is told, and there is none"
            if why:
                del found[name]
        left += [f"--suite {name} was left out: {why}"] if why else []
    return found, tuple(left)


def _backdoor_lacks(target: Counting, data: Dataset) -> str:
    """Return what is missing to look for a backdoor, where nothing conclusive can come of it."""
    if target.access != "white":
        return f"it takes gradients, and the model offers {target.access}"
    return f"it takes {_FEWEST_ROWS} rows, and there are {len(data)}" if len(data) < _FEWEST_ROWS else ""
