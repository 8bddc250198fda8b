"""Addresses that somebody else names: only what is public is reached, whatever a name resolves to and wherever it redirects.

A server that fetches what its users name can be made to ask for what only it can see: a metadata service, a database, the
machine itself (server-side request forgery). So for such an address:

1. the scheme is `hf`, `https`, `s3` or `oci`, and never a path of this machine; it carries no user and no password;
2. every connection goes to an address that was looked up, was found public, and is then the one connected to: a name that
   resolves differently the second time gains nothing;
3. each redirect is a connection like the first, and to https alone; no proxy is used, as that would look names up anew.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import urllib.parse
import urllib.request
from typing import Any, NamedTuple

from stannary.core.errors import InputError, UsageError

__all__ = ["SCHEMES", "Public", "check_public", "is_public"]

SCHEMES = ("hf", "https", "s3", "oci")
_LONGEST = 2000
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# Services that answer anybody on the machine, at addresses that count as public: Azure's.
_SERVICES = frozenset({"168.63.129.16"})
# What not every version of Python knows to be no part of the public network.
_SPECIAL = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "198.18.0.0/15", "64:ff9b:1::/48", "100::/64", "fec0::/10", "2001:db8::/32"))
)
# The only addresses of IPv6 that were given to anybody (RFC 4291, 2.4): what lies elsewhere stands for another one, or for none.
_GIVEN = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_HELP = "hf://org/model, https://…, s3://bucket/prefix or oci://host/repository, of a public host"


class Public(NamedTuple):
    """What may be connected to besides what is public (for tests, whose servers are on the loopback), and with what.

    `credentials`: whether those of this machine are shown to `hf` and `s3`. Without, what is fetched is what everybody may have.
    """

    besides: frozenset[str] = frozenset()
    plain: bool = False
    credentials: bool = False

    def handlers(self) -> list[urllib.request.BaseHandler]:
        """Return the handlers of an opener that keeps to it."""
        plain = [_Plain(self)] if self.plain else []
        return [urllib.request.ProxyHandler({}), _Secure(self), *plain]

    def connect(self, address: tuple[str, int], timeout: Any = None, source: Any = None) -> socket.socket:  # noqa: ANN401 - http.client's
        """Connect to a host, at an address of it that was looked at. Raises InputError when one of them is not public."""
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, place in found:
            text = str(place[0])
            if text not in self.besides and not is_public(text):
                msg = f"is at {text}, which is not public"
                raise InputError(msg, where=host, code="FET030", help=_HELP)
        failed: OSError | None = None
        for family, kind, protocol, _, place in found:
            made = socket.socket(family, kind, protocol)
            try:
                made.settimeout(timeout if isinstance(timeout, int | float) else None)
                if source:
                    made.bind(source)
                made.connect(place)
            except OSError as error:
                made.close()
                failed = error
            else:
                return made
        raise failed or OSError("no address")


def check_public(address: str) -> None:
    """Return when an address may be fetched for somebody else, as far as its text tells. Raises UsageError."""
    scheme, separator, rest = address.partition("://")
    if separator != "://" or scheme not in SCHEMES or len(address) > _LONGEST or not address.isprintable():
        _refuse("is no address that is fetched for others", address)
    if scheme == "s3":
        if not _BUCKET.fullmatch(rest.partition("/")[0]):  # a dot would make a part of the name a host
            _refuse("is no bucket's name", address)
        return
    if scheme == "hf":
        return  # the host is the one that the server is configured for
    parts = urllib.parse.urlsplit(f"https://{rest}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or "@" in parts.netloc or "\\" in rest or port == 0:
        _refuse("names no host, or a user", address)
    literal = _literal(host or "")
    if literal is not None and not is_public(str(literal)):
        _refuse("names a host that is not public", address)
    if (host or "").rstrip(".").lower() == "localhost" or (host or "").rstrip(".").lower().endswith((".localhost", ".internal")):
        _refuse("names a host that is not public", address)


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the public network, and of nobody's own machine, net or cloud."""
    found = _literal(text)
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found not in _GIVEN:
            return False
    if any(found in network for network in _SPECIAL):
        return False
    return found.is_global and not found.is_multicast and str(found) not in _SERVICES


def _literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        pass
    try:  # as a C library reads them: 127.1, 0x7f000001, 2130706433, 017700000001
        return ipaddress.IPv4Address(socket.inet_aton(text)) if re.fullmatch(r"[0-9a-fA-Fx.]+", text) else None
    except OSError:
        return None


def _refuse(why: str, address: str) -> None:
    raise UsageError(why, where=address[:200], code="FET031", help=_HELP)


class _Secure(urllib.request.HTTPSHandler):
    def __init__(self, public: Public) -> None:
        super().__init__()
        self._public = public

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open over a connection that was looked at."""

        def make(host: str, **more: Any) -> http.client.HTTPSConnection:  # noqa: ANN401 - http.client's
            made = http.client.HTTPSConnection(host, **more)
            made._create_connection = self._public.connect  # type: ignore[attr-defined] # noqa: SLF001 - where http.client connects
            return made

        return self.do_open(make, req)


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, public: Public) -> None:
        super().__init__()
        self._public = public

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open over a connection that was looked at."""

        def make(host: str, **more: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - http.client's
            made = http.client.HTTPConnection(host, **more)
            made._create_connection = self._public.connect  # type: ignore[attr-defined] # noqa: SLF001 - where http.client connects
            return made

        return self.do_open(make, req)
