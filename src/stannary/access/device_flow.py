"""People log in from a command line: the device flow (RFC 8628). It runs on their machine, and knows nothing of tables.

They confirm in any browser, at the provider, what the command shows them; the command learns an identity token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from stannary.core.errors import BackendError, PolicyDenied, UsageError

__all__ = ["Device", "begin", "wait"]

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_LONGEST = 1800


class Device(NamedTuple):
    """A login that waits for somebody to confirm it: the address to go to, and the code to type there."""

    issuer: str
    client: str
    code: str
    shown: str
    address: str
    complete: str
    interval: int
    lasts: int


def begin(issuer: str, client: str, scopes: str = "openid email") -> Device:
    """Ask a provider for a code that somebody confirms. Raises UsageError when it has no such flow, BackendError."""
    from stannary.crypto.discovery import check_address, discover, send_form

    where = discover(issuer).get("device_authorization_endpoint")
    if not isinstance(where, str):
        msg = "the provider has no device flow"
        raise UsageError(msg, where=issuer, code="ACC022", help="log in to the server in a browser, and issue a token there")
    answer = send_form(where, {"client_id": client, "scope": scopes})
    try:
        found = answer.document
        address = check_address(str(found["verification_uri"]), "address")
        complete = str(found.get("verification_uri_complete", ""))
        interval, lasts = max(1, int(found.get("interval", 5))), min(_LONGEST, int(found["expires_in"]))
        code, shown = str(found["device_code"]), str(found["user_code"])
    except (KeyError, ValueError, TypeError) as error:
        msg = f"answers {answer.status}, {str(answer.document.get('error', 'without a code'))[:80]}"
        raise BackendError(msg, where=where, code="OID010", help="is the client registered there, for the device flow?") from error
    if complete:
        check_address(complete.partition("?")[0], "address")
    return Device(issuer, client, code, shown, address, complete, interval, lasts)


def wait(device: Device, pause: Callable[[float], None] = time.sleep) -> str:
    """Return the identity token when somebody has confirmed. Raises PolicyDenied when nobody did, BackendError."""
    from stannary.crypto.discovery import check_address, discover, send_form

    where = check_address(str(discover(device.issuer).get("token_endpoint")), "address for tokens")
    interval, left = float(device.interval), float(device.lasts)
    while left > 0:
        pause(interval)
        left -= interval
        answer = send_form(where, {"grant_type": _GRANT, "device_code": device.code, "client_id": device.client})
        error = answer.document.get("error")
        if error == "slow_down":
            interval += 5  # RFC 8628, 3.5
        elif error == "authorization_pending":
            continue
        elif error is not None:
            break
        else:
            token = answer.document.get("id_token")
            if not isinstance(token, str):
                msg = "gives no identity token"
                raise BackendError(msg, where=where, code="OID010", help="the scope `openid` asks for one")
            return token
    msg = "nobody confirmed the login" if left <= 0 else f"the login was not confirmed ({str(error)[:40]})"
    raise PolicyDenied(msg, where=device.issuer, code="ACC001", help="stannary access login")
