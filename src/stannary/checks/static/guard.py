"""The load guard: whatever loads a model inside it, refuses what the scanner would.

    with stannary.guard():
        model = torch.load("model.pt", weights_only=False)

Two nets, both of them CPython's own audit events, so that they hold for torch, joblib, numpy,
dill and any other loader without patching one:
- `open`: a file opened for reading that is a model is scanned before its first byte is read;
- `pickle.find_class`: every import an unpickler asks for is judged by name, wherever the bytes
  came from. Starting processes, loading libraries and unmarshalling code are refused as well.

The guard holds in the thread (and task) that entered it. An audit hook cannot be removed; it
does nothing outside a guard. A file that changes between the scan and the load is still under
the second net; `safe_load` reads the bytes once and has no such gap.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from stannary.checks.static.knowledge import load as load_knowledge
from stannary.checks.static.result import FileReport, ScanFinding
from stannary.checks.static.ruleset import load as load_rules
from stannary.checks.static.verdict import findings_of
from stannary.checks.static.walk import read_file, read_view
from stannary.core.errors import PolicyDenied, UsageError
from stannary.core.model import Severity, severity_rank
from stannary.formats.interface import View

__all__ = ["LoadRefused", "guard", "safe_load"]

_REFUSED_EVENTS = frozenset({
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "os.startfile", "subprocess.Popen", "pty.spawn",
    "marshal.loads", "marshal.load", "ctypes.dlopen", "webbrowser.open", "socket.connect", "socket.bind", "urllib.Request",
})  # fmt: skip
_CODE = (".py", ".pyc", ".so", ".dll", ".dylib", ".pyd", ".pth", ".egg-link")


class LoadRefused(PolicyDenied):
    """A load was refused. `findings` are the scanner's, empty when an audit event was refused."""

    def __init__(self, message: str, *, where: str | None = None, findings: tuple[ScanFinding, ...] = ()) -> None:
        super().__init__(message, where=where, code="GRD001", help=f"stannary scan {where}" if where else None)
        self.findings = findings


class _Guard(NamedTuple):
    fail_on: Severity
    allow: tuple[str, ...]
    incomplete: bool
    seen: dict[tuple[str, int, int, int], bool]


_active: ContextVar[_Guard | None] = ContextVar("stannary_guard", default=None)
_busy: ContextVar[bool] = ContextVar("stannary_guard_busy", default=False)
_hooked = False
_OURS: tuple[str, ...] = ()


@contextmanager
def guard(*, fail_on: Severity = "medium", allow: tuple[str, ...] = (), incomplete: bool = False) -> Iterator[None]:
    """Refuse dangerous loads in the block.

    Args:
        fail_on: refuse at findings of this severity or worse.
        allow: dotted names, or prefixes ending in a dot, of classes of your own.
        incomplete: load what could not be analysed completely; refused by default.

    Raises LoadRefused from inside the loader that was called.
    """
    global _hooked, _OURS  # noqa: PLW0603 - one hook a process
    load_rules()  # what the hook needs is read before it is on
    load_knowledge()
    if not _hooked:
        paths = sysconfig.get_paths()
        _OURS = tuple(
            os.path.realpath(p) + os.sep
            for p in {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], *_extra()}
        )
        sys.addaudithook(_hook)
        _hooked = True
    token = _active.set(_Guard(fail_on, allow, incomplete, {}))
    try:
        yield
    finally:
        _active.reset(token)


def _extra() -> tuple[str, ...]:
    # Not /dev: devices are no regular files, and in /dev/shm anybody may put a model.
    return ("/proc", "/sys", "/etc", "/usr/share", "/usr/lib")


def safe_load(path: str | os.PathLike[str], *, fail_on: Severity = "medium", allow: tuple[str, ...] = (), **options: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """Scan a model file, then load the very bytes that were scanned.

    safetensors, numpy, torch, joblib and plain pickles are loaded by their own libraries;
    `options` go to them. Raises LoadRefused, UsageError for a format that has no loader here.
    """
    content = Path(path).read_bytes()
    name = os.fspath(path)
    report = read_view(View(content, name))
    _refuse(report, name, _Guard(fail_on, allow, incomplete=False, seen={}))
    loader = _loader(report.formats, content[:8])
    with guard(fail_on=fail_on, allow=allow):
        return loader(content, options)


def _loader(formats: tuple[str, ...], head: bytes) -> Callable[[bytes, dict[str, Any]], Any]:
    first = {name for name in formats if ":" not in name}
    if "safetensors" in first:
        return _safetensors
    if "numpy" in first:
        return _numpy
    if "zip" in first:
        return _numpy if any(name.endswith(".npy:numpy") for name in formats) else _torch
    if "pickle" in first:
        return _torch if head[:4] == b"\x80\x02\x8a\n" else _joblib
    if first & {"gzip", "bz2", "xz", "lzma", "zlib", "lz4", "joblib-z"}:
        return _joblib
    msg = f"no loader for {', '.join(sorted(first)) or 'this format'}"
    raise UsageError(msg)


def _safetensors(content: bytes, _options: dict[str, Any]) -> Any:  # noqa: ANN401
    from safetensors.numpy import load

    return load(content)


def _numpy(content: bytes, options: dict[str, Any]) -> Any:  # noqa: ANN401
    import numpy as np

    return np.load(io.BytesIO(content), **{"allow_pickle": True, **options})


def _torch(content: bytes, options: dict[str, Any]) -> Any:  # noqa: ANN401
    import torch

    return torch.load(io.BytesIO(content), **{"map_location": "cpu", "weights_only": False, **options})


def _joblib(content: bytes, options: dict[str, Any]) -> Any:  # noqa: ANN401
    try:
        import joblib
    except ImportError:
        import pickle

        return pickle.loads(content, **options)  # noqa: S301 - scanned, and under the guard
    return joblib.load(io.BytesIO(content), **options)


def _refuse(report: FileReport, name: str, settings: _Guard) -> None:
    findings = tuple(findings_of(report, load_rules(), name))
    limit = severity_rank(settings.fail_on)
    bad = tuple(
        f for f in findings if severity_rank(f.severity) <= limit and not _allowed(str(f.evidence.get("global", "")), settings)
    )
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        msg = f"refused: {bad[0].message} ({bad[0].rule}, {bad[0].severity}){more}"
        raise LoadRefused(msg, where=name, findings=bad)
    if report.missed and not report.skipped and not settings.incomplete:
        msg = f"refused: it could not be analysed completely: {report.missed[0].reason}"
        raise LoadRefused(msg, where=name, findings=findings)


def _allowed(dotted: str, settings: _Guard) -> bool:
    return any(dotted == a or (a.endswith(".") and dotted.startswith(a)) for a in settings.allow)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    settings = _active.get()
    if settings is None or _busy.get():
        return
    if event == "open":
        _on_open(args, settings)
    elif event == "pickle.find_class":
        _on_name(str(args[0]), str(args[1]), settings)
    elif event in _REFUSED_EVENTS and not _importing():
        msg = f"refused: {event} while a model is loaded"
        raise LoadRefused(msg)


def _importing() -> bool:
    """Tell whether an import statement is under way: libraries load their own code through these events."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - the only way to see who raised the event
    for _ in range(60):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") in {"importlib._bootstrap", "importlib._bootstrap_external"}:
            return True
        frame = frame.f_back
    return False


def _on_open(args: tuple[Any, ...], settings: _Guard) -> None:
    path, mode = args[0], args[1]
    if not isinstance(path, (str, bytes)) or (isinstance(mode, str) and set(mode) & set("wax+")):
        return
    name = os.fsdecode(path)
    real = os.path.realpath(name)
    if name.endswith(_CODE) or real.startswith(_OURS):
        return
    token = _busy.set(True)
    try:
        try:
            status = os.stat(real)  # noqa: PTH116 - inside an audit hook: no more than needed
        except OSError:
            return  # the loader will say so
        key = (real, status.st_size, status.st_mtime_ns, status.st_ino)
        if key not in settings.seen and stat.S_ISREG(status.st_mode):
            report = read_file(real, name=name)
            _refuse(report, name, settings)
            settings.seen[key] = True
    finally:
        _busy.reset(token)


def _on_name(module: str, name: str, settings: _Guard) -> None:
    known = load_knowledge()
    if known.role(module, name) or _allowed(f"{module}.{name}", settings):
        return
    gadget = known.gadget(module, name)
    if gadget or known.is_stdlib(module) or ("." in name and not name[:1].isupper()):
        why = gadget.what if gadget else "no pickler writes it"
        msg = f"refused: the pickle imports {module}.{name}: {why}"
        raise LoadRefused(msg)
