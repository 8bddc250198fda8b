"""What an evaluation is asked for, what its guarded process is given, what that gives back: all of it JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from stannary.app.guarding import Told
from stannary.app.opening import Admitted
from stannary.checks.robustness.threat_settings import read_threats
from stannary.checks.target.card import EvaluationResult
from stannary.core.errors import UsageError

__all__ = ["Answer", "Request", "Work"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluate` was asked for, by the names of its options."""

    model: str
    data: str | None = None
    target: str = ""
    text: str = ""
    suites: tuple[str, ...] = ("robustness",)
    optional: tuple[str, ...] = ()  # of `suites`: those that are left out where the model or the data do not allow them
    preset: str = "standard"
    norm: str | None = None
    eps: float | None = None
    threats: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    surrogate: str | None = None
    against: str | None = None
    samples: int = 500
    seed: int = 0
    budget: int | None = None
    min_robust: float | None = None
    members: str | None = None
    shadows: int = 32
    max_leak: float | None = None
    extract: tuple[int, ...] = ()
    attributes: tuple[str, ...] = ()
    invert: bool = False
    poison: tuple[float, ...] = ()
    train: str | None = None
    domain: str | None = None
    adversarials: str | None = None
    replay: str = ""
    checkpoint: str | None = None
    device: str = "cpu"
    workers: int = 1
    jail: Literal["process", "landlock", "bwrap"] | None = None
    trust: bool = False
    offline: bool = False
    request: str | None = None
    answers: str | None = None
    attempts: int | None = None
    garak: str | None = None

    @property
    def is_address(self) -> bool:
        """Whether the model is named by an address."""
        return self.model.startswith(("http://", "https://"))

    @property
    def is_endpoint(self) -> bool:
        """Whether the model is asked at its address, and not fetched from there."""
        return self.is_address and (self.request is not None or "llm" in self.suites)

    @property
    def is_picky(self) -> bool:
        """Whether an option is given that means nothing for texts."""
        words = (self.norm, self.threats, self.attacks, self.surrogate, self.against, self.domain, self.members)
        return any(map(bool, words)) or self.workers > 1 or self.device != "cpu"

    @property
    def is_function(self) -> bool:
        """Whether the model is named as `module:function`, code of the caller's own."""
        module, colon, name = self.model.removesuffix("()").rpartition(":")
        named = all(part.isidentifier() for part in name.split("."))
        return (
            bool(colon)
            and "//" not in self.model
            and named
            and (module.endswith(".py") or all(map(str.isidentifier, module.split("."))))
        )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Request:
        """Return the request of a command line. Raises UsageError for what does not go together."""
        named = suites = tuple(dict.fromkeys(given["suites"])) or ("robustness",)
        if "all" in named:
            more = () if given.get("text") else (("privacy",) if given["members"] else ()) + ("backdoor", "labels")
            suites = ("robustness", *more)
        optional = tuple(name for name in suites if name in ("backdoor", "labels") and name not in named)
        fields = {name: given[name] for name in cls.__struct_fields__ if name in given}
        made = cls(**fields | {"suites": suites, "optional": optional})
        read_threats(made.threats)
        wrong = _misfits(made, named)
        if wrong:
            raise UsageError("; ".join(wrong), code="USE013", help="stannary evaluate --help")
        return made


def _misfits(made: Request, named: tuple[str, ...]) -> list[str]:
    """Return what of a request does not go together; `named` are the suites as they were given."""
    return [
        text
        for text, bad in (
            ("--data is needed: the samples to attack", made.data is None and "llm" not in made.suites),
            (
                "--threat, --attack, --surrogate and --against are of --suite robustness",
                bool(made.threats or made.attacks or made.surrogate or made.against) and "robustness" not in made.suites,
            ),
            (
                "--surrogate and --against are opened outside of the guard where the model is no file: add --trust",
                bool(made.surrogate or made.against) and not made.trust and (made.is_function or made.is_endpoint),
            ),
            (
                (
                    "--text goes with --suite robustness, without "
                    "--norm, --threat, --attack, --surrogate, --against, --domain, --members and --workers"
                ),
                bool(made.text) and (set(made.suites) != {"robustness"} or made.is_picky),
            ),
            ("--eps of texts is a share of their words, at most 1", bool(made.text) and (made.eps or 0) > 1),
            ("--suite privacy needs --members, the training data", "privacy" in made.suites and not made.members),
            (
                "--extract, --attribute and --invert are of --suite privacy",
                "privacy" not in made.suites and bool(made.extract or made.attributes or made.invert),
            ),
            (
                "--against compares whole runs: --min-robust of --preset gate stops before",
                bool(made.against) and made.preset == "gate" and made.min_robust is not None,
            ),
            ("--poison is of --suite poisoning", bool(made.poison) and "poisoning" not in made.suites),
            (
                "--train is of --suite privacy, labels and poisoning, which train such models",
                bool(made.train) and not {"privacy", "labels", "poisoning"} & set(made.suites),
            ),
            (
                "--train runs code of your own outside of the guard: add --trust",
                bool(made.train) and not made.trust and not made.is_function,
            ),
            ("--replay needs --adversarials, the folder of the examples", bool(made.replay) and not made.adversarials),
            (
                f"--{'device ' + made.device if made.device != 'cpu' else 'workers'} runs outside of the guard: add --trust",
                not made.trust and not made.is_function and (made.workers > 1 or made.device != "cpu"),
            ),
            ("--offline forbids an endpoint", made.offline and made.is_address),
            ("--suite llm goes alone: other suites attack classifiers", "llm" in named and set(named) != {"llm"}),
            ("--answers keeps what an endpoint answered, and this is none", bool(made.answers) and not made.is_endpoint),
            (
                "--request says how an address (https://...) is asked, and this is none",
                bool(made.request) and not made.is_address,
            ),
            ("--attempts and --garak are of --suite llm", bool(made.attempts or made.garak) and "llm" not in made.suites),
            (
                "an endpoint is asked by one process: `concurrency` in its file says how often",
                made.is_endpoint and made.workers > 1,
            ),
        )
        if bad
    ]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What the guarded process is given: the request, the model that was admitted (None: a function), where it may write."""

    request: Request
    model: Admitted | None = None
    surrogate: Admitted | None = None
    against: Admitted | None = None
    folder: str = ""
    infer: bool = False
    jail: str = "none"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it gives back: a card, the text of a domain, or an error."""

    card: EvaluationResult | None = None
    text: str = ""
    error: Told | None = None
