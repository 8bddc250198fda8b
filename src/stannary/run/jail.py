"""The jail: what a process that reads untrusted content may still do.

Levels, each with everything of the one before:

process   limits of memory, files and time; no new privileges; on Linux the system-call filter
          too, where the kernel has it
landlock  only the given paths can be opened, only the scratch folder written; no sockets, no
          processes, no tracing, no mounts, no signals to others, no capabilities
bwrap     started under bubblewrap: name spaces of its own for processes, users, mounts, network

`enter` works in the process that calls it, before it starts a thread, and cannot be undone.
An explicitly asked level that cannot be had raises JailUnavailable: it fails closed. Without
one, the best level that needs no helper program is taken, and what was reached is returned.
Not covered by any level but bwrap: names, sizes and times of other files can be asked for.
"""

from __future__ import annotations

import os
import sys
from typing import Literal

import msgspec

from stannary.core.errors import JailUnavailable
from stannary.run import landlock, limits, seccomp

__all__ = ["LEVELS", "Held", "Jail", "Level", "Probe", "best_level", "enter", "prepare", "probe", "require", "runtime_paths"]

Level = Literal["process", "landlock", "bwrap"]
LEVELS: tuple[Level, ...] = ("process", "landlock", "bwrap")

_GIB = 1 << 30
# Shared libraries and the loader's cache, for extension modules that are imported inside.
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/dev/urandom", "/dev/null")


class Jail(msgspec.Struct, frozen=True):
    """What is allowed. `level` None means the best there is; `memory` and `file_size` in bytes."""

    level: Level | None = None
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    memory: int = 1 * _GIB
    file_size: int = 8 * _GIB
    processor_seconds: int | None = None
    open_files: int = 256


class Held(msgspec.Struct, frozen=True):
    """What was reached: the level, and the mechanisms by name."""

    level: Level
    features: tuple[str, ...] = ()


class Probe(msgspec.Struct, frozen=True):
    """Whether a level can be had here, and why not (or what it rests on)."""

    level: Level
    holds: bool
    reason: str


def probe() -> tuple[Probe, ...]:
    """Try each level without entering it: `process`, `landlock`, `bwrap`. Starts bubblewrap once if it is there."""
    from stannary.run import bubblewrap

    reason = _landlock_problem()
    problem = bubblewrap.problem()
    return (
        Probe("process", holds=True, reason="resource limits" + (", no_new_privs" if _is_linux() else "")),
        Probe("landlock", holds=reason is None, reason=reason or f"Landlock ABI {landlock.abi_version()}, seccomp"),
        Probe(
            "bwrap",
            holds=reason is None and problem is None,
            reason=problem or (f"needs landlock too: {reason}" if reason else "bubblewrap starts"),
        ),
    )


def best_level() -> Level:
    """Return the best level that this process can enter by itself."""
    return "landlock" if _landlock_problem() is None else "process"


def require(level: Level | None) -> Level:
    """Return the level to use. Raises JailUnavailable when `level` is given and cannot be had."""
    if level is None:
        return best_level()
    if level not in LEVELS:
        msg = f"there is no jail level {level!r}; there are {', '.join(LEVELS)}"
        raise JailUnavailable(msg, code="JAIL001")
    problem = None
    if level != "process":
        problem = _landlock_problem()
    if level == "bwrap" and problem is None:
        from stannary.run import bubblewrap

        problem = bubblewrap.problem()
    if problem is not None:
        msg = f"jail level {level} cannot be had here: {problem}"
        raise JailUnavailable(msg, code="JAIL002", help="`stannary doctor` shows which levels hold")
    return level


def prepare(jail: Jail) -> Level:
    """Do what can be done before a fork, and return the level. Raises JailUnavailable."""
    level = require(jail.level)
    if _is_linux():
        seccomp.prepare(os.uname().machine)
    return level


def enter(jail: Jail) -> Held:
    """Confine this process for good. Raises JailUnavailable when the asked level cannot be had."""
    level = require(jail.level if jail.level != "bwrap" else "landlock")
    machine = os.uname().machine
    features = ["limits"]
    try:
        limits.limit(
            memory=jail.memory,
            processor_seconds=jail.processor_seconds,
            open_files=jail.open_files,
            file_size=jail.file_size,
        )
        if _is_linux():
            limits.no_new_privileges()
            features.append("no_new_privs")
        if level != "process":
            abi = landlock.restrict((*runtime_paths(), *jail.read), jail.write)
            features.append(f"landlock-{abi}")
            limits.drop_capabilities(machine)
            features.append("no-capabilities")
        if level != "process" or seccomp.available(machine):
            seccomp.install(machine)
            features.append("seccomp")
    except OSError as exc:
        msg = f"jail level {level} could not be entered: {exc.strerror or exc}"
        raise JailUnavailable(msg, code="JAIL003", help="`stannary doctor` shows which levels hold") from exc
    return Held(level if jail.level != "bwrap" else "bwrap", tuple(features))


def runtime_paths() -> tuple[str, ...]:
    """Return what Python itself reads: its library, the installed packages, shared libraries.

    Folders that merely happen to be on `sys.path`, such as the current one, are not among them.
    """
    found = [os.path.dirname(os.__file__)]
    found += [p for p in sys.path if p.endswith(("site-packages", "dist-packages", "lib-dynload", ".zip"))]
    if sys.pycache_prefix:
        found.append(sys.pycache_prefix)
    for name in ("stannary", "msgspec"):
        module = sys.modules.get(name)
        if module is not None and module.__file__:
            found.append(os.path.dirname(module.__file__))
    return tuple(dict.fromkeys((*found, *_SYSTEM)))


def _is_linux() -> bool:
    return sys.platform.startswith("linux")


def _landlock_problem() -> str | None:
    if not _is_linux():
        return f"{sys.platform} has no Landlock"
    machine = os.uname().machine
    if machine not in seccomp.ARCHITECTURES:
        return f"no system-call table for {machine}"
    if landlock.abi_version() < 1:
        return "the kernel has no Landlock, or has it switched off"
    if not seccomp.available(machine):
        return "the kernel refuses seccomp filters"
    return None
