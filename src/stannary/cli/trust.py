"""A configuration that came with what is scanned cannot soften the scan.

A `stannary.toml` is found upward from the working folder. In a clone that somebody wants scanned it is
as hostile as the rest, so what it accepts or loosens does not count unless `--config` names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from stannary import app
from stannary.cli.config import Config, Setting
from stannary.cli.settings import KEYS
from stannary.core.model import severity_rank
from stannary.report.wording import counted

__all__ = ["softening", "without_softening"]


def without_softening(config: Config, targets: Iterable[str]) -> tuple[Config, tuple[str, ...]]:
    """Return the configuration without what a file inside a target softens, and what that was, in words.

    A file that `--config` named is trusted wherever it lies, and so are the environment and the flags.
    """
    if not config.file or config.explicit or not any(_holds(target, config.file) for target in targets):
        return config, ()
    names = set(_softened(config))
    kept = {name: Setting(KEYS[name].default) if name in names else setting for name, setting in config.settings.items()}
    return msgspec.structs.replace(config, settings=kept, waivers=()), softening(config)


def softening(config: Config) -> tuple[str, ...]:
    """Return, in words, what the file of a configuration accepts or loosens."""
    told = [counted(len(config.waivers), "waiver")] if config.waivers else []
    names = _softened(config)
    if names:
        from stannary.cli.config_command import toml

        told += [f"{name} = {toml(config[name])}" for name in names]
    return tuple(told)


def _softened(config: Config) -> list[str]:
    return [
        name
        for name, setting in config.settings.items()
        if setting.origin == f"{config.file}: {name}" and _softens(name, setting.value)
    ]


def _holds(target: str, file: str) -> bool:
    """Tell whether a file lies in a target, by its name or behind links."""
    if target == "-" or app.is_address(target):
        return False
    from pathlib import Path

    # os.path and not pathlib: one reading does not follow links, and the other must not raise on links in a circle.
    folders = {Path(os.path.abspath(target)), Path(os.path.realpath(target))}  # noqa: PTH100
    files = {Path(os.path.abspath(file)), Path(os.path.realpath(file))}  # noqa: PTH100
    return any(path.is_relative_to(folder) for path in files for folder in folders)


def _softens(name: str, value: Any) -> bool:  # noqa: ANN401 - a setting of any type
    if name.startswith("scan.limits."):  # a lower one makes files incomplete, which is never clean
        return bool(value > KEYS[name].default)
    found = _SOFTER.get(name)
    return found is not None and found(value)


_SOFTER: dict[str, Callable[[Any], bool]] = {
    "scan.fail-on": lambda value: value == "never" or severity_rank(value) < severity_rank(KEYS["scan.fail-on"].default),
    "scan.baseline": bool,
    "scan.cache": lambda value: isinstance(value, str) and bool(value),  # facts that the target brings along
    "scan.jail": lambda value: value == "process",
    "scan.digest": lambda value: not value,
    "scan.plugins": bool,  # code that runs outside the jail
}
