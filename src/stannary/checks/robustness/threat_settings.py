"""What `--threat` names and how hard: `patch:size=0.1,places=10`. Without torch, as command lines are read by it.

Settings other than the usual ones are in the name of what is measured, so that no policy that asks for a patch of a third of the
side is met by one of a tenth: `robustness.patch.accuracy.size_0.1`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields

from stannary.core.errors import UsageError
from stannary.core.model import Json

__all__ = ["KINDS", "SEVERITIES", "THREATS", "Corruptions", "Patched", "Posed", "Settings", "read_threats", "tag"]

SEVERITIES = (1, 2, 3, 4, 5)
KINDS = (
    "gaussian-noise", "shot-noise", "impulse-noise", "gaussian-blur", "motion-blur", "contrast", "brightness", "darkness", "fog",
    "occlusion", "pixelate", "rotation", "translation",
)  # fmt: skip


@dataclass(frozen=True)
class Corruptions:
    """Which corruptions, and up to which severity."""

    kinds: tuple[str, ...] = KINDS
    severity: int = SEVERITIES[-1]


@dataclass(frozen=True)
class Posed:
    """How far pictures are turned (degrees either way) and moved (share of the shorter side, each way)."""

    degrees: float = 30.0
    shift: float = 0.1


@dataclass(frozen=True)
class Patched:
    """How large a patch is (share of the shorter side), at how many places it is tried; `steps` of making it, 0: the preset's."""

    size: float = 0.3
    places: int = 5
    steps: int = 0


Settings = Corruptions | Posed | Patched
THREATS: Mapping[str, type[Settings]] = {"corruptions": Corruptions, "poses": Posed, "patch": Patched}
_RANGES = {
    "severity": (1, 5), "degrees": (0, 180), "shift": (0, 0.5), "size": (0, 0.9), "places": (1, 1000), "steps": (1, 100_000),
}  # fmt: skip
_NAMED = 3  # kinds in the name of a measurement
_ABOVE = frozenset({"size"})  # its least value is none


def read_threats(texts: Iterable[str]) -> dict[str, Settings]:
    """Return the threats that are named with their settings, in the order of `THREATS`. Raises UsageError for all that is wrong."""
    found: dict[str, Settings] = {}
    wrong: list[str] = []
    for text in dict.fromkeys(texts):
        name, _, given = text.partition(":")
        if name not in THREATS:
            wrong.append(f"--threat {text}: there is no {name!r} (there are {', '.join(THREATS)})")
        elif name in found:
            wrong.append(f"--threat {name} is given twice, with different settings: run them one after another")
        else:
            chosen: dict[str, object] = {}
            for item in filter(None, given.split(",")):
                key, _, value = item.partition("=")
                wrong += _set(THREATS[name], chosen, key, value)
            found[name] = THREATS[name](**chosen)  # type: ignore[arg-type]  # read by the types of its fields
    if wrong:
        raise UsageError("; ".join(wrong), code="USE013", help="--threat patch:size=0.1,places=10 (stannary evaluate --help)")
    return {name: found[name] for name in THREATS if name in found}


def _set(kind: type[Settings], chosen: dict[str, object], key: str, value: str) -> list[str]:
    """Put one setting into `chosen`; return what is wrong with it."""
    usual = {one.name: one.default for one in fields(kind)}
    if key not in usual or key in chosen:
        return [f"there is no setting {key!r} (there are {', '.join(usual)})" if key not in usual else f"{key} is given twice"]
    if key == "kinds":
        named = tuple(value.split("+"))
        unknown = [one for one in named if one not in KINDS]
        chosen[key] = tuple(one for one in KINDS if one in named)
        return [f"there is no corruption {', '.join(unknown)} (there are {', '.join(KINDS)})"] if unknown else []
    low, high = _RANGES[key]
    number = float if isinstance(usual[key], float) else int
    try:
        chosen[key] = read = number(value)
    except ValueError:
        return [f"{key} is a number, as {key}={usual[key] or 100}"]
    inside = math.isfinite(read) and low <= read <= high and not (key in _ABOVE and read == low)
    return (
        []
        if inside
        else [f"{key} lies {'above' if key in _ABOVE else 'from'} {low} {'and up to' if key in _ABOVE else 'to'} {high}"]
    )


def _kinds(named: tuple[str, ...]) -> str:
    """Return the kinds in a name of bounded length: many of them by a digest."""
    text = "+".join(named)
    return text if len(named) <= _NAMED else f"{len(named)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def tag(name: str, settings: Mapping[str, Json]) -> str:
    """Return what the settings of a threat, as a card has them, add to the name of what is measured; nothing for the usual ones."""
    usual, found = asdict(THREATS[name]()), []
    for key, value in settings.items():
        if key == "kinds" and isinstance(value, (list, tuple)) and tuple(value) != usual[key]:
            found.append(f"kinds_{_kinds(tuple(map(str, value)))}")
        elif isinstance(value, (int, float)) and value != usual.get(key, value):
            found.append(f"{'to_severity' if key == 'severity' else key}_{value:g}")
    return "".join(f".{one}" for one in found)
