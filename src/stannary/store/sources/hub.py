"""`hf://org/model[@revision]` (also `hf://datasets/…`, `hf://spaces/…`): the Hugging Face hub, or its local cache.

The hub's API announces for each file a SHA-256 (LFS) or a git blob id; both are verified. The
endpoint and the token are the hub's own: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple

from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.store.sources import Resolved
from stannary.store.sources.fetch import Fetcher, objects, safe_path
from stannary.store.sources.web import check_scheme

__all__ = ["cached", "fetch"]

_ADDRESS = re.compile(r"hf://(?:(models|datasets|spaces)/)?([\w.-]+(?:/[\w.-]+)?)(?:@([\w./-]+))?/?\Z")


class _Repository(NamedTuple):
    kind: str
    name: str
    revision: str


def _parse(target: str) -> _Repository:
    found = _ADDRESS.match(target)
    if not found or ".." in target:
        msg = "not an address of the hub"
        raise UsageError(msg, where=target, code="FET003", help="hf://org/model, hf://org/model@revision, hf://datasets/org/name")
    return _Repository(found.group(1) or "models", found.group(2), found.group(3) or "main")


def cached(target: str) -> Resolved | None:
    """Return the newest snapshot in the hub's local cache, None when there is none."""
    repository = _parse(target)
    home = os.environ.get("HF_HUB_CACHE") or str(Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub")
    folder = Path(home).expanduser() / f"{repository.kind}--{repository.name.replace('/', '--')}"
    reference = folder / "refs" / repository.revision
    revision = reference.read_text(encoding="ascii").strip() if reference.is_file() else repository.revision
    snapshot = folder / "snapshots" / revision
    if not re.fullmatch(r"[0-9a-f]{40}", revision) or not snapshot.is_dir():
        return None
    return Resolved(snapshot, target, {"kind": "hf", "repository": repository.name, "revision": revision, "cache": True})


def fetch(target: str, fetcher: Fetcher, dest: Path) -> Resolved:
    """Download every file of a revision, pinned to its commit."""
    repository = _parse(target)
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    check_scheme(endpoint)
    token = os.environ.get("HF_TOKEN", "") if fetcher.credentials else ""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    revision = urllib.parse.quote(repository.revision, safe="")
    listing = fetcher.json(f"{endpoint}/api/{repository.kind}/{repository.name}/revision/{revision}?blobs=true", headers)
    commit, files = listing.get("sha"), objects(listing, "siblings", target)
    if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40}", commit) or "siblings" not in listing:
        msg = "the hub's answer names no commit and files"
        raise BackendError(msg, where=target, code="FET013")
    root = dest / repository.name.rpartition("/")[2]
    root.mkdir(parents=True, exist_ok=True)
    prefix = "" if repository.kind == "models" else f"{repository.kind}/"
    digests = {}
    for entry in files:
        name = str(entry.get("rfilename", ""))
        path = safe_path(root, name, target)
        url = f"{endpoint}/{prefix}{repository.name}/resolve/{commit}/{urllib.parse.quote(name)}"
        digests[name] = _one(fetcher, url, path, entry, headers)
    return Resolved(
        root, target, {"kind": "hf", "repository": repository.name, "revision": commit, "endpoint": endpoint, "files": digests}
    )


def _one(fetcher: Fetcher, url: str, path: Path, entry: dict[str, Any], headers: dict[str, str]) -> str:
    lfs = entry.get("lfs")
    lfs = lfs if isinstance(lfs, dict) else {}
    got = fetcher.download(url, path, headers=headers, sha256=str(lfs.get("sha256", "")), size=entry.get("size"))
    blob = entry.get("blobId")
    if not lfs and isinstance(blob, str) and blob:
        content = path.read_bytes()
        # Git's own identity of a blob, which the hub announces for files outside LFS.
        actual = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        if actual != blob:
            path.unlink()
            msg = f"git blob {actual} arrived, {blob} announced"
            raise IntegrityError(msg, where=url, code="FET020")
    return got.sha256
