"""Keys in the transit engine of HashiCorp Vault or OpenBao: `vault:MOUNT/KEY`.

The server is VAULT_ADDR (BAO_ADDR), the token VAULT_TOKEN (BAO_TOKEN) or `~/.vault-token`; VAULT_NAMESPACE and
VAULT_CACERT count too. A key for signing, or for wrapping (aes256-gcm96: what a key is bound to is its associated
data). ECDSA messages are hashed here, and only the digest is sent. The token is sent in the
clear to this machine alone, and never along a redirect.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from stannary.core.errors import BackendError, InputError, UsageError
from stannary.crypto.interface import Signer, Wrapper
from stannary.crypto.keys import PublicKey
from stannary.crypto.providers.interface import Ask
from stannary.crypto.providers.remote import RemoteSigner, RemoteWrapper, digest_for, not_ours

__all__ = ["open_signer", "open_wrapper"]

_SECONDS = 30
_MOST = 1 << 20
_WRAPPING = ("aes256-gcm96", "chacha20-poly1305", "aes128-gcm96")
_TYPES = ("ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519")


def open_signer(address: str, ask: Ask) -> Signer:  # noqa: ARG001 - the token is not asked for
    """Return the newest version of a transit key. Raises UsageError, InputError or BackendError."""
    server, mount, name, where = _opened(address)
    found = server.call(f"{mount}/keys/{name}")
    version = found.get("latest_version")
    row = (found.get("keys") or {}).get(str(version))
    if found.get("type") not in _TYPES or not isinstance(row, dict):
        msg = f"is a key of type {str(found.get('type'))[:40]!r}"
        raise InputError(msg, where=where, code="KEY009", help=f"use one of {', '.join(_TYPES)}")
    public = _public(str(found["type"]), str(row.get("public_key", "")), where)
    path = f"{mount}/sign/{name}"

    def sign(message: bytes) -> bytes:
        body: dict[str, Any] = {"key_version": version}
        if public.algorithm == "ed25519":
            body["input"] = base64.b64encode(message).decode()
        else:
            digest = digest_for(public.algorithm, message)
            bits = {32: "256", 48: "384", 64: "512"}[len(digest)]
            body |= {
                "input": base64.b64encode(digest).decode(),
                "prehashed": True,
                "hash_algorithm": f"sha2-{bits}",
                "marshaling_algorithm": "asn1",
            }
        text = str(server.call(path, body).get("signature", ""))
        return base64.b64decode(text.rpartition(":")[2])

    return RemoteSigner(public, sign, where)


def open_wrapper(address: str, ask: Ask) -> Wrapper:  # noqa: ARG001 - the token is not asked for
    """Return a symmetric transit key; it wraps by its newest version. Raises UsageError, InputError or BackendError."""
    server, mount, name, where = _opened(address)
    kind = str(server.call(f"{mount}/keys/{name}").get("type"))
    if kind not in _WRAPPING:
        msg = f"is a key of type {kind[:40]!r}"
        raise InputError(msg, where=where, code="KEY009", help=f"use one of {', '.join(_WRAPPING)}")

    def wrap(key: bytes, context: bytes) -> bytes:
        answer = server.call(f"{mount}/encrypt/{name}", {"plaintext": _b64(key), "associated_data": _b64(context)})
        return str(answer.get("ciphertext", "")).encode()

    def unwrap(wrapped: bytes, context: bytes) -> bytes:
        body = {"ciphertext": wrapped.decode("ascii", "replace"), "associated_data": _b64(context)}
        try:
            return base64.b64decode(str(server.call(f"{mount}/decrypt/{name}", body).get("plaintext", "")))
        except BackendError as error:
            # 400 is what it answers to a ciphertext that is not its own; it refuses a token with 403.
            if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == http.HTTPStatus.BAD_REQUEST:
                raise not_ours(where) from error
            raise

    return RemoteWrapper("vault", f"{mount}/{name}", wrap, unwrap)


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _opened(address: str) -> tuple[_Server, str, str, str]:
    """Return the server, the quoted mount and name of a key, and its address."""
    where = f"vault:{address}"
    mount, _, name = address.strip("/").rpartition("/")
    if not mount or not name or any(part in {"", ".", ".."} for part in (*mount.split("/"), name)):
        msg = "names no mount and key"
        raise UsageError(msg, where=where, code="KEY015", help="as in vault:transit/signing")
    return _Server(where), quote(mount), quote(name, safe=""), where


def _public(kind: str, text: str, where: str) -> PublicKey:
    if kind != "ed25519":
        return PublicKey.of_pem(text.encode(), where)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return PublicKey(Ed25519PublicKey.from_public_bytes(base64.b64decode(text)))
    except ValueError as error:
        msg = "has a public key that is none"
        raise InputError(msg, where=where, code="KEY001") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - urllib's
        return None


class _Server:
    """The HTTP API, as far as it is used."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._base = (os.environ.get("VAULT_ADDR") or os.environ.get("BAO_ADDR") or "").rstrip("/")
        parts = urlsplit(self._base)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            msg = "the server is not known"
            raise UsageError(msg, where=where, code="KEY015", help="set VAULT_ADDR, as in https://vault.example.com:8200")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            msg = f"the token would be sent in the clear to {parts.hostname}"
            raise UsageError(msg, where=where, code="KEY015", help="use https")
        self._headers = {"X-Vault-Token": _token(where), "X-Vault-Request": "true"}
        if namespace := os.environ.get("VAULT_NAMESPACE"):
            self._headers["X-Vault-Namespace"] = namespace
        context = ssl.create_default_context(cafile=os.environ.get("VAULT_CACERT") or None)
        # No proxy of the environment for a server on this machine: it is nobody else's business.
        proxies = urllib.request.ProxyHandler({} if _is_loopback(parts.hostname) else None)
        self._opener = urllib.request.build_opener(_NoRedirect, proxies, urllib.request.HTTPSHandler(context=context))

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the `data` of an answer. Raises UsageError for a key that is not there, else BackendError."""
        content = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self._base}/v1/{path}", content, self._headers)  # noqa: S310 - http(s), checked
        try:
            with self._opener.open(request, timeout=_SECONDS) as answer:
                found = json.loads(answer.read(_MOST))
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            msg = f"the server {self._base} cannot be used: {str(error)[:200]}"
            raise BackendError(msg, where=self._where, code="KEY016", help="check VAULT_ADDR and the network") from error
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict):
            msg = f"the server {self._base} answers something else than Vault would"
            raise BackendError(msg, where=self._where, code="KEY016", help="check VAULT_ADDR")
        return data

    def _refused(self, error: urllib.error.HTTPError) -> UsageError | BackendError:
        try:
            told = "; ".join(map(str, json.loads(error.read(_MOST)).get("errors", [])))[:200]
        except (ValueError, AttributeError, OSError):
            told = ""
        if error.code == http.HTTPStatus.NOT_FOUND:
            return UsageError("there is no such key", where=self._where, code="KEY013", help="`vault list MOUNT/keys` shows them")
        msg = f"the server {self._base} refuses ({error.code}{': ' + told if told else ''})"
        return BackendError(msg, where=self._where, code="KEY016", help="check the token and its policy")


def _token(where: str) -> str:
    text = os.environ.get("VAULT_TOKEN") or os.environ.get("BAO_TOKEN")
    if not text:
        try:
            text = (Path.home() / ".vault-token").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = ""
    text = text.strip()
    if not text or not text.isprintable():
        msg = "there is no token"
        raise UsageError(msg, where=where, code="KEY015", help="set VAULT_TOKEN, or `vault login`")
    return text


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
