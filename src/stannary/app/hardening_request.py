"""What hardening is asked for, what its guarded process is given, what that gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from stannary.app.guarding import Told
from stannary.app.opening import Admitted
from stannary.core.errors import UsageError
from stannary.harden.card import HardeningResult
from stannary.harden.methods import method

__all__ = ["HardenAnswer", "HardenRequest", "HardenWork"]


class HardenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What `harden` was asked for, by the names of its options."""

    model: str
    method: str
    data: str
    test: str | None = None
    target: str = ""
    output: str | None = None
    preset: str = "standard"
    norm: str | None = None
    eps: float | None = None
    steps: int = 7
    epochs: int = 10
    batch: int = 128
    rate: float = 1e-3
    samples: int = 300
    max_accuracy_loss: float = 0.1
    shadows: int = 0
    seed: int = 0
    settings: Mapping[str, float] = {}
    domain: str | None = None
    device: str = "cpu"
    jail: Literal["process", "landlock", "bwrap"] | None = None
    trust: bool = False
    offline: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> HardenRequest:
        """Return the request of a command line. Raises UsageError for what does not go together."""
        chosen = method(given["method"])
        settings: dict[str, float] = {}
        problems = []
        for text in given["settings"]:
            name, equals, value = text.partition("=")
            try:
                settings[name] = float(value)
            except ValueError:
                problems.append(f"--set {text}: a number, as in --set {name or 'NAME'}=0.5")
            if equals and name not in chosen.settings:
                problems.append(f"{given['method']} has no setting {name!r} (it has {', '.join(chosen.settings) or 'none'})")
        made = cls(
            **{name: given[name] for name in cls.__struct_fields__ if name in given and name != "settings"}, settings=settings
        )
        if made.device != "cpu" and not made.trust and not made.is_function:
            problems.append(f"--device {made.device} runs outside of the guard: add --trust")
        if problems:
            raise UsageError("; ".join(problems), code="USE013", help="stannary harden --help")
        return made

    @property
    def is_function(self) -> bool:
        """Whether the model is named as `module:function`, code of the caller's own."""
        from stannary.app.evaluation_request import Request

        return Request(model=self.model).is_function


class HardenWork(msgspec.Struct, frozen=True, kw_only=True):
    """What the guarded process is given; the hardened model is written to `folder`, as `hardened`."""

    request: HardenRequest
    model: Admitted | None = None
    folder: str = ""
    jail: str = "none"


class HardenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What it gives back: the result and the kind of file that it wrote, or an error."""

    result: HardeningResult | None = None
    kind: str = ""
    error: Told | None = None
