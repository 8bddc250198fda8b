"""Plans: which attacks run one after another, on which samples, in which order. Presets are plans with names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stannary.checks.robustness.attacks.apgd import APGD, APGDT
from stannary.checks.robustness.attacks.apgd_l1 import APGDL1
from stannary.checks.robustness.attacks.boundary import Boundary
from stannary.checks.robustness.attacks.carlini import CarliniWagner
from stannary.checks.robustness.attacks.ddn import DDN
from stannary.checks.robustness.attacks.deepfool import DeepFool
from stannary.checks.robustness.attacks.estimated import NES, SPSA
from stannary.checks.robustness.attacks.fab import FAB
from stannary.checks.robustness.attacks.fmn import FMN
from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump
from stannary.checks.robustness.attacks.pgd import FGSM, PGD
from stannary.checks.robustness.attacks.square import Square
from stannary.checks.robustness.engine import Attack
from stannary.checks.robustness.foreign import Foreign, is_foreign
from stannary.core.errors import UsageError

__all__ = ["ATTACKS", "PRESETS", "Plan", "describe", "plan_of", "preset"]

PRESETS = ("smoke", "gate", "standard", "paranoid")
GATE_BLOCK = 32
EOT = 20
ATTACKS: Mapping[str, Callable[[int], Attack]] = {  # by the number of classes
    "fgsm": lambda _: FGSM(),
    "pgd": lambda _: PGD(40),
    "apgd-ce": lambda _: APGD("ce", 100),
    "apgd-dlr": lambda _: APGD("dlr", 100),
    "apgd-t": lambda classes: APGDT(classes, targets=9, steps=100),
    "apgd-l1": lambda _: APGDL1("ce", 100),
    "fab": lambda classes: FAB(classes, targets=9, steps=100),
    "ddn": lambda _: DDN(100),
    "fmn": lambda _: FMN(50),
    "deepfool": lambda _: DeepFool(),
    "cw": lambda _: CarliniWagner(),
    "square": lambda _: Square(5000),
    "nes": lambda _: NES(),
    "spsa": lambda _: SPSA(),
    "hopskipjump": lambda _: HopSkipJump(20),
    "boundary": lambda _: Boundary(300),
}


@dataclass(frozen=True)
class Plan:
    """What a cascade does.

    `block`: samples worked on together, and between two looks of a stop rule; None for the engine's size. `shuffle`: take samples
    in an order drawn by the seed, as a stop rule has to. `eot`: answers to be averaged, where a target answers differently each
    time (expectation over transformation, Athalye et al. 2018); 1 for none.
    """

    id: str
    stages: tuple[Attack, ...]
    block: int | None = None
    shuffle: bool = False
    eot: int = 1


def preset(name: str, classes: int, *, fab: bool = True) -> Plan:
    """Return a preset for a target of so many classes.

    - `smoke`: ten steps of PGD and 200 queries of Square: says that a model is weak, never that it is strong
    - `gate`: the attacks of `standard` without FAB, block by block on samples in random order, until a stop rule decides
    - `standard`: the budget of AutoAttack (Croce and Hein 2020) after ten steps of PGD; `fab` false leaves FAB out
    - `paranoid`: restarts, more queries, and averaged answers of targets that are random

    Raises:
        UsageError: there is no such preset.
    """
    strong = (PGD(10), APGD("ce", 100), APGDT(classes, targets=9, steps=100))
    boundary = (FAB(classes, targets=9, steps=100),) if fab else ()
    if name == "smoke":
        return Plan(name, (PGD(10), Square(200)))
    if name == "gate":
        return Plan(name, (*strong, Square(5000)), block=GATE_BLOCK, shuffle=True)
    if name == "standard":
        return Plan(name, (*strong, *boundary, Square(5000)))
    if name == "paranoid":
        restarts = (APGD("ce", 100, rounds=5), APGD("dlr", 100, rounds=5))
        return Plan(name, (PGD(10), *restarts, APGDT(classes, targets=9, steps=200), *boundary, Square(10_000)), eot=EOT)
    msg = f"no such preset: {name} (there are {', '.join(PRESETS)})"
    raise UsageError(msg)


def plan_of(names: Sequence[str], classes: int) -> Plan:
    """Return a plan of attacks by name, in the order given: ours, or those of other libraries as `foolbox:LinfPGD:steps=20`.

    Raises:
        UsageError: there is no such attack.
    """
    unknown = [name for name in names if name not in ATTACKS and not is_foreign(name)]
    if unknown or not names:
        msg = f"no such attack: {', '.join(unknown) or 'none is named'} (there are {', '.join(ATTACKS)}, foolbox:NAME and art:NAME)"
        raise UsageError(msg)
    return Plan("+".join(names), tuple(Foreign(name) if is_foreign(name) else ATTACKS[name](classes) for name in names))


def describe(attack: Attack) -> dict[str, str | int | float | bool]:
    """Return the hyper-parameters of an attack, for reports and to tell whether a run is the same."""
    return {key: value for key, value in sorted(vars(attack).items()) if key[0] != "_" and isinstance(value, str | int | float)}
