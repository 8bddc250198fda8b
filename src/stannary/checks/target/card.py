"""The report card of an evaluation (`stannary.evaluate/1`): what reports are made of, and what becomes evidence.

Standard library and msgspec alone: reports, evidence and the console read cards where no model library is installed.
Every rate carries its interval and its sample size; every attack what it really cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from stannary.checks.target.statistics import Rate
from stannary.core.evidence import Measurement, Outcome
from stannary.core.model import Json

__all__ = [
    "Against", "AttackRun", "Backdoor", "BackdoorClass", "BudgetCurve", "Change", "Compared",
    "CorruptionPoint", "CurvePoint", "Distance", "EvaluationResult", "Example",
    "LabelError", "Labels",
    "MaskingPoint", "Model", "PatchPoint", "PoisonPoint", "Poisoning", "Privacy", "Probes", "Robustness", "Stop", "TestData",
    "Threat", "Tool",
]  # fmt: skip


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """What evaluated."""

    name: str = "stannary"
    version: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What was evaluated: where it was, the digest of its artifact, what it offered."""

    path: str
    name: str
    digest: str | None = None
    sha256: str | None = None
    format: str = ""
    access: Literal["white", "score", "decision"] = "decision"
    classes: int = 0
    shape: tuple[int, ...] = ()
    jail: str = "none"
    notes: tuple[str, ...] = ()  # why it offers less than it might


class TestData(msgspec.Struct, frozen=True, kw_only=True):
    """On what: the samples drawn, of how many."""

    __test__ = False  # no test of pytest's
    path: str
    digest: str = ""
    target: str = ""
    rows: int = 0
    n: int = 0
    columns: tuple[str, ...] = ()


class Threat(msgspec.Struct, frozen=True, kw_only=True):
    """What the attacker may do."""

    norm: str
    eps: float | None = None
    knowledge: str = "white"
    goal: str = "untargeted"
    domain: str = ""  # digest of the domain's file, as written


class AttackRun(msgspec.Struct, frozen=True, kw_only=True):
    """One attack: its parameters, who stood before and after it, what was really spent."""

    id: str
    params: Mapping[str, Json] = {}
    survivors_in: int = 0
    survivors_out: int = 0
    forward: int = 0
    backward: int = 0
    queries: int = 0
    calls: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    stopped: str = ""
    skipped: str = ""


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy that is left at a perturbation of `eps`."""

    eps: float
    accuracy: Rate


class BudgetCurve(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy that is left when an attack may spend so much on a sample: `eps` of a point is that budget.

    At a budget of 0 stand the samples that the attack was given: those that were right, in a cascade without what earlier attacks
    turned.
    """

    attack: str
    unit: Literal["queries", "iterations"]
    points: tuple[CurvePoint, ...]
    fell: int = 0
    half: int | None = None  # the budget within which half of those that fell did, and nine in ten
    most: int | None = None


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """Median smallest change that fools the model, with the interval of the median; over the `n` samples that were fooled."""

    norm: str
    median: float
    low: float
    high: float
    n: int


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One column of an example, before and after."""

    column: str
    before: float | str
    after: float | str


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One of the cheapest examples that fool the model: changed columns or words, or two pictures (PNG, base64)."""

    sample: int
    attack: str
    label: str
    decided: str
    distance: float
    cost: float | None = None
    changes: tuple[Change, ...] = ()
    before: str = ""
    after: str = ""
    text: str = ""  # around the first change, as it reads after it


class MaskingPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ten points of the report on masked gradients."""

    id: str
    title: str
    value: float | None
    threshold: float | None = None
    warn: bool = False
    note: str = ""


class CorruptionPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy under one common corruption at one severity, 1 to 5."""

    corruption: str
    severity: int
    accuracy: Rate


class PatchPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A patch of `side` pixels, and the accuracy that is left under it: the worst of several places on each held-out image."""

    side: int
    accuracy: Rate
    success: Rate  # images that were right and are turned
    noise: Rate  # the same by a patch of noise: what any cover of that size does
    picture: str = ""  # PNG, base64


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """How the gate's stop rule ended."""

    rule: str
    alpha: float
    threshold: float
    decision: Literal["pass", "fail", "inconclusive"]
    samples: int


class Robustness(msgspec.Struct, frozen=True, kw_only=True):
    """What attacks on inputs did. `robust` is the worst case for each sample over all attacks."""

    preset: str
    threat: Threat
    clean: Rate
    robust: Rate
    certified: Rate | None = None
    attacks: tuple[AttackRun, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    budgets: tuple[BudgetCurve, ...] = ()  # one an attack
    distance: Distance | None = None
    brittleness: Mapping[str, Rate] = {}
    needed: Mapping[str, Rate] = {}  # in which share of the smallest changes each column takes part
    masking: tuple[MaskingPoint, ...] = ()
    masked: bool = False
    beyond: Mapping[str, Mapping[str, Json]] = {}  # what no radius describes: threat → its settings
    corruptions: tuple[CorruptionPoint, ...] = ()
    corrupted: Mapping[str, Rate] = {}  # the mean of them, and the worst case for each sample: of a kind, of a severity, of all
    poses: Rate | None = None  # the worst case over a grid of rotations and translations
    patch: PatchPoint | None = None
    stop: Stop | None = None
    examples: tuple[Example, ...] = ()
    adversarials: str = ""  # digest of the stored examples
    replayed: int = 0
    unfinished: int = 0


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What attacks on training data did: rates by metric, and the ROC of the best membership attack."""

    attack: str
    auc: Rate | None = None
    rates: Mapping[str, Rate] = {}
    refused: Mapping[str, str] = {}  # rates that the sample cannot support, and why
    roc: tuple[tuple[float, float], ...] = ()
    extraction: tuple[CurvePoint, ...] = ()  # fidelity at a budget of `eps` queries
    shadows: int = 0
    notes: tuple[str, ...] = ()


class BackdoorClass(msgspec.Struct, frozen=True, kw_only=True):
    """One class: the smallest patch that makes the model decide for it, and its rows that were learned against their looks."""

    label: str
    patch: float | None = None  # pixels or columns; none was found that works
    deviations: float | None = None  # how many the patch lies below the median of the classes
    by_model: float | None = None  # scores from 0 to 1, an alarm from one half on; None: not measured
    by_rows: float | None = None
    odd: int = 0


class Backdoor(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the model, and the rows that it may have learned from, show a backdoor. `suspects` are numbers of rows."""

    verdict: Literal["alarm", "no alarm", "inconclusive"]
    score: float | None = None
    reasons: tuple[str, ...] = ()
    classes: tuple[BackdoorClass, ...] = ()
    rows: int = 0
    suspects: tuple[int, ...] = ()  # of the class that raised the alarm, the most suspicious first
    loudest: float | None = None  # the channel that lies farthest above its layer, in standard deviations; it raises no alarm
    skipped: Mapping[str, str] = {}  # detectors that did not run, and why


class LabelError(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose label is probably wrong; `trust`: the probability that models without it give to its label."""

    row: int
    label: str
    suggested: str
    trust: float


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """Which labels of the data are probably wrong, by models that did not see them. `errors`: the least trusted first."""

    rows: int
    wrong: Rate  # rows whose label is probably wrong
    expected: float = 0.0  # share of wrong labels that the estimated joint distribution says
    agreed: Rate  # rows that the models decide as they are labelled
    confused: tuple[tuple[str, str, int], ...] = ()  # (given, suggested, rows), the most first
    errors: tuple[LabelError, ...] = ()
    recipe: str = ""


class PoisonPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One attack on the training data: what the model that was trained on it decides of clean and of the attacker's inputs."""

    attack: str
    share: float  # of the rows that it may change
    changed: int
    accuracy: Rate  # on clean test data
    success: Rate  # victims on which the attacker gets what was wanted
    without: Rate  # the same of the model that was trained on clean data: what trigger or chance do


class Poisoning(msgspec.Struct, frozen=True, kw_only=True):
    """What poisoned training data would make of models that are trained as this one was."""

    rows: int
    accuracy: Rate  # of the model that was trained on clean data
    tuned: Rate | None = None  # the same where the model's layers are kept, and the last one alone is trained
    points: tuple[PoisonPoint, ...] = ()
    recipe: str = ""
    skipped: Mapping[str, str] = {}  # attacks that cannot be made here, and why


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same samples: shares, samples that only one of them stood, the difference with its interval.

    `p` is McNemar's exact two-sided test; `low` to `high` the interval of the difference `after - before`, exact given how many
    samples differ.
    """

    before: Rate
    after: Rate
    gained: int
    lost: int
    difference: float
    low: float
    high: float
    p: float


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """Another model, as the version before, under the same attacks on the same samples, compared sample by sample."""

    path: str
    digest: str
    accuracy: Compared
    standing: Compared
    left: int = 0  # samples that were not attacked to the end on both, and are not compared
    masked: bool = False  # of either of them gradients are: what stood says nothing
    verdict: Literal["better", "worse", "not told apart", "not comparable"]


class Probes(msgspec.Struct, frozen=True, kw_only=True):
    """What probes of a language model did: the share of attempts that succeeded, by family, of those that were answered."""

    families: Mapping[str, Rate] = {}
    attempts: int = 0
    failures: tuple[Mapping[str, Json], ...] = ()
    price: float | None = None
    currency: str = ""
    unanswered: int = 0  # attempts without an answer to the end, which are in no rate
    silence: str = ""  # why the first of them had none
    skipped: Mapping[str, str] = {}  # families that cannot be tried here, and why
    seed: int = 0
    requests: int = 0
    cached: int = 0  # answers that an earlier run paid for
    tokens_in: int = 0
    tokens_out: int = 0
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()


class EvaluationResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole card. `incomplete` says what could not be measured, and why; nothing is called robust for it."""

    schema: Literal["stannary.evaluate/1"] = "stannary.evaluate/1"
    tool: Tool
    model: Model
    data: TestData | None = None
    suite: tuple[str, ...]
    seed: int
    device: str = "cpu"
    outcome: Outcome
    queries: int = 0
    seconds: float = 0.0
    robustness: Robustness | None = None
    against: Against | None = None
    privacy: Privacy | None = None
    probes: Probes | None = None
    backdoor: Backdoor | None = None
    labels: Labels | None = None
    poisoning: Poisoning | None = None
    measurements: tuple[Measurement, ...] = ()
    incomplete: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()  # which thresholds failed
    atlas: tuple[str, ...] = ()
    owasp: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    next: tuple[str, ...] = ()
