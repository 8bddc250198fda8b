"""By which names a server is asked: `Host`, which a browser sends as the address says it, wherever that name leads.

A server on this machine without TLS is reached by whatever name leads to this machine, also by one of somebody else's, who makes it
lead here after his page was loaded (DNS rebinding): to the browser his page and this server are then one site, whose answers it
reads and in whose name it posts forms. Over TLS there is no certificate for his name, and behind a proxy the proxy is reached.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = ["is_here"]

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::[0-9]{1,5})?")


def is_here(host: str) -> bool:
    """Tell whether a `Host` header names this machine: `localhost` or an address of the loopback, with any port."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1] or found[2].lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):  # never asked of a name server (RFC 6761, 6.3)
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
