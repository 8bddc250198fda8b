"""Configuration: `stannary.toml` or `[tool.stannary]` found upward, then `STANNARY_*`, then flags.

Every value carries where it came from. Everything that is wrong is reported together, with file and key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from stannary.cli.settings import KEYS
from stannary.core.errors import UsageError

__all__ = ["Config", "Setting", "load"]

_BY_VARIABLE = {key.variable: key for key in KEYS.values()}
_LISTED = "`stannary config show` lists the settings"


class Setting(msgspec.Struct, frozen=True):
    """A value and where it came from: `default`, `FILE: KEY`, `env NAME`, `flag`."""

    value: Any
    origin: str = "default"


class Config(msgspec.Struct, frozen=True):
    """All settings, the `[[waiver]]` tables as written, and the file they came from."""

    settings: Mapping[str, Setting]
    waivers: tuple[dict[str, Any], ...] = ()
    file: str = ""
    explicit: bool = False  # --config named the file

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a setting of any type
        return self.settings[name].value

    def with_flags(self, flags: Mapping[str, Any]) -> Config:
        """Return the configuration with what the command line says on top; None means not given."""
        given = {name: Setting(value, "flag") for name, value in flags.items() if value is not None}
        return msgspec.structs.replace(self, settings={**self.settings, **given})


def load(explicit: str | None = None, *, start: str | os.PathLike[str] = "", environ: Mapping[str, str] | None = None) -> Config:
    """Find, read and check the configuration. Raises an ExceptionGroup of UsageError."""
    loading = _Loading()
    loading.file(explicit, os.path.abspath(start))
    loading.environment(os.environ if environ is None else environ)
    if loading.problems:
        msg = "the configuration has errors"
        raise ExceptionGroup(msg, loading.problems)
    return Config(loading.settings, tuple(loading.waivers), loading.path, bool(explicit))


class _Loading:
    """What has been read so far, and everything that was wrong with it."""

    def __init__(self) -> None:
        self.settings = {name: Setting(key.default) for name, key in KEYS.items()}
        self.waivers: list[dict[str, Any]] = []
        self.path = ""
        self.problems: list[UsageError] = []

    def file(self, explicit: str | None, start: str) -> None:
        """Read the explicit file, or the nearest upward."""
        table = self._find(explicit, start)
        waivers = table.pop("waiver", [])
        if isinstance(waivers, list) and all(isinstance(item, dict) for item in waivers):
            self.waivers = waivers
        else:
            self._problem(f"{self.path}: waiver", "is written as [[waiver]], once for each")
        for name, value in _leaves(table):
            self._put(name, value, f"{self.path}: {name}", typed=True)

    def environment(self, environ: Mapping[str, str]) -> None:
        """Read `STANNARY_*`. Only the names of scan settings are checked: other variables are for other commands."""
        for variable, text in sorted(environ.items()):
            if variable in _BY_VARIABLE:
                self._put(_BY_VARIABLE[variable].name, text, f"env {variable}")
            elif variable.startswith("STANNARY_SCAN_"):
                self._problem(f"env {variable}", "is not a setting", _near(variable, _BY_VARIABLE))

    def _find(self, explicit: str | None, start: str) -> dict[str, Any]:
        for path in [explicit] if explicit else _upward(start):
            if not os.path.isfile(path):
                continue
            shown = os.path.relpath(path)
            shared = os.path.basename(path) == "pyproject.toml"
            try:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                if shared and "stannary" not in text:
                    continue  # somebody else's: not worth a parser
                import tomllib

                content = tomllib.loads(text)
            except (ValueError, OSError) as exc:  # not UTF-8, or not TOML
                self._problem(shown, f"cannot be read: {exc}")
                return {}
            found = content.get("tool", {}).get("stannary") if shared else content
            if isinstance(found, dict):
                self.path = shown
                return found
        return {}

    def _put(self, name: str, value: Any, origin: str, *, typed: bool = False) -> None:  # noqa: ANN401 - text, or what TOML has
        key = KEYS.get(name)
        if key is None:
            self._problem(origin, "is not a setting", _near(name, KEYS))
            return
        try:
            self.settings[name] = Setting(msgspec.convert(value, key.type) if typed else key.of_text(value), origin)
        except msgspec.ValidationError as exc:
            self._problem(origin, f"{str(exc).lower()}; got {value!r}")

    def _problem(self, where: str, message: str, help_text: str = _LISTED) -> None:
        self.problems.append(UsageError(message, where=where, code="CFG001", help=help_text))


def _upward(folder: str) -> Iterator[str]:
    """Yield where a configuration may lie, nearest first. os.path and not pathlib, which costs every start 3 ms."""
    while True:
        yield os.path.join(folder, "stannary.toml")
        yield os.path.join(folder, "pyproject.toml")
        if os.path.dirname(folder) == folder:
            return
        folder = os.path.dirname(folder)


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = prefix + key
        if isinstance(value, dict) and name not in KEYS:
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def _near(name: str, known: Mapping[str, object]) -> str:
    import difflib

    found = difflib.get_close_matches(name, known, 1)
    return f"did you mean {found[0]}?" if found else _LISTED
