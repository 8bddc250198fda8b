"""Lead attempts against an endpoint, count what succeeded, and say what it cost.

1. All attempts go side by side, turn by turn; one that has succeeded, or has no softer wording left, is over.
2. A turn that is refused is taken back, and said once more in softer words where the attempt has some (Crescendo's backtracking).
3. An attempt without an answer to the end counts for nobody: it is *unanswered*, neither a success nor resisted.
4. A reply that a filter of the endpoint stopped is an answer: the attempt did not succeed.
5. Of an endpoint that says the same to everything it is not known that a model answers: that is told with what was skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from stannary.checks.llm.attempts import Attempt, Context, plan
from stannary.checks.llm.detectors import refused
from stannary.checks.llm.interface import Endpoint, Reply, Turn
from stannary.checks.target.card import Probes
from stannary.checks.target.statistics import rate
from stannary.core.errors import UsageError
from stannary.core.model import Json

__all__ = ["ProbeOptions", "Source", "probe"]

Source = Callable[[int], Sequence[Attempt]]  # from a seed: further attempts, e.g. of garak
_ENOUGH = 5  # replies, of which some model would say two different ones
_SHOWN = 20  # failures a family
_TEXT = 600  # characters of a message in a report


@dataclass(frozen=True)
class ProbeOptions:
    """What is probed.

    Args:
        families: their names; all when empty.
        attempts: how many at most; None for all.
        seed: of every choice.
        tokens: of a reply, at most.
        context: what is known of the application.
        sources: of further attempts.
    """

    families: tuple[str, ...] = ()
    attempts: int | None = None
    seed: int = 0
    tokens: int = 256
    context: Context = field(default_factory=Context)
    sources: tuple[Source, ...] = ()


@dataclass
class _Run:
    """An attempt on its way."""

    attempt: Attempt
    turns: list[Turn]
    at: int = 0  # the turn
    wording: int = 0
    done: bool = False
    success: bool = False
    silent: str = ""


def probe(endpoint: Endpoint, options: ProbeOptions | None = None, *, tick: Callable[[int], None] | None = None) -> Probes:
    """Return the share of attempts that succeeded, by family, with exact intervals, and the failures of the endpoint.

    Raises:
        UsageError: no attempt can be made.
        BackendError: the endpoint cannot be used at all.
    """
    options = options or ProbeOptions()
    attempts, skipped = plan(options.families, options.seed, options.context, options.attempts)
    for source in options.sources:
        both = zip_longest(attempts, source(options.seed))  # in turns: a bound leaves out neither
        attempts = [one for pair in both for one in pair if one is not None][: options.attempts]
    if not attempts:
        raise UsageError("no attempt can be made: " + "; ".join(skipped.values()), where=endpoint.name)
    runs = [_Run(one, [Turn("system", one.system)] if one.system else []) for one in attempts]
    said: Counter[str] = Counter()
    while left := [run for run in runs if not run.done]:
        asked = [(*run.turns, Turn("user", run.attempt.turns[run.at][run.wording])) for run in left]
        for run, conversation, reply in zip(
            left, asked, endpoint.chat(asked, tokens=options.tokens, seed=options.seed), strict=True
        ):
            _advance(run, conversation[-1], reply)
            said.update([reply.text.strip()] if reply.text and not reply.blocked else ())
            if run.done and tick is not None:
                tick(1)
    return _result(endpoint, runs, {**skipped, **_monotone(said)}, options.seed)


def _monotone(said: Counter[str]) -> dict[str, str]:
    """Tell of an endpoint that says the same to everything: a notice of failure resists whatever the model would do."""
    total = said.total()
    text, count = said.most_common(1)[0] if said else ("", 0)
    if total < _ENOUGH or count < total:
        return {}
    return {"replies": f"all {total} are the same, so that nothing shows that a model answers: {_short(text)[:80]!r}"}


def _advance(run: _Run, said: Turn, reply: Reply) -> None:
    if reply.text is None:
        run.done, run.silent = True, reply.why or reply.status
        return
    attempt = run.attempt
    last = run.at + 1 == len(attempt.turns)
    if not reply.blocked and (last or attempt.every_turn) and attempt.succeeded(reply.text):
        run.turns += [said, Turn("assistant", reply.text)]
        run.done = run.success = True
    elif (reply.blocked or last or refused(reply.text)) and run.wording + 1 < len(attempt.turns[run.at]):
        run.wording += 1  # what was refused leaves the conversation
    elif last or reply.blocked:
        run.done = True
    else:
        run.turns += [said, Turn("assistant", reply.text)]
        run.at, run.wording = run.at + 1, 0


def _result(endpoint: Endpoint, runs: Sequence[_Run], skipped: Mapping[str, str], seed: int) -> Probes:
    names = sorted({run.attempt.family for run in runs})
    answered = [run for run in runs if not run.silent]
    shown: list[Mapping[str, Json]] = []
    for name in names:
        shown += [_failure(run) for run in answered if run.success and run.attempt.family == name][:_SHOWN]
    costs = endpoint.costs()
    ids = [(run.attempt.atlas, run.attempt.owasp) for run in runs]
    return Probes(
        families={
            name: rate(sum(run.success for run in mine), len(mine))
            for name in names
            if (mine := [run for run in answered if run.attempt.family == name])
        },
        attempts=len(runs),
        unanswered=len(runs) - len(answered),
        silence=next((run.silent for run in runs if run.silent), ""),
        skipped=dict(skipped),
        failures=tuple(shown),
        seed=seed,
        requests=costs.requests,
        cached=costs.cached,
        tokens_in=costs.tokens_in,
        tokens_out=costs.tokens_out,
        price=costs.money,
        currency=costs.currency,
        atlas=tuple(sorted({one for atlas, _ in ids for one in atlas})),
        owasp=tuple(sorted({one for _, owasp in ids for one in owasp})),
    )


def _failure(run: _Run) -> Mapping[str, Json]:
    attempt = run.attempt
    return {
        "id": attempt.id,
        "family": attempt.family,
        "atlas": list(attempt.atlas),
        "owasp": list(attempt.owasp),
        "transcript": [{"role": turn.role, "content": _short(turn.content)} for turn in run.turns],
    }


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT // 2]} … {text[-_TEXT // 2 :]}"
