"""What is named becomes something on this disk: paths, addresses, versions of the registry, stdin. It can be scanned then."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from stannary.core.errors import StannaryError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from stannary.checks.static.result import ScanResult
    from stannary.checks.static.scan import ScanOptions, Target

__all__ = ["check_names", "is_address", "located", "registry_home", "scan"]

_ADDRESS = re.compile(r"(hf|https?|s3|mlflow|oci|registry):", re.IGNORECASE)


def scan(
    names: Sequence[str],
    options: ScanOptions,
    *,
    offline: bool = False,
    stdin: BinaryIO | None = None,
    workspace: str | None = None,
) -> ScanResult:
    """Scan what is named: paths, addresses, `-` for stdin; `workspace` has the registry, where that is not the one found upward.

    Raises UsageError, BackendError or a group of everything that could not be had; then nothing is scanned.
    """
    from stannary.checks.static.scan import scan_paths  # a server starts without the scanner

    with located(names, offline=offline, stdin=stdin, workspace=workspace) as targets:
        return scan_paths(targets, options)


@contextmanager
def located(
    names: Sequence[str], *, offline: bool = False, stdin: BinaryIO | None = None, workspace: str | None = None
) -> Iterator[list[Target]]:
    """Make every name a target on this disk. What was fetched or spooled is gone when the block ends."""
    _check_whose(names, workspace)
    with ExitStack() as stack:
        found: list[Target] = []
        problems: list[StannaryError] = []
        for name in names:
            try:
                found.append(_locate(name, stack, offline, stdin, workspace))
            except StannaryError as error:
                problems.append(error)
        if problems:
            msg = "targets"
            raise ExceptionGroup(msg, problems)
        yield found


def is_address(name: str) -> bool:
    """Tell whether a name is fetched: a scheme we know, and no file of that name."""
    return _ADDRESS.match(name) is not None and not os.path.exists(name)


def check_names(names: Sequence[str]) -> None:
    """Raise a group of UsageError for the names that cannot be targets; what is fetched is not asked for."""
    problems = [problem for name in names if name != "-" and not is_address(name) and (problem := _unusable(name)) is not None]
    if problems:
        msg = "targets"
        raise ExceptionGroup(msg, problems)


def _unusable(name: str) -> UsageError | None:
    if not name:
        msg = "the name of a target is empty"
        return UsageError(msg, where="TARGET", code="USE010", help="is a variable of the shell not set? `.` is the current folder")
    if os.path.lexists(name):
        return None
    hint = "a TARGET is a file, a folder, or an address such as hf://org/model"
    msg = "there is no such file or folder"
    if "://" in name:
        hint = "there are hf://, https://, s3://, mlflow: and oci:// addresses"
        msg = "is not an address that can be fetched"
    return UsageError(msg, where=name, code="USE010", help=hint)


def registry_home(workspace: str | None, *, record: bool) -> str | None:
    """Return the workspace whose registry is meant: with a server, one that is named is where to record, and no other."""
    return None if record and os.environ.get("STANNARY_SERVER") else workspace


def _check_whose(names: Sequence[str], workspace: str | None) -> None:
    """Raise UsageError for a version of the registry when both a server and a workspace are named that could have it."""
    if workspace and os.environ.get("STANNARY_SERVER") and any(is_address(n) and n.lower().startswith("registry:") for n in names):
        msg = "a server (STANNARY_SERVER) and a workspace are named, and only one can be asked"
        raise UsageError(msg, where="--workspace", code="USE014", help="unset STANNARY_SERVER, or leave out --workspace")


def _locate(
    name: str,
    stack: ExitStack,
    offline: bool,  # noqa: FBT001 - private, passed on
    stdin: BinaryIO | None,
    workspace: str | None,
) -> Target:
    from stannary.checks.static.scan import Target

    if name == "-":
        return _spool(stack, stdin)
    if is_address(name):
        if name.lower().startswith("registry:"):
            return _from_registry(name, stack, offline, workspace)
        from stannary.store.sources import resolve

        resolved = resolve(name, offline=offline, dest=_scratch(stack))
        return Target(path=str(resolved.path), display=resolved.display, source=dict(resolved.source))
    problem = _unusable(name)
    if problem is not None:
        raise problem
    return Target(path=name)


def _from_registry(name: str, stack: ExitStack, offline: bool, home: str | None) -> Target:  # noqa: FBT001 - private, passed on
    """Return a version of the registry: of the server that STANNARY_SERVER names, or of the workspace without one."""
    server = os.environ.get("STANNARY_SERVER", "")
    if server:
        return _from_server(name, server, stack, offline)
    from stannary.app.places import open_registry
    from stannary.checks.static.scan import Target
    from stannary.evidence.workspace import Workspace
    from stannary.registry.names import parse

    version, path = open_registry(Workspace.find(home), write=False).pull(parse(name), _scratch(stack) / "artifact")
    return Target(path=str(path), display=name, source={"registry": str(version), "digest": version.digest})


def _from_server(name: str, server: str, stack: ExitStack, offline: bool) -> Target:  # noqa: FBT001 - private, passed on
    from stannary.access.kept_tokens import token_for
    from stannary.checks.static.scan import Target
    from stannary.registry.client import Client
    from stannary.registry.names import parse

    if offline:
        msg = "is of a server (STANNARY_SERVER), and --offline opens no socket"
        raise UsageError(msg, where=name, code="FET002", help="unset STANNARY_SERVER to have the workspace's own")
    client = Client(server, token_for(server))
    version, path = client.pull(parse(name), _scratch(stack) / "artifact")
    return Target(path=str(path), display=name, source={"registry": str(version), "digest": version.digest, "server": server})


def _spool(stack: ExitStack, stdin: BinaryIO | None) -> Target:
    from stannary.checks.static.scan import Target

    if stdin is None or stdin.isatty():
        msg = "there is nothing to read on stdin"
        raise UsageError(msg, where="-", code="USE011", help="pipe the content in: stannary scan - < model.pkl")
    import shutil

    path = _scratch(stack) / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(stdin, file, 1 << 20)
    return Target(path=str(path), display="stdin", source={"stdin": True})


def _scratch(stack: ExitStack) -> Path:
    from pathlib import Path  # 9 ms with what it imports, that a scan of what is on this disk does not pay

    from stannary.run import scratch

    folder = scratch.make()
    stack.callback(scratch.remove, folder)
    return Path(folder)
