"""`mlflow:models/NAME/VERSION`, `mlflow:models/NAME@ALIAS`: a model version of an MLflow registry, over its REST API.

The server is MLFLOW_TRACKING_URI (MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD). Artifacts
come through the server's artifact proxy, from `s3://`, or from a folder this machine can see.
MLflow announces no digests: what arrived is recorded.
"""

from __future__ import annotations

import base64
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any

from stannary.core.errors import BackendError, UsageError
from stannary.store.sources import Resolved
from stannary.store.sources.fetch import Fetcher, objects, safe_path
from stannary.store.sources.web import check_scheme

__all__ = ["fetch", "login", "server"]

_ADDRESS = re.compile(r"mlflow:/{0,2}models/([^/@]+)(?:/(\d+)|@([\w.-]+))\Z")
_MOST = 10_000


def fetch(target: str, fetcher: Fetcher, dest: Path) -> Resolved:
    """Find the version's artifacts and download them."""
    found = _ADDRESS.match(target)
    if not found:
        msg = "not a model version"
        raise UsageError(msg, where=target, code="FET003", help="mlflow:models/NAME/3 or mlflow:models/NAME@champion")
    base = server(target)
    name, version, alias = (urllib.parse.unquote(part) if part else "" for part in found.groups())
    headers = login()
    api = f"{base}/api/2.0/mlflow"
    if alias:
        query = urllib.parse.urlencode({"name": name, "alias": alias})
        found_version = _field(fetcher.json(f"{api}/registered-models/alias?{query}", headers), "model_version", target)
        version = str(_field(found_version, "version", target))
    query = urllib.parse.urlencode({"name": name, "version": version})
    uri = str(_field(fetcher.json(f"{api}/model-versions/get-download-uri?{query}", headers), "artifact_uri", target))
    origin: dict[str, Any] = {"kind": "mlflow", "server": base, "name": name, "version": version, "artifacts": uri}
    if uri.startswith("s3://"):
        from stannary.store.sources import bucket

        return bucket.fetch(uri, fetcher, dest)._replace(display=target, source=origin)
    if uri.startswith(("mlflow-artifacts:", f"{base}/")):
        root = dest / "artifacts"
        full = urllib.parse.urlsplit(uri).path
        path = full.partition("/mlflow-artifacts/artifacts/")[2] or full.lstrip("/")
        origin["files"] = _proxied(fetcher, f"{base}/api/2.0/mlflow-artifacts/artifacts", path, root, headers, target)
        return Resolved(root, target, origin)
    local = Path(urllib.parse.unquote(urllib.parse.urlsplit(uri).path))
    if uri.startswith(("file:", "/")) and local.is_dir():
        return Resolved(local, target, origin)
    msg = f"the artifacts are at {uri}, which cannot be reached from here"
    raise BackendError(msg, where=target, code="FET015", help="serve artifacts through the tracking server (--serve-artifacts)")


def _proxied(fetcher: Fetcher, api: str, start: str, root: Path, headers: dict[str, str], target: str) -> dict[str, str]:
    root.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    todo, seen = [""], 0
    while todo:
        folder = todo.pop()
        query = urllib.parse.urlencode({"path": f"{start}/{folder}".rstrip("/")})
        for entry in objects(fetcher.json(f"{api}?{query}", headers), "files", target):
            seen += 1
            if seen > _MOST:
                msg = f"more than {_MOST} artifacts"
                raise BackendError(msg, where=target, code="FET013")
            name = f"{folder}/{str(entry.get('path', '')).rpartition('/')[2]}".lstrip("/")
            path = safe_path(root, name, target)
            if entry.get("is_dir"):
                todo.append(name)
            else:
                url = f"{api}/{urllib.parse.quote(f'{start}/{name}')}"
                digests[name] = fetcher.download(url, path, headers=headers, size=entry.get("file_size")).sha256
    return digests


def server(target: str) -> str:
    """Return the address of the server that MLFLOW_TRACKING_URI names. Raises UsageError."""
    base = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    if not base.startswith(("http://", "https://")):
        msg = "MLFLOW_TRACKING_URI names no server"
        raise UsageError(msg, where=target, code="FET004", help="export MLFLOW_TRACKING_URI=https://…")
    check_scheme(base)
    return base


def login() -> dict[str, str]:
    """Return the header by which the server knows who asks, as MLflow's own client sends it."""
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    if token:
        return {"Authorization": f"Bearer {token}"}
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()} if user else {}


def _field(answer: Any, name: str, target: str) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(answer, dict) or name not in answer:
        msg = f"the server's answer has no {name}"
        raise BackendError(msg, where=target, code="FET013")
    return answer[name]
