"""An OpenID Connect provider on this machine: discovery, keys, tokens that are right or wrong in one way.

It speaks real HTTP on loopback and signs real tokens. `/token` answers as the runner of a pipeline does, which is how
GitHub's jobs get theirs.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from stannary.testing.http_models import QuietServer

__all__ = ["IdentityProvider", "ProviderKey", "compact"]

_SIZES = {"ES256": 32, "ES384": 48}


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _number(value: int, size: int) -> str:
    return _b64(value.to_bytes(size, "big"))


class ProviderKey:
    """A signing key: of `RS256`, `ES256`, `ES384` or `EdDSA`."""

    def __init__(self, algorithm: str = "ES256", kid: str = "key-1") -> None:
        self.algorithm = algorithm
        self.kid = kid
        self._key: Any
        if algorithm == "RS256":
            self._key = rsa.generate_private_key(65537, 2048)
        elif algorithm == "EdDSA":
            self._key = ed25519.Ed25519PrivateKey.generate()
        else:
            self._key = ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())

    @property
    def jwk(self) -> dict[str, str]:
        """Return the public half, as a provider publishes it."""
        head = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        public = self._key.public_key()
        if self.algorithm == "RS256":
            numbers = public.public_numbers()
            return head | {"kty": "RSA", "n": _number(numbers.n, 256), "e": _number(numbers.e, 3)}
        if self.algorithm == "EdDSA":
            return head | {"kty": "OKP", "crv": "Ed25519", "x": _b64(public.public_bytes_raw())}
        size, numbers = _SIZES[self.algorithm], public.public_numbers()
        crv = "P-256" if self.algorithm == "ES256" else "P-384"
        return head | {"kty": "EC", "crv": crv, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}

    def sign(self, message: bytes) -> bytes:
        """Return a signature in the form of RFC 7518."""
        if self.algorithm == "RS256":
            return bytes(self._key.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        if self.algorithm == "EdDSA":
            return bytes(self._key.sign(message))
        digest = hashes.SHA256() if self.algorithm == "ES256" else hashes.SHA384()
        r, s = utils.decode_dss_signature(self._key.sign(message, ec.ECDSA(digest)))
        size = _SIZES[self.algorithm]
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def compact(header: dict[str, Any], claims: dict[str, Any] | bytes, key: ProviderKey | None) -> str:
    """Return a token as it is sent; without a key its signature is empty."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(payload)}"
    return f"{signed}.{_b64(key.sign(signed.encode())) if key else ''}"


class IdentityProvider:
    """A provider that answers while the `with` block runs; without one it only signs."""

    def __init__(self, key: ProviderKey | None = None, url: str = "https://idp.example", secret: str = "runner") -> None:  # noqa: S107 - of a test
        """Make one with a key; `url` is its name until it answers."""
        self.keys = [key or ProviderKey()]
        self.url = url
        self.secret = secret
        self.requests: list[str] = []
        self.document: dict[str, Any] = {}  # what discovery says differently
        self._server: QuietServer | None = None

    @property
    def jwks(self) -> bytes:
        """Return the keys it publishes."""
        return json.dumps({"keys": [key.jwk for key in self.keys]}).encode()

    def token(self, key: ProviderKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:  # noqa: ANN401 - JSON
        """Return a token for alice@example.com, good for five minutes; a claim of None is left out."""
        key = key or self.keys[-1]
        now = int(time.time())
        said = {
            "iss": self.url,
            "aud": "stannary",
            "sub": "alice",
            "email": "alice@example.com",
            "email_verified": True,
            "iat": now,
            "exp": now + 300,
        } | claims
        said = {name: value for name, value in said.items() if value is not None}
        return compact({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | (header or {}), said, key)

    def rotate(self) -> None:
        """Sign with a new key; the old one is no longer published."""
        self.keys = [ProviderKey(self.keys[-1].algorithm, f"key-{int(self.keys[-1].kid.rpartition('-')[2]) + 1}")]

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"provider": self})
        self._server = QuietServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    provider: IdentityProvider

    def do_GET(self) -> None:
        """Answer discovery, keys, and a runner's token."""
        provider, parts = self.provider, urlsplit(self.path)
        provider.requests.append(self.path)
        if parts.path == "/.well-known/openid-configuration":
            self._answer(json.dumps({"issuer": provider.url, "jwks_uri": f"{provider.url}/jwks"} | provider.document).encode())
        elif parts.path == "/jwks":
            self._answer(provider.jwks)
        elif parts.path == "/token" and self.headers.get("Authorization") == f"Bearer {provider.secret}":
            audience = parse_qs(parts.query).get("audience", ["nobody"])[0]
            self._answer(json.dumps({"value": provider.token(aud=audience)}).encode())
        else:
            self.send_error(403 if parts.path == "/token" else 404)

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing: a test reads `requests`."""
