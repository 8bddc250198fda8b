"""Robust trees: an ensemble is trained again in several ways, and the attack on trees says which, if any, is harder to fool.

The ways move cuts away from the values of the data: larger leaves; points spread over the radius around each sample, with its
label; both; columns that an attacker can move one way only made monotone; and, on top of the best of these, the points at which the
model is fooled, with their true labels (adversarial boosting, Kantchelian, Tygar and Joseph 2016).

Training the same model once more is one of the candidates, and nothing is taken on trust:

1. all candidates learn from the same rows, three fifths of those given;
2. a fifth chooses: of those that lose at most `cost` of the share of right answers, the one that stands most attacks;
3. another fifth, which nothing has seen, judges it against the plain one: more rows must stand, by the exact test of McNemar (1947)
   on pairs, and more must be right than if the most frequent class were always answered. Robustness without knowledge is worth
   nothing: a constant model cannot be fooled;
4. otherwise the model that was given is returned, and no claim is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from stannary.checks.robustness.attacks.trees import TreeAttack
from stannary.checks.robustness.engine import run
from stannary.checks.robustness.rows import Problem
from stannary.checks.robustness.tree_local import local_trees
from stannary.checks.target.boosted import boosted_target
from stannary.checks.target.domain import TableDomain
from stannary.checks.target.domain_infer import infer_domain
from stannary.checks.target.interface import Target
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.statistics import mcnemar
from stannary.core.errors import InputError, UsageError
from stannary.harden.interface import Hardened, Settings, seeded
from stannary.harden.tree_recipes import Recipe, recipe_of
from stannary.harden.tree_training import again, fitted, guessed_signs, leaves_of, monotone_of

__all__ = ["tree_robust"]

SAMPLES = 400  # of the fifths that choose and judge, and those that a round attacks: the attack takes most of the time
COPIES = 2
COST = 0.02
LEAF = 0.01  # of the rows
LEAST = 50  # rows: fewer cannot be divided
ALPHA = 0.05


class _Stood(NamedTuple):
    """Of rows: which are right `(n,)`, which also stand `(n,)`, points where the others are fooled, and of which rows."""

    right: torch.Tensor
    stands: torch.Tensor
    fooling: torch.Tensor
    at: torch.Tensor

    @property
    def shares(self) -> tuple[float, float]:
        """Return the shares of right and of standing rows."""
        return float(self.right.double().mean()), float(self.stands.double().mean())


@dataclass(frozen=True)
class _Tried:
    """A candidate: how it was trained, the model, and how it did on the rows that choose."""

    way: str
    model: Any
    right: float
    stands: float


class _Trainer:
    """Trains candidates on one part of the rows and attacks them on others."""

    def __init__(
        self,
        recipe: Recipe,
        data: tuple[torch.Tensor, torch.Tensor],
        settings: Settings,
        domain: TableDomain,
    ) -> None:
        self.recipe, self.settings, self.domain = recipe, settings, domain
        self.generator = seeded(settings)
        x, y = data
        order = torch.randperm(len(x), generator=self.generator)
        fifth = max(1, len(x) // 5)
        most = max(1, int(settings.get("samples", SAMPLES)))
        self.scale = domain.scale(x)
        self.chooses, self.judges = order[:fifth][:most], order[fifth : 2 * fifth][:most]
        self.learns, self.x, self.y = order[2 * fifth :], x, y
        self.most = most

    def tried(self, way: str, *, copies: int = 0, more: tuple[torch.Tensor, torch.Tensor] | None = None, **changes: Any) -> _Tried:  # noqa: ANN401 - a library's settings
        """Train one candidate and attack it with the rows that choose."""
        x, y = self.x[self.learns], self.y[self.learns]
        rows, labels = [x, *(self._around(x) for _ in range(copies))], [y] * (copies + 1)
        if more is not None:
            rows, labels = [*rows, more[0]], [*labels, more[1]]
        made = fitted(again(self.recipe, changes), torch.cat(rows), torch.cat(labels), self.recipe)
        right, stands = self.stood(made, self.chooses).shares
        if self.settings.tick is not None:
            self.settings.tick(len(x))
        return _Tried(way, made, right, stands)

    def stood(self, model: Any, at: torch.Tensor) -> _Stood:  # noqa: ANN401 - any library's
        """Attack a model with the rows `at`. Raises InputError where its trees cannot be read."""
        x, y, settings = self.x[at], self.y[at], self.settings
        target = _target(model)
        trees, why = local_trees(target, self.x[self.learns])
        if trees is None:
            msg = f"the model cannot be made robust as trees: {why}"
            raise InputError(msg)
        right = target.decide(x) == y
        problem = Problem(target, self.domain, norm=settings.norm, eps=settings.eps, seed=settings.seed, scale=self.scale)
        found = run(TreeAttack(trees, beam=4, again=1), problem, x[right], y[right])
        within = found.success & (found.size <= settings.eps)
        stands = right.clone()
        stands[right.nonzero()[:, 0][within]] = False
        return _Stood(right, stands, found.x[within], at[right][within])

    def sample(self) -> torch.Tensor:
        """Return rows that a round attacks, of those that are learnt from."""
        return self.learns[torch.randperm(len(self.learns), generator=self.generator)[: self.most]]

    def _around(self, x: torch.Tensor) -> torch.Tensor:
        """Return an allowed random point near each sample: every column moves on its own, up to the radius, as cuts do."""
        noise = torch.rand(x.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return self.domain.project(x + self.settings.eps * noise * self.scale, x)


def tree_robust(
    model: Any,  # noqa: ANN401 - a classifier with scikit-learn's interface
    x: torch.Tensor,
    y: torch.Tensor,
    settings: Settings,
    *,
    domain: TableDomain | None = None,
    names: tuple[str, ...] = (),
) -> Hardened:
    """Train an ensemble of trees again, with its own settings, so that changes within a radius fool it less.

    Args:
        model: a fitted `XGBClassifier`, `LGBMClassifier`, `CatBoostClassifier` or scikit-learn classifier whose trees can be read,
            or a `Booster` of the first two libraries, which is trained again as far as it says how; it is not changed.
        x: training rows `(n, columns)` float64.
        y: their classes `(n,)`, numbered as the model numbers them.
        settings: `eps` and `norm` (in units of the domain's scales), `epochs` as rounds at most, `seed`; of `more`: `samples` that
            choose, judge, and are attacked in a round (400), `copies` of spread points of each sample (2), `cost` in right
            answers that is accepted (0.02), `leaf`: the least share of the rows in a leaf (0.01), `monotone`: a mapping of columns
            to 1 or -1, which all candidates but the plain one keep.
        domain: what may change, and how; inferred from the rows by default.
        names: of the columns.

    Returns:
        The best candidate; or the model that was given, where none is shown to be harder to fool (`parameters["kept"]`, a note).

    Raises:
        UsageError: the model cannot be trained again, there are too few rows, or a monotone column is not there.
        InputError: its trees cannot be read.
    """
    if len(x) < LEAST:
        msg = f"{len(x)} rows are too few to learn, to choose and to judge from: at least {LEAST}"
        raise UsageError(msg, code="USE013")
    domain = domain or infer_domain(x, names)
    said = settings.more.get("monotone") or {}
    recipe = recipe_of(model)
    monotone = _monotone(recipe.model, domain.names, said)
    trainer = _Trainer(recipe, (x, y), settings, domain)
    tried = _candidates(trainer, monotone, monotone_of(recipe.model, domain.names, guessed_signs(domain, x, y)))
    plain, cost = tried[0], settings.get("cost", COST)
    allowed = [one for one in tried if one.right >= plain.right - cost]
    best = max(allowed, key=lambda one: one.stands)  # of equals the first: the plain one comes before all
    judged: dict[str, Any] = {"way": best.way, "tried": {one.way: [round(one.right, 4), round(one.stands, 4)] for one in tried}}
    why = "no way of training stood more attacks on the rows that choose"
    if best is not plain:
        before, after = trainer.stood(plain.model, trainer.judges), trainer.stood(best.model, trainer.judges)
        counts, why = _judged(before, after, y[trainer.judges])
        judged |= counts
    parameters = {
        "eps": settings.eps, "norm": settings.norm, "rounds": settings.epochs, "seed": settings.seed, "samples": trainer.most,
        "monotone": dict(said), "domain": domain.digest, "kept": bool(why), **judged,
    }  # fmt: skip
    if why:
        return Hardened(model, "tree-robust", parameters, notes=(f"the model is returned as it was: {why}",))
    return Hardened(
        best.model, "tree-robust", parameters, notes=("it was trained on three fifths of the rows given", *recipe.notes)
    )


def _candidates(trainer: _Trainer, monotone: dict[str, Any], guessed: dict[str, Any]) -> list[_Tried]:
    """Return the candidates, the plain one first."""
    settings = trainer.settings
    copies = max(0, int(settings.get("copies", COPIES)))
    leaf = settings.get("leaf", LEAF)
    few = leaves_of(trainer.recipe.model, leaf * len(trainer.learns))
    many = leaves_of(trainer.recipe.model, leaf * len(trainer.learns) * (1 + copies))
    ways: dict[str, dict[str, Any]] = {"larger leaves": few}
    if copies:
        ways |= {"spread points": {"copies": copies}, "spread points, larger leaves": {"copies": copies, **many}}
    tried = [trainer.tried("plain"), *(trainer.tried(way, **{**monotone, **how}) for way, how in ways.items())]
    best = max(tried[1:], key=lambda one: one.stands)
    how = {**monotone, **ways[best.way]}
    if guessed and not monotone:
        tried.append(trainer.tried(f"{best.way}, one-way columns", **how, **guessed))
        if tried[-1].stands > best.stands:
            best, how = tried[-1], {**how, **guessed}
    rows, labels = trainer.x[:0], trainer.y[:0]
    model, way = best.model, best.way
    for number in range(settings.epochs):
        found = trainer.stood(model, trainer.sample())
        if not len(found.at):
            break
        rows, labels = torch.cat((rows, found.fooling)), torch.cat((labels, trainer.y[found.at]))
        tried.append(trainer.tried(f"{way}, {number + 1} rounds of the attack", more=(rows, labels), **how))
        model = tried[-1].model
    return tried


def _judged(before: _Stood, after: _Stood, y: torch.Tensor) -> tuple[dict[str, Any], str]:
    """Compare two models on the rows that judge; return counts, and why the second is not harder to fool ("": it is)."""
    gained, lost = int((after.stands & ~before.stands).sum()), int((before.stands & ~after.stands).sum())
    common = y == y.mode().values
    p, knows = mcnemar(lost, gained), mcnemar(int((common & ~after.right).sum()), int((after.right & ~common).sum()))
    (right_before, stands_before), (right_after, stands_after) = before.shares, after.shares
    counts = {
        "judges": len(y), "right": [right_before, right_after], "stands": [stands_before, stands_after],
        "gained": gained, "lost": lost, "p": p,
    }  # fmt: skip
    if p >= ALPHA or gained <= lost:
        return counts, f"of {len(y)} rows that judge {gained} more and {lost} fewer stand, which shows nothing (p = {p:.2g})"
    if knows >= ALPHA or not float(common.double().mean()) < right_after:
        return counts, "what stands more attacks is not right more often than the most frequent class alone, which cannot be fooled"
    return counts, ""


def _monotone(model: Any, names: tuple[str, ...], said: Mapping[str, int]) -> dict[str, Any]:  # noqa: ANN401 - any library's
    """Return the setting that makes columns monotone. Raises UsageError."""
    if not said:
        return {}
    wrong = [f"{name} = {sign}" for name, sign in said.items() if name not in names or sign not in (1, -1)]
    if wrong:
        msg = f"monotone takes columns of the data with 1 or -1, not {', '.join(wrong)}"
        raise UsageError(msg, code="USE013")
    setting = monotone_of(model, names, said)
    if not setting:
        msg = f"a {type(model).__name__} knows no monotone columns"
        raise UsageError(msg, code="USE013")
    return setting


def _target(model: Any) -> Target:  # noqa: ANN401 - any library's
    boosted = boosted_target(model)
    return sklearn_target(model) if boosted is None else boosted
