"""The keys of identity providers: from a file, or by discovery where there is a network.

Discovery (OpenID Connect Discovery 1.0) asks the issuer itself for the address of its keys, over HTTPS; plain HTTP
is for providers on this machine alone.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from stannary.core.errors import BackendError, IntegrityError, UsageError

__all__ = ["Answered", "certificate_help", "check_address", "discover", "discover_keys", "fetch", "send_form", "send_json"]

_SECONDS = 20  # of silence
_PATIENCE = 60.0  # seconds until all of an answer has come
_MOST_BYTES = 1 << 20
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})
_UNREACHED = (OSError, ValueError, http.client.HTTPException)  # URLError is an OSError
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def check_address(url: str, what: str = "issuer") -> str:
    """Return an address that may be an issuer's. Raises UsageError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    plain = parts.scheme == "http" and host in _HERE
    if not host or not (parts.scheme == "https" or plain) or parts.query or parts.fragment or parts.username:
        msg = f"the {what} {url[:120]!r} is no https:// address"
        raise UsageError(msg, code="OID010", help="plain http:// is for a provider on this machine alone")
    return url


def discover(issuer: str, help_: str | None = None) -> dict[str, Any]:
    """Return how a provider describes itself, which has to be that issuer. Raises BackendError, IntegrityError or UsageError."""
    check_address(issuer)
    where = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found = msgspec.json.decode(fetch(where, "the provider", help_=help_), type=dict[str, Any])
    except _NO_JSON as error:
        msg = f"is no description of a provider: {error}"
        raise BackendError(msg, where=where, code="OID010") from error
    if found.get("issuer") != issuer:
        msg = f"describes the provider {str(found.get('issuer'))[:120]!r}, not {issuer!r}"
        raise IntegrityError(msg, where=where, code="OID004", help="name the issuer as it names itself, to the last slash")
    for name, value in found.items():
        if name == "jwks_uri" or name.endswith("_endpoint"):
            _stay_secure(issuer, str(value), name)
    return found


def _stay_secure(before: str, after: str, what: str) -> None:
    """Raise UsageError for a way from https to plain http: only this machine is asked so, and it is none of the provider's."""
    if before.lower().startswith("https:") and after.lower().startswith("http:"):
        msg = f"the {what} leads from https to {after[:120]!r}"
        help_ = "a provider with TLS has all of its addresses there"
        raise UsageError(msg, where=before.partition("?")[0], code="OID010", help=help_)


def discover_keys(issuer: str) -> bytes:
    """Return the published keys (JWKS) of an issuer, unread. Raises BackendError, IntegrityError or UsageError."""
    help_ = "give them in a file: `stannary trust issuer URL --jwks FILE`"
    found = discover(issuer, help_)
    return fetch(check_address(str(found.get("jwks_uri")), "address of the keys"), "the provider", help_=help_)


class Answered(NamedTuple):
    """What an address answered to what was sent there: a JSON object, also when it refused."""

    status: int
    document: dict[str, Any]


def send_form(url: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Answered:
    """Send a form to an address, and return what it answers. It is not redirected: what is sent is for nobody else.

    Raises BackendError, or UsageError for an address that may not be asked.
    """
    return _send(
        url, urllib.parse.urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    )


def send_json(url: str, document: object, headers: Mapping[str, str] | None = None, method: str = "POST") -> Answered:
    """Send a JSON document to an address, as `send_form` does a form."""
    return _send(url, msgspec.json.encode(document), {"Content-Type": "application/json", **(headers or {})}, method)


def _send(url: str, content: bytes, headers: Mapping[str, str], method: str = "POST") -> Answered:
    check_address(url, "address")
    opener = urllib.request.build_opener(_Stays())
    # check_address has let no other scheme through
    request = urllib.request.Request(url, content, {"Accept": "application/json", **headers}, method=method)  # noqa: S310
    try:
        try:
            response = opener.open(request, timeout=_SECONDS)
        except urllib.error.HTTPError as error:
            response = error  # it is the answer as well
        with response:
            status, answer = int(response.status), _content(response)
    except _UNREACHED as error:
        msg = f"cannot be asked: {error}"
        raise BackendError(msg, where=url.partition("?")[0], code="OID010", help=certificate_help(error)) from error
    try:
        return Answered(status, msgspec.json.decode(answer, type=dict[str, Any]) if answer else {})
    except _NO_JSON as error:
        msg = f"answers {status} with something that is no JSON object"
        raise BackendError(msg, where=url.partition("?")[0], code="OID010") from error


def _content(response: http.client.HTTPResponse) -> bytes:
    """Return what an answer holds, a byte more than is taken at most. Raises OSError for one that comes byte by byte."""
    content, until = bytearray(), time.monotonic() + _PATIENCE
    while len(content) <= _MOST_BYTES and (part := response.read1(_MOST_BYTES + 1 - len(content))):
        content += part
        if time.monotonic() > until:
            msg = "the answer does not come to an end"
            raise TimeoutError(msg)
    return bytes(content)


def certificate_help(error: BaseException) -> str | None:
    """Return what to do about a certificate that was not accepted; None where that was not it."""
    found = error.reason if isinstance(error, urllib.error.URLError) else error
    if not isinstance(found, ssl.SSLCertVerificationError):
        return None
    if found.verify_code in _OTHER_NAME:
        return "call it by a name in its certificate: stannary keys tls --host NAME"
    return "if its authority is your own: SSL_CERT_FILE=ca.pem (the file that `stannary keys tls` made) in the environment"


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirection."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - urllib's
        """Go nowhere: the redirection is the answer."""


class _Checked(urllib.request.HTTPRedirectHandler):
    """Follows redirections to addresses that were allowed in the first place."""

    def redirect_request(self, *given: Any) -> urllib.request.Request | None:  # noqa: ANN401 - urllib's
        """Check where it goes. Raises UsageError."""
        check_address(str(given[-1]), "redirection")
        _stay_secure(given[0].full_url, str(given[-1]), "redirection")
        return super().redirect_request(*given)


def fetch(url: str, whom: str, headers: Mapping[str, str] | None = None, help_: str | None = None) -> bytes:
    """Return what an address that was checked answers with. Raises BackendError, or UsageError for where it leads."""
    opener = urllib.request.build_opener(_Checked())
    # check_address has let no other scheme through
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    try:
        with opener.open(request, timeout=_SECONDS) as response:
            content = _content(response)
    except _UNREACHED as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the answer as well
        msg = f"{whom} cannot be asked: {error}"
        raise BackendError(msg, where=url.partition("?")[0], code="OID010", help=help_) from error
    if len(content) > _MOST_BYTES:
        msg = f"answers with more than {_MOST_BYTES:,} bytes"
        raise BackendError(msg, where=url.partition("?")[0], code="OID010")
    return content
