"""An OPA that runs as a server: its Data API decides, its Policy API says by which policies.

The decision is bound to the policies that the server had, by the digest of their texts.
https://www.openpolicyagent.org/docs/latest/rest-api/
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.parse

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import BackendError, UsageError
from stannary.core.model import Digest, Json
from stannary.evidence.engines.interface import undefined

__all__ = ["OpaServer"]

_SECONDS = 60
_LARGEST = 64 << 20


class _Answer(msgspec.Struct):
    result: Json | msgspec.UnsetType = msgspec.UNSET


class OpaServer:
    """A server at `http://host:port`."""

    def __init__(self, address: str) -> None:
        self.name = address
        parts = urllib.parse.urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = "is not the address of an OPA server"
            raise UsageError(msg, where=address, code="POL007", help="--policy opa+http://127.0.0.1:8181")
        self._parts = parts

    def digest(self) -> Digest:
        """Return the digest of all policies that the server has. Raises BackendError."""
        found = self._call("GET", "/v1/policies", None)
        rows = found if isinstance(found, list) else []
        texts = sorted((str(row.get("id", "")), str(row.get("raw", ""))) for row in rows if isinstance(row, dict))
        return Digest(hashlib.sha256(canonical_json(texts)).hexdigest())

    def deny(self, module: str, document: Json) -> list[Json]:  # noqa: ARG002 - the server has its own
        """Return what the server's `data.stannary.gate.deny` holds for an input. Raises BackendError."""
        found = self._call("POST", "/v1/data/stannary/gate/deny", {"input": document})
        if not isinstance(found, list):
            raise undefined(self.name)
        return found

    def _call(self, method: str, path: str, body: Json) -> Json:
        secure = self._parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(str(self._parts.hostname), self._parts.port or (443 if secure else 8181), timeout=_SECONDS)
        try:
            content = msgspec.json.encode(body) if body is not None else None
            connection.request(method, self._parts.path.rstrip("/") + path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read(_LARGEST)
        except (OSError, http.client.HTTPException) as error:
            msg = f"cannot be reached: {error}"
            raise BackendError(msg, where=self.name, code="POL008") from error
        finally:
            connection.close()
        if answer.status != http.client.OK:
            msg = f"answered {answer.status}: {text[:300].decode('utf-8', 'replace')}"
            raise BackendError(msg, where=self.name, code="POL008")
        try:
            return msgspec.json.decode(text, type=_Answer).result
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            msg = f"answered what is not understood: {error}"
            raise BackendError(msg, where=self.name, code="POL008") from error
