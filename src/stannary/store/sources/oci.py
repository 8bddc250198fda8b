"""`oci://host[:port]/repository[:tag|@sha256:…]`: artifacts and images of an OCI registry.

Reference: OCI distribution specification 1.1 and image specification 1.1. Every blob is verified
against its digest, the manifest against the digest it was asked by. The layers become files
named by their title annotation, or by their digest.
"""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.store.sources import Resolved
from stannary.store.sources.fetch import Fetcher, json_object, objects, safe_path

__all__ = ["fetch"]

_ADDRESS = re.compile(r"oci://([\w.-]+(?::\d+)?)/([a-z0-9._/-]+?)(?::([\w.-]{1,128}))?(?:@(sha256:[0-9a-f]{64}))?\Z")
_ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFEST_CAP = 8 << 20
_EMPTY = 2  # bytes of a configuration that is `{}`
_LOOPBACK = ("127.0.0.1", "localhost")


class _Registry:
    def __init__(self, host: str, repository: str, fetcher: Fetcher) -> None:
        scheme = "http" if host.partition(":")[0] in _LOOPBACK else "https"
        self.base = f"{scheme}://{host}/v2/{repository}"
        self.repository = repository
        self.fetcher = fetcher
        self.headers: dict[str, str] = {}

    def manifest(self, reference: str) -> tuple[dict[str, Any], str]:
        """Return a manifest and its digest; the digest is verified when the reference is one."""
        url = f"{self.base}/manifests/{reference}"
        raw = self._read(url)
        digest = "sha256:" + hashlib.sha256(raw).hexdigest()
        if reference.startswith("sha256:") and digest != reference:
            msg = f"manifest {digest} arrived, {reference} asked for"
            raise IntegrityError(msg, where=url, code="FET020")
        return json_object(raw, url), digest

    def _read(self, url: str) -> bytes:
        for _ in range(2):
            try:
                return self.fetcher.read(url, {"Accept": _ACCEPT, **self.headers}, _MANIFEST_CAP)
            except urllib.error.HTTPError as exc:
                if exc.code != 401 or self.headers:  # noqa: PLR2004 - Unauthorized
                    msg = f"HTTP {exc.code} {exc.reason}"
                    raise BackendError(msg, where=url, code="FET012") from exc
                self._authorize(exc.headers.get("WWW-Authenticate", ""), url)
        msg = "the registry asks for a login"
        raise BackendError(msg, where=url, code="FET012")

    def _authorize(self, challenge: str, url: str) -> None:
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.get("realm", "")
        # A registry elsewhere does not send us to what listens on this machine, whose answer it would be shown.
        here = self.base.startswith("http://") and re.match(r"http://(?:127\.0\.0\.1|localhost)[:/]", realm)
        trusted = realm.startswith("https://") or here
        if not challenge.lower().startswith("bearer") or not trusted:
            msg = "the registry asks for a login that is not a bearer token"
            raise BackendError(msg, where=url, code="FET012")
        query = urllib.parse.urlencode({"service": fields.get("service", ""), "scope": f"repository:{self.repository}:pull"})
        answer = self.fetcher.json(f"{realm}?{query}")
        self.headers = {"Authorization": f"Bearer {answer.get('token') or answer.get('access_token', '')}"}

    def blob(self, layer: dict[str, Any], path: Path) -> None:
        """Download a layer, verified against its digest and size."""
        digest = str(layer.get("digest", ""))
        if not _DIGEST.fullmatch(digest):
            msg = f"layer of an unsupported digest {digest[:80]!r}"
            raise BackendError(msg, where=self.base, code="FET013")
        self.fetcher.download(f"{self.base}/blobs/{digest}", path, headers=self.headers, sha256=digest[7:], size=layer.get("size"))


def fetch(target: str, fetcher: Fetcher, dest: Path) -> Resolved:
    """Download the manifest, its configuration and all layers."""
    found = _ADDRESS.match(target)
    if not found:
        msg = "not an address of an OCI registry"
        raise UsageError(msg, where=target, code="FET003", help="oci://host/repository:tag or oci://host/repository@sha256:…")
    host, repository, tag, pin = found.groups()
    registry = _Registry(host, repository, fetcher)
    manifest, digest = registry.manifest(pin or tag or "latest")
    if "manifests" in manifest:
        manifest, _ = registry.manifest(_chosen(objects(manifest, "manifests", target), target))
    root = dest / repository.rpartition("/")[2]
    root.mkdir(parents=True, exist_ok=True)
    names = {}
    config = manifest.get("config")
    size = config.get("size") if isinstance(config, dict) else None
    told = [config] if isinstance(config, dict) and isinstance(size, int) and size > _EMPTY else []
    for layer in [*objects(manifest, "layers", target), *told]:
        annotations = layer.get("annotations")
        title = annotations.get("org.opencontainers.image.title") if isinstance(annotations, dict) else None
        name = str(title or str(layer.get("digest", "")).replace(":", "-"))
        registry.blob(layer, safe_path(root, name, target))
        names[name] = layer["digest"]
    return Resolved(root, target, {"kind": "oci", "host": host, "repository": repository, "digest": digest, "files": names})


def _chosen(entries: list[dict[str, Any]], target: str) -> str:
    """Return the digest of the manifest that an index is followed to: by a digest alone, so that what arrives is verified."""
    platforms = [entry.get("platform") for entry in entries]
    preferred = (number for number, row in enumerate(platforms) if isinstance(row, dict) and row.get("architecture") == "amd64")
    digest = str(entries[next(preferred, 0)].get("digest")) if entries else ""
    if not _DIGEST.fullmatch(digest):
        msg = "the index names no manifest by its digest" if entries else "the index names no manifest"
        raise BackendError(msg, where=target, code="FET013")
    return digest
