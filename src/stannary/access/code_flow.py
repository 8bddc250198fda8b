"""People log in at an identity provider: the authorization code flow, with PKCE (RFC 6749, 7636, 9207, 9700; OIDC Core 1.0).

What comes back through a browser is believed only as far as it fits what was sent:

1. the state is one that was given out, not long ago, to this very browser; it is used up by that;
2. whoever answers is the provider that was asked (RFC 9207), where it says so;
3. the code is exchanged with the verifier that nobody else has, for the redirect address that was sent;
4. the identity token has the nonce that was sent, and names somebody who has an account.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import sqlalchemy as sa

from stannary.access import rows
from stannary.access.exchange import person_of
from stannary.access.login import Session, start_session
from stannary.access.model import Provider, no_credentials, stamp
from stannary.access.secret import digest, same
from stannary.core.errors import BackendError, UsageError
from stannary.store import tables as t

if TYPE_CHECKING:
    from stannary.access.access import Access

__all__ = ["LASTS", "begin", "client_secret", "complete"]

LASTS = timedelta(minutes=10)
_MOST = 10_000  # logins under way at once; whoever begins more of them pushes out the oldest


def begin(access: Access, issuer: str, redirect: str, browser: str) -> str:
    """Return the address to send a browser to.

    Args:
        access: where.
        issuer: the provider.
        redirect: where it sends the browser back to, registered there word for word.
        browser: the value of a cookie that this browser was given for this login, and no other has.

    Raises UsageError for a provider that is not known or a redirect address that would send a code in the clear, BackendError.
    """
    from stannary.crypto.discovery import check_address, discover

    check_address(redirect, "redirect address")
    provider = _provider(access, issuer)
    where = check_address(str(discover(issuer).get("authorization_endpoint")), "address of the login")
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    now = access.clock()
    with access.database.writing() as connection:
        c = t.access_flow.c
        connection.execute(sa.delete(t.access_flow).where(c.expires <= stamp(now)))
        count = connection.execute(sa.select(sa.func.count()).select_from(t.access_flow)).scalar_one()
        if count >= _MOST:
            oldest = sa.select(c.state).order_by(c.expires).limit(count - _MOST + 1)
            connection.execute(sa.delete(t.access_flow).where(c.state.in_(oldest)))
        connection.execute(
            sa.insert(t.access_flow).values(
                state=digest(state), browser=digest(browser), issuer=issuer, nonce=nonce, verifier=verifier, redirect=redirect,
                expires=stamp(now + LASTS),
            )
        )  # fmt: skip
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": provider.client, "redirect_uri": redirect, "scope": provider.scopes, "state": state,
        "nonce": nonce, "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    return f"{where}{'&' if urlsplit(where).query else '?'}{urlencode(asked)}"


def complete(access: Access, answer: dict[str, str], browser: str, *, previous: str = "") -> Session:
    """Begin a session for what a provider sent a browser back with (`code`, `state`, and `iss` where it says that).

    `browser` is the cookie that `begin` was given, `previous` that of a session which ends.
    Raises PolicyDenied (ACC001), BackendError.
    """
    # 1.
    state = answer.get("state", "")
    with access.database.writing() as connection:
        chosen = t.access_flow.c.state == digest(state)
        flow = connection.execute(sa.select(t.access_flow).where(chosen)).first()
        connection.execute(sa.delete(t.access_flow).where(chosen))
    if flow is None or flow.expires <= stamp(access.clock()):
        _refuse(access, "", "it is the answer to no login that is under way")
    if not same(flow.browser, digest(browser)):
        _refuse(access, flow.issuer, "another browser began that login")
    # 2.
    if answer.get("iss", flow.issuer) != flow.issuer:
        _refuse(access, flow.issuer, "another provider answered")
    code = answer.get("code", "")
    if not code or "error" in answer:
        _refuse(access, flow.issuer, "the provider did not let them in")
    # 3.
    provider = _provider(access, flow.issuer)
    token = _identity_token(access, provider, {"code": code, "redirect_uri": flow.redirect, "code_verifier": flow.verifier})
    # 4.
    account = person_of(access, token, nonce=flow.nonce, issuer=flow.issuer)
    return start_session(access, account, f"issuer:{flow.issuer}", previous=previous)


def client_secret(provider: Provider) -> str:
    """Return the secret of our client at a provider, nothing for a public one. Raises UsageError when it is not there."""
    kind, _, where = provider.secret.partition(":")
    if kind == "env":
        found = os.environ.get(where, "")
    elif kind == "file":
        try:
            found = Path(where).read_text(encoding="utf-8").strip()
        except OSError as error:
            msg = f"the client's secret cannot be read: {error.strerror}"
            raise UsageError(msg, where=where, code="ACC021") from error
    else:
        return ""
    if not found:
        msg = "the client's secret is not there"
        raise UsageError(msg, where=provider.secret, code="ACC021", help="set it, or register a public client")
    return found


def _identity_token(access: Access, provider: Provider, sent: dict[str, str]) -> str:
    from stannary.crypto.discovery import check_address, discover, send_form

    found = discover(provider.issuer)
    where = check_address(str(found.get("token_endpoint")), "address for tokens")
    fields = {"grant_type": "authorization_code", "client_id": provider.client, **sent}
    headers = {}
    secret = client_secret(provider)
    if secret and "client_secret_basic" in found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
        pair = f"{quote(provider.client, safe='')}:{quote(secret, safe='')}"  # RFC 6749, 2.3.1
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif secret:
        fields["client_secret"] = secret
    answer = send_form(where, fields, headers)
    token = answer.document.get("id_token")
    if answer.status != 200 or not isinstance(token, str):  # noqa: PLR2004 - OK
        if answer.status >= 500:  # noqa: PLR2004 - its own fault
            msg = f"answers {answer.status}"
            raise BackendError(msg, where=where, code="OID010", help="try again")
        _refuse(access, provider.issuer, f"the provider refused the code ({str(answer.document.get('error'))[:40]})")
    return token


def _provider(access: Access, issuer: str) -> Provider:
    with access.database.reading() as connection:
        found = next((item for item in rows.providers(connection) if item.issuer == issuer), None)
    if found is None:
        msg = "is no provider by which people log in"
        raise UsageError(msg, where=issuer[:120], code="ACC020", help="stannary access federate people")
    return found


def _refuse(access: Access, issuer: str, why: str) -> NoReturn:
    access.diary.deny(f"issuer:{issuer}"[:260], "refused", credential="code", reason=why)
    no_credentials(f"the login did not succeed: {why}")
