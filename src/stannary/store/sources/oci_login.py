"""Who one is at an OCI registry: what `docker login`, podman, oras and helm keep, and the helpers of Docker that hold it for them.

Reference: containers-auth.json(5); the protocol of docker-credential-helpers (`get`, the server on standard input).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stannary.core.errors import BackendError

__all__ = ["basic"]

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_HELPER = re.compile(r"[\w.-]{1,64}")
_PATIENCE = 30  # seconds that a helper may take: some ask a person


def basic(host: str, repository: str) -> dict[str, str]:
    """Return the header by which a registry knows who asks; none where nobody logged in. Raises BackendError for a wrong file.

    The first file that knows the host, or a namespace of it, counts: $REGISTRY_AUTH_FILE, then podman's, then Docker's.
    """
    for path in _files():
        if path.is_file():
            found = _of(_read(path), path, host, repository)
            if found:
                return {"Authorization": f"Basic {found}"}
    return {}


def _files() -> Iterator[Path]:
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if run := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(run) / "containers" / "auth.json"
    if docker := os.environ.get("DOCKER_CONFIG"):
        yield Path(docker) / "config.json"
    elif home := os.environ.get("HOME") or os.environ.get("USERPROFILE"):
        yield Path(home) / ".docker" / "config.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as exc:
        msg = f"the logins of registries cannot be read: {exc}"
        raise BackendError(msg, where=str(path), code="FET016") from exc
    if not isinstance(found, dict):
        msg = "the logins of registries are no JSON object"
        raise BackendError(msg, where=str(path), code="FET016")
    return found


def _of(config: dict[str, Any], path: Path, host: str, repository: str) -> str:
    """Return `user:password` in base64 of what a file knows of a repository, or an empty text."""
    hosts = ("https://index.docker.io/v1/", *_HUB) if host in _HUB else (host,)
    helpers = _object(config, "credHelpers", path)
    auths = _object(config, "auths", path)
    for name in hosts:
        helper = helpers.get(name) or (config.get("credsStore") if name in auths else None)
        if helper:
            return _helped(str(helper), name, path)
    # The namespace nearest to the repository counts (podman); Docker writes hosts, some as addresses.
    known = {re.sub(r"\Ahttps?://|/(?:v[12]/?)?\Z", "", name): entry for name, entry in auths.items()}
    for at in (*_HUB, "index.docker.io") if host in _HUB else (host,):
        parts = [at, *repository.split("/")]
        for end in range(len(parts), 0, -1):
            entry = known.get("/".join(parts[:end]))
            if isinstance(entry, dict):
                return _entry(entry, path, at)
    return ""


def _object(config: dict[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    found = config.get(name) or {}
    if not isinstance(found, dict):
        msg = f"{name} is no JSON object"
        raise BackendError(msg, where=str(path), code="FET016")
    return found


def _entry(entry: dict[str, Any], path: Path, host: str) -> str:
    auth, user = entry.get("auth"), entry.get("username")
    if auth:
        try:
            if b":" in base64.b64decode(str(auth), validate=True):
                return str(auth)
        except (binascii.Error, ValueError):
            pass
        msg = f"the login of {host} is no name and password in base64"
        raise BackendError(msg, where=str(path), code="FET016")
    if user:
        return base64.b64encode(f"{user}:{entry.get('password', '')}".encode()).decode()
    if entry.get("identitytoken"):
        msg = f"the login of {host} is an identity token, which is not supported"
        raise BackendError(msg, where=str(path), code="FET016", help="log in with a name and a password or an access token")
    return ""


def _helped(helper: str, server: str, path: Path) -> str:
    """Ask a helper of Docker. The program's name is the user's own configuration, as for Docker itself."""
    if not _HELPER.fullmatch(helper):
        msg = f"the helper {helper[:80]!r} is no name of a program"
        raise BackendError(msg, where=str(path), code="FET016")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603 - see above
            [program, "get"], input=server.encode(), capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        msg = f"{program} gave no answer: {exc if isinstance(exc, OSError) else f'none in {_PATIENCE} s'}"
        raise BackendError(msg, where=str(path), code="FET016") from exc
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).decode("utf-8", "replace").split())[:200]
        if "credentials not found" in said:
            return ""
        msg = f"{program} ended with {done.returncode}: {said}"
        raise BackendError(msg, where=str(path), code="FET016")
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        msg = f"{program} answered no name and secret"
        raise BackendError(msg, where=str(path), code="FET016") from exc
    if user == "<token>":
        msg = f"the login of {server} is an identity token, which is not supported"
        raise BackendError(msg, where=str(path), code="FET016", help="log in with a name and a password or an access token")
    return base64.b64encode(f"{user}:{secret}".encode()).decode()
