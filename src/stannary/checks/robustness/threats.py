"""What no radius describes: common corruptions, rotations and translations, a printed patch. For pictures alone.

    found = beyond(target, data, others, Beyond(read_threats(("corruptions", "poses:degrees=15", "patch:size=0.1"))))
    part = found.into(part)     # of the report card

Each is reported as the accuracy that is left in the worst case of each sample: under every corruption of a severity, in every pose
of the grid, at every place of the patch. What no severity or grid holds is not measured.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import msgspec
import torch

from stannary.checks.robustness.corruptions import corrupted
from stannary.checks.robustness.patch import Patching, adversarial_patch
from stannary.checks.robustness.picture import is_picture, png
from stannary.checks.robustness.spatial import pose, spatial
from stannary.checks.robustness.threat_settings import Corruptions, Patched, Posed, Settings
from stannary.checks.target.card import AttackRun, CorruptionPoint, Example, PatchPoint, Robustness
from stannary.checks.target.counting import Counting
from stannary.checks.target.data import Dataset
from stannary.checks.target.statistics import Rate, mean_rate, rate
from stannary.core.errors import BackendError, InputError

__all__ = ["Beyond", "Found", "beyond"]

_BATCH = 256
_SHOWN = 4  # examples of each threat
_TURNS = 11  # angles that are tried, as Engstrom et al. 2019 have it
_STEPS = {"smoke": 60, "gate": 200, "standard": 200, "paranoid": 600}
_FEWEST = 32  # other images, below which the patch is made on half of the samples
_ATLAS = {"poses": ("AML.T0043.003",), "patch": ("AML.T0041",)}


@dataclass(frozen=True)
class Beyond:
    """What to measure, by name with its settings, how thoroughly the patch is made, and how pictures are bounded."""

    threats: Mapping[str, Settings]
    preset: str = "standard"
    seed: int = 0
    bounds: tuple[float, float] = (0.0, 1.0)


@dataclass
class Found:
    """What was found: fields of the card's part, runs and examples to add to it, what could not be measured, ATLAS ids."""

    fields: dict[str, object] = field(default_factory=dict)
    runs: list[AttackRun] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    atlas: list[str] = field(default_factory=list)

    def into(self, part: Robustness) -> Robustness:
        """Return the part of the card with these in it."""
        attacks, examples = (*part.attacks, *self.runs), (*part.examples, *self.examples)
        return msgspec.structs.replace(part, **self.fields, attacks=attacks, examples=examples)


def beyond(target: Counting, data: Dataset, others: Dataset, what: Beyond) -> Found:
    """Measure what is asked for.

    Args:
        target: the model, counted; decisions are enough but for the patch.
        data: pictures that it is measured on.
        others: from the same file, on which the patch is made; rows that are in `data` are left out.
        what: by name.

    Raises:
        InputError: these are no pictures.
    """
    if not is_picture(data.shape) or len(data.shape) != 3:  # noqa: PLR2004 - channels, height, width
        msg = f"{', '.join(what.threats)} are of pictures (channels, height, width); this data has inputs of shape {data.shape}"
        raise InputError(msg, where=data.source)
    found = Found()
    measured: dict[str, object] = {}
    for name, settings in what.threats.items():
        found.atlas += _ATLAS.get(name, ())
        try:
            silent = _measured(settings, (target, data, others), what, found)
        except (InputError, BackendError) as error:  # a spent budget, or a target that is gone
            found.incomplete.append(f"{name}: {error.message}")
            found.runs.append(AttackRun(id=name, skipped=error.message))
        else:
            measured[name] = asdict(settings)
            found.fields["beyond"] = measured
            if silent:
                found.incomplete.append(f"{name}: the model gave no answer to {silent} queries, which count as wrong")
    return found


def _measured(settings: Settings, on: tuple[Counting, Dataset, Dataset], what: Beyond, found: Found) -> int:
    """Measure one threat; return how many queries had no answer."""
    target, data, _ = on
    if isinstance(settings, Corruptions):
        return _corruptions((target, data), settings, what, found)
    if isinstance(settings, Posed):
        return _poses((target, data), settings, what, found)
    return _patch(on, settings, what, found)


def _corruptions(on: tuple[Counting, Dataset], settings: Corruptions, what: Beyond, found: Found) -> int:
    """Ask once for every sample, kind and severity; put accuracies and worst cases into `found`."""
    target, data = on
    kinds, severities = settings.kinds, range(1, settings.severity + 1)
    meter = _Meter(target)
    clean = _right(target, data.x, data.y)
    right = torch.zeros(len(data), len(kinds), len(severities), dtype=torch.bool)
    points = []
    for kind, name in enumerate(kinds):
        for at, severity in enumerate(severities):
            right[:, kind, at] = _right(target, corrupted(data.x, name, severity, seed=what.seed, bounds=what.bounds), data.y)
            points.append(CorruptionPoint(corruption=name, severity=severity, accuracy=_share(right[:, kind, at])))
    rates = {"mean": mean_rate(right.double().mean((1, 2)).tolist()), "worst": _share(right.all(2).all(1))}
    rates |= {f"severity_{severity}": _share(right[:, :, at].all(1)) for at, severity in enumerate(severities)}
    rates |= {name: _share(right[:, kind].all(1)) for kind, name in enumerate(kinds)}
    found.fields |= {"corruptions": tuple(points), "corrupted": rates}
    left = int((clean & right.all(2).all(1)).sum())
    found.runs.append(meter.run("corruptions", {"kinds": len(kinds), "severities": len(severities)}, clean, left))
    for sample, kind, at in _mildest(clean[:, None, None] & ~right):
        name, severity = kinds[kind], severities[at]
        changed = corrupted(data.x, name, severity, seed=what.seed, bounds=what.bounds)[sample]
        found.examples.append(_example(target, data, (sample, changed), f"{name}, severity {severity}", what))
    return target.spend.since(meter.before).unanswered


def _mildest(wrong: torch.Tensor) -> list[tuple[int, int, int]]:
    """Return (sample, kind, severity's place) of a few failures, the mildest severity first, each sample and kind once."""
    seen_samples: set[int] = set()
    seen_kinds: set[int] = set()
    picked: list[tuple[int, int, int]] = []
    for at, sample, kind in wrong.permute(2, 0, 1).nonzero().tolist():
        if sample not in seen_samples and kind not in seen_kinds and len(picked) < _SHOWN:
            picked.append((sample, kind, at))
            seen_samples.add(sample)
            seen_kinds.add(kind)
    return picked


def _poses(on: tuple[Counting, Dataset], settings: Posed, what: Beyond, found: Found) -> int:
    """Try a grid of rotations and translations; put the worst case into `found`."""
    target, data = on
    meter = _Meter(target)
    by = max(1, round(settings.shift * min(data.shape[1:]))) if settings.shift else 0
    angles = [settings.degrees * (2 * at / (_TURNS - 1) - 1) for at in range(_TURNS)] if settings.degrees else [0.0]
    shifts = (-by, 0, by) if by else (0,)
    device = target.device
    made = spatial(target, data.x.to(device), data.y.to(device), angles=angles, shifts=shifts, fill=what.bounds[0])
    found.fields["poses"] = made.worst
    at = made.at.cpu()
    grid = {"degrees": settings.degrees, "pixels": by, "poses": len(made.grid)}
    found.runs.append(meter.run("poses", grid, at != -2, int((at == -1).sum())))  # noqa: PLR2004 - wrong as it is
    broken = (at >= 0).nonzero()[:, 0]
    for sample in broken[at[broken].argsort(stable=True)][:_SHOWN].tolist():
        angle, down, right = made.grid[int(at[sample])]
        turned = pose(data.x[sample : sample + 1], angle, (down, right), what.bounds[0])[0]
        found.examples.append(_example(target, data, (sample, turned), f"{angle:g}°, {down} down, {right} right", what))
    return made.silent


def _patch(on: tuple[Counting, Dataset, Dataset], settings: Patched, what: Beyond, found: Found) -> int:
    """Make a patch on other images and lay it on these; put what is left into `found`."""
    target, data, others = on
    if target.access != "white":
        msg = f"takes gradients; the target offers {target.access}"
        raise InputError(msg)
    meter, device = _Meter(target), target.device
    train = others.take((~torch.isin(others.rows, data.rows)).nonzero()[:, 0])
    kept = torch.arange(len(data))
    if len(train) < _FEWEST:
        train, kept = data.take(kept[: len(data) // 2]), kept[len(data) // 2 :]
    side = max(2, round(settings.size * min(data.shape[1:])))
    if min(data.shape[1:]) <= side:
        msg = f"pictures of {min(data.shape[1:])} pixels are too small for a patch of {side}"
        raise InputError(msg)
    if not len(train) or not len(kept):
        msg = f"{len(data)} images are too few to make a patch on some and measure it on others"
        raise InputError(msg)
    steps = settings.steps or _STEPS[what.preset]
    how = Patching(side=side, steps=steps, seed=what.seed, bounds=what.bounds, places=settings.places)
    x, y = data.x[kept].to(device), data.y[kept].to(device)
    made = adversarial_patch(target, (train.x.to(device), train.y.to(device)), (x, y), how)
    left = (made.right & ~made.turned).cpu()
    found.fields["patch"] = PatchPoint(
        side=side, accuracy=_share(left), success=made.success, noise=made.noise, picture=png(made.patch, *what.bounds)
    )
    params = {"side": side, "steps": how.steps, "places": how.places, "made_on": len(train)}
    found.runs.append(meter.run("patch", params, made.right.cpu(), int(left.sum())))
    for at in made.turned.nonzero()[:_SHOWN, 0].tolist():
        found.examples.append(_example(target, data, (int(kept[at]), made.shown[at].cpu()), "patch", what))
    return made.silent


def _right(target: Counting, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return which inputs the model decides as they are labelled, `(n,)` bool; one without an answer is not."""
    parts = [target.decide(part.to(target.device)).cpu() for part in x.split(_BATCH)]
    return torch.cat(parts) == y.cpu()


def _share(hits: torch.Tensor) -> Rate:
    return rate(int(hits.sum()), len(hits))


class _Meter:
    """What a threat costs, from where it is made to where it is told."""

    def __init__(self, target: Counting) -> None:
        self.target, self.before, self.started = target, target.spend.copy(), time.perf_counter()

    def run(self, name: str, params: Mapping[str, float], clean: torch.Tensor, left: int) -> AttackRun:
        """Return the row of the card; `clean` `(n,)`: which samples were right before, `left`: how many are after it."""
        spend, seconds = vars(self.target.spend.since(self.before)), time.perf_counter() - self.started
        return AttackRun(id=name, params=dict(params), survivors_in=int(clean.sum()), survivors_out=left, seconds=seconds, **spend)


def _example(target: Counting, data: Dataset, pair: tuple[int, torch.Tensor], attack: str, what: Beyond) -> Example:
    """Return one picture before and after; its distance is the largest change of a pixel."""
    sample, after = pair
    before = data.x[sample]
    decided = int(target.decide(after[None].to(target.device))[0])
    names = data.label_names
    return Example(
        sample=int(data.rows[sample]),
        attack=attack,
        label=names[int(data.y[sample])] if int(data.y[sample]) < len(names) else str(int(data.y[sample])),
        decided=names[decided] if 0 <= decided < len(names) else "no answer",
        distance=float((after - before).abs().max()),
        before=png(before, *what.bounds),
        after=png(after, *what.bounds),
    )
