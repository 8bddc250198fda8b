"""`s3://bucket/prefix` (the extra `s3`): one object, or every object below a prefix.

Credentials, region and endpoint are AWS's own environment (AWS_ENDPOINT_URL for others that speak
S3). An ETag that is an MD5 is verified; multi-part ETags are no digest of the content.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.store.sources import Resolved
from stannary.store.sources.fetch import Fetcher, safe_path

if TYPE_CHECKING:
    from obstore.store import S3Config

__all__ = ["fetch"]

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?\Z")
_MD5 = re.compile(r'"?([0-9a-f]{32})"?\Z')
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")


def fetch(target: str, fetcher: Fetcher, dest: Path) -> Resolved:
    """Download what is at, or below, an address."""
    found = _ADDRESS.match(target)
    if not found:
        msg = "not an S3 address"
        raise UsageError(msg, where=target, code="FET003", help="s3://bucket/prefix")
    bucket, prefix = found.group(1), (found.group(2) or "").rstrip("/")
    store = _store(bucket, target, credentials=fetcher.credentials)
    import obstore
    from obstore.exceptions import BaseError

    root = dest / (prefix.rpartition("/")[2] or bucket)
    digests: dict[str, str] = {}
    try:
        for page in obstore.list(store, prefix=prefix or None):
            for item in page:
                key = str(item["path"])
                name = key[len(prefix) :].lstrip("/") or key.rpartition("/")[2]
                digests[name] = _one(store, item, safe_path(root, name, target), fetcher)
        if not digests:
            # A list prefix ends at a slash; the address may be an object.
            item = obstore.head(store, prefix)
            name = prefix.rpartition("/")[2]
            digests[name] = _one(store, item, safe_path(dest, name, target), fetcher)
            root = dest / name
    except BaseError as exc:
        raise BackendError(" ".join(str(exc).split())[:300], where=target, code="FET012") from exc
    return Resolved(root, target, {"kind": "s3", "bucket": bucket, "prefix": prefix, "files": digests})


def _store(bucket: str, target: str, *, credentials: bool) -> Any:  # noqa: ANN401 - obstore has no stubs we rely on
    try:
        from obstore.store import S3Store
    except ImportError as exc:
        msg = "the extra s3 is not installed"
        raise UsageError(msg, where=target, code="FET005", help="pip install 'stannary[s3]'") from exc
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config: S3Config = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
    if endpoint:
        config |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if not credentials or not any(map(os.environ.get, _CREDENTIALS)):
        config["skip_signature"] = True  # a public bucket
    return S3Store(bucket, config=config, client_options={"allow_http": bool(endpoint and endpoint.startswith("http://"))})


def _one(store: Any, item: Any, path: Path, fetcher: Fetcher) -> str:  # noqa: ANN401 - obstore
    import obstore

    size = int(item["size"])
    fetcher.left -= size
    if fetcher.left < 0:
        msg = "more than the cap of the target"
        raise InputError(msg, where=str(item["path"]), code="FET021")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    sha256, md5, done = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with partial.open("wb") as out:
        for chunk in obstore.get(store, str(item["path"])).stream():
            data = bytes(chunk)
            out.write(data)
            sha256.update(data)
            md5.update(data)
            done += len(data)
            if done > size:  # it was counted against the cap as what was announced
                break
    announced = _MD5.match(str(item.get("e_tag") or ""))
    if done != size or (announced and announced.group(1) != md5.hexdigest()):
        partial.unlink()
        msg = f"{done} bytes of md5 {md5.hexdigest()} arrived, {size} bytes of {item.get('e_tag')} announced"
        raise IntegrityError(msg, where=str(item["path"]), code="FET020")
    partial.replace(path)
    return sha256.hexdigest()
