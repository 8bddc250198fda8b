"""Services on loopback that speak the real protocols, for tests: a model hub, an OCI registry, plain files.

    with HubSimulator({"org/model": {"config.json": b"{}"}}) as hub:
        os.environ["HF_ENDPOINT"] = hub.url

`lie` changes what is served after the digests were announced; `break_after` cuts each first
response after that many bytes, so that resuming is exercised.
"""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.parse
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from stannary.testing.http_models import QuietServer

__all__ = ["FileSimulator", "HubSimulator", "OciSimulator"]


class FileSimulator:
    """Serves bytes by path, with ranges."""

    def __init__(self, files: Mapping[str, bytes], *, break_after: int = 0) -> None:
        self.files = dict(files)
        self.break_after = break_after
        self.requests: list[str] = []
        self.redirects: dict[str, str] = {}
        self._broken: set[str] = set()
        simulator = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                simulator.requests.append(f"{self.path} {self.headers.get('Range', '')}".strip())
                simulator.answer(self)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = QuietServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one GET."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.send_header("Content-Length", "0")
            request.end_headers()
        elif path in self.files:
            self.send(request, self.files[path])
        else:
            self.send(request, b"not found", 404)

    def send(
        self, request: BaseHTTPRequestHandler, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a body, from where a Range header asks; cut the first time when `break_after` is set."""
        start = 0
        asked = request.headers.get("Range", "")
        if status == 200 and asked.startswith("bytes=") and asked[6:].rstrip("-").isdigit():  # noqa: PLR2004 - OK
            start, status = int(asked[6:].rstrip("-")), 206
        content = body[start:]
        request.send_response(status)
        request.send_header("Content-Length", str(len(content)))
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.end_headers()
        if self.break_after and len(content) > self.break_after and request.path not in self._broken:
            self._broken.add(request.path)
            request.wfile.write(content[: self.break_after])
            request.close_connection = True
            return
        request.wfile.write(content)


class HubSimulator(FileSimulator):
    """The part of the Hugging Face hub's HTTP API that downloading uses."""

    commit = "0123456789abcdef0123456789abcdef01234567"

    def __init__(
        self, repositories: Mapping[str, Mapping[str, bytes]], *, lie: Mapping[str, bytes] | None = None, break_after: int = 0
    ) -> None:
        served: dict[str, bytes] = {}
        for name, files in repositories.items():
            entries = []
            for path, content in files.items():
                entry: dict[str, Any] = {"rfilename": path, "size": len(content)}
                if len(content) > 1 << 16:
                    entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
                else:
                    entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
                entries.append(entry)
                served[f"/{name}/resolve/{self.commit}/{path}"] = (lie or {}).get(path, content)
            served[f"/api/models/{name}/revision/main"] = json.dumps({"sha": self.commit, "siblings": entries}).encode()
        super().__init__(served, break_after=break_after)


class OciSimulator(FileSimulator):
    """An OCI registry that asks for an anonymous bearer token, as public ones do."""

    def __init__(self, repository: str, layers: Mapping[str, bytes], *, lie: bytes | None = None) -> None:
        served: dict[str, bytes] = {}
        descriptors = []
        for title, content in layers.items():
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            served[f"/v2/{repository}/blobs/{digest}"] = content if lie is None else lie
            descriptors.append({
                "mediaType": "application/octet-stream", "digest": digest, "size": len(content),
                "annotations": {"org.opencontainers.image.title": title},
            })  # fmt: skip
        manifest = json.dumps({"schemaVersion": 2, "config": {"size": 2}, "layers": descriptors}).encode()
        self.digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        for reference in ("v1", "latest", self.digest):
            served[f"/v2/{repository}/manifests/{reference}"] = manifest
        super().__init__(served)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Give tokens, and nothing without one."""
        if request.path.startswith("/token"):
            self.send(request, b'{"token": "anonymous"}')
        elif request.headers.get("Authorization") != "Bearer anonymous":
            challenge = f'Bearer realm="{self.url}/token",service="simulator"'
            self.send(request, b"{}", 401, {"WWW-Authenticate": challenge})
        else:
            super().answer(request)
