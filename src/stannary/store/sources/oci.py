"""`oci://host[:port]/repository[:tag|@sha256:…]`: artifacts and images of an OCI registry.

Reference: OCI distribution specification 1.1 and image specification 1.1. Every blob is verified
against its digest, the manifest against the digest it was asked by. The layers become files
named by their title annotation, or by their digest; each manifest of an index has a folder of its own,
for a tag is all that any machine is given by it. Who asks is known by what `docker login` kept (`oci_login.py`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.store.sources import Resolved
from stannary.store.sources.fetch import Fetcher, json_object, objects, safe_path
from stannary.store.sources.oci_login import basic

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
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_MANIFESTS, _LAYERS = 64, 10_000  # of an index, of all its manifests together
_LIFE, _MARGIN = 60, 10  # seconds that a token holds where nothing is said of it; how long before its end another is asked for


class _Registry:
    def __init__(self, host: str, repository: str, fetcher: Fetcher) -> None:
        scheme = "http" if host.partition(":")[0] in _LOOPBACK else "https"
        if host in _HUB and "/" not in repository:
            repository = f"library/{repository}"  # as `docker pull` has it
        self.base = f"{scheme}://{_HUB.get(host, host)}/v2/{repository}"
        self.host = host
        self.repository = repository
        self.fetcher = fetcher
        self.headers: dict[str, str] = {}
        self.challenge = ""
        self.until = 0.0
        self.kept: dict[str, Path] = {}
        self.help = f"docker login {host}, or podman, oras or helm: what they keep is read"

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
                exc.close()
                if exc.code != 401 or self.headers:  # noqa: PLR2004 - Unauthorized
                    msg = f"HTTP {exc.code} {exc.reason}"
                    raise BackendError(msg, where=url, code="FET012") from exc
                self._authorize(exc.headers.get("WWW-Authenticate", ""), url)
        msg = "the registry asks for a login"
        raise BackendError(msg, where=url, code="FET012", help=self.help)

    def _authorize(self, challenge: str, url: str) -> None:
        """Answer a challenge: with who asks, or with a token that the place it names gives out for that."""
        login = basic(self.host, self.repository) if self.fetcher.credentials else {}
        scheme = challenge.partition(" ")[0].lower()
        if scheme == "basic" and login:
            self.headers, self.until = login, float("inf")
            return
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        realm = fields.get("realm", "")
        # A registry elsewhere does not send us to what listens on this machine, whose answer it would be shown.
        here = self.base.startswith("http://") and re.match(r"http://(?:127\.0\.0\.1|localhost)[:/]", realm)
        trusted = realm.startswith("https://") or here
        if scheme != "bearer" or not trusted:
            msg = "the registry asks for a login" + ("" if scheme == "basic" else f" by {scheme[:20] or 'nothing that it names'}")
            raise BackendError(msg, where=url, code="FET012", help=self.help)
        query = urllib.parse.urlencode({"service": fields.get("service", ""), "scope": f"repository:{self.repository}:pull"})
        answer = self.fetcher.json(f"{realm}{'&' if '?' in realm else '?'}{query}", login)
        self.headers = {"Authorization": f"Bearer {answer.get('token') or answer.get('access_token', '')}"}
        life = answer.get("expires_in")
        self.until = time.monotonic() + (life if isinstance(life, int) and 0 < life < 1 << 32 else _LIFE) - _MARGIN
        self.challenge = challenge

    def blob(self, layer: dict[str, Any], path: Path) -> None:
        """Download a layer, verified against its digest and size; one that is there already is not fetched again."""
        digest = str(layer.get("digest", ""))
        if not _DIGEST.fullmatch(digest):
            msg = f"layer of an unsupported digest {digest[:80]!r}"
            raise BackendError(msg, where=self.base, code="FET013")
        if (there := self.kept.get(digest)) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(there, path)
            except OSError:  # a file system without links
                shutil.copyfile(there, path)
            return
        if self.challenge and time.monotonic() > self.until:
            self._authorize(self.challenge, self.base)
        self.fetcher.download(f"{self.base}/blobs/{digest}", path, headers=self.headers, sha256=digest[7:], size=layer.get("size"))
        self.kept[digest] = path


def fetch(target: str, fetcher: Fetcher, dest: Path) -> Resolved:
    """Download the manifest, or each of an index, its configuration and all layers."""
    found = _ADDRESS.match(target)
    if not found:
        msg = "not an address of an OCI registry"
        raise UsageError(msg, where=target, code="FET003", help="oci://host/repository:tag or oci://host/repository@sha256:…")
    host, repository, tag, pin = found.groups()
    registry = _Registry(host, repository, fetcher)
    manifest, digest = registry.manifest(pin or tag or "latest")
    root = dest / repository.rpartition("/")[2]
    root.mkdir(parents=True, exist_ok=True)
    names: dict[str, str] = {}
    for folder, one in _manifests(registry, manifest, target):
        _layers(registry, one, root, folder, names, target)
    return Resolved(root, target, {"kind": "oci", "host": host, "repository": repository, "digest": digest, "files": names})


def _manifests(registry: _Registry, manifest: dict[str, Any], target: str) -> list[tuple[str, dict[str, Any]]]:
    """Return each manifest with its folder: itself, or those of an index, asked for by a digest alone: what arrives is verified."""
    if "manifests" not in manifest:
        return [("", manifest)]
    entries = objects(manifest, "manifests", target)
    if not entries or len(entries) > _MANIFESTS:
        msg = (
            f"the index names {len(entries)} manifests, at most {_MANIFESTS} are read" if entries else "the index names no manifest"
        )
        raise BackendError(msg, where=target, code="FET013")
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        digest = str(entry.get("digest"))
        if not _DIGEST.fullmatch(digest):
            msg = "the index names no manifest by its digest"
            raise BackendError(msg, where=target, code="FET013")
        one, _ = registry.manifest(digest)
        if "manifests" in one:
            msg = "an index in an index"
            raise BackendError(msg, where=target, code="FET013", help=f"scan it by itself: @{digest}")
        found.setdefault(_folder(entry, found) if len(entries) > 1 else "", one)
    return list(found.items())


def _folder(entry: dict[str, Any], taken: dict[str, dict[str, Any]]) -> str:
    platform = entry.get("platform")
    parts = [platform.get(key) for key in ("os", "architecture", "variant")] if isinstance(platform, dict) else []
    name = "-".join(part for part in parts if isinstance(part, str) and re.fullmatch(r"[\w.]{1,40}", part))
    return name if name and name.strip(".") and name not in taken else str(entry["digest"]).replace(":", "-")


def _layers(registry: _Registry, manifest: dict[str, Any], root: Path, folder: str, names: dict[str, str], target: str) -> None:
    config = manifest.get("config")
    size = config.get("size") if isinstance(config, dict) else None
    told = [config] if isinstance(config, dict) and isinstance(size, int) and size > _EMPTY else []
    layers = [*objects(manifest, "layers", target), *told]
    if len(names) + len(layers) > _LAYERS or not ("layers" in manifest or told):
        msg = f"more than {_LAYERS} layers" if layers else "the manifest names no layers"
        raise BackendError(msg, where=target, code="FET013")
    for layer in layers:
        annotations = layer.get("annotations")
        title = annotations.get("org.opencontainers.image.title") if isinstance(annotations, dict) else None
        by_digest = str(layer.get("digest", "")).replace(":", "-")
        name = f"{folder}/{title or by_digest}".lstrip("/") if folder else str(title or by_digest)
        path = safe_path(root, name, target)
        if name not in names and not _free(path, root):
            msg = f"the layers {name[:120]!r} and another are a file and a folder of one name"
            raise BackendError(msg, where=target, code="FET013")
        if name in names:  # clients differ in which of two they keep: both are
            if names[name] == layer.get("digest"):
                continue
            name = f"{folder}/{by_digest}".lstrip("/")
            path = safe_path(root, name, target)
        registry.blob(layer, path)
        names[name] = str(layer["digest"])


def _free(path: Path, root: Path) -> bool:
    """Tell whether a file can be written there: it is nothing, and no part of the way to it is a file."""
    return not path.exists() and all(part.is_dir() or not part.exists() for part in path.parents if part.is_relative_to(root))
