"""A person's identity token becomes a token of ours: how somebody at a command line logs in."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from stannary.access import rows, tokens
from stannary.access.federated import claimed_issuer
from stannary.access.model import Account, no_credentials
from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError

if TYPE_CHECKING:
    from stannary.access.access import Access
    from stannary.access.tokens import Issued

__all__ = ["LASTS", "exchange", "person_of"]

LASTS = timedelta(hours=12)


def exchange(access: Access, token: str) -> Issued:
    """Return a token for whom an identity token names; it lasts a working day. Raises PolicyDenied (ACC001)."""
    account = person_of(access, token)
    with access.database.reading() as connection:
        actor = access.principal_of(account, connection, f"issuer:{account.issuer}")
    return tokens.issue(access, actor, account.id, label="login", lasts=LASTS)


def person_of(access: Access, token: str, nonce: str | None = None, issuer: str = "") -> Account:
    """Return the account of whom an identity token names: by issuer and subject, which no two people share.

    An e-mail address is no name: providers let people choose one. Raises PolicyDenied (ACC001).
    """
    from stannary.crypto.identity_token import Expected, verify_identity_token

    issuer = issuer or claimed_issuer(token)
    with access.database.reading() as connection:
        provider = next((item for item in rows.providers(connection) if issuer and item.issuer == issuer), None)
    if provider is None:
        no_credentials()
    verify = partial(verify_identity_token, token, expected=Expected(issuer, provider.client, nonce), now=access.clock())
    try:
        found = access.issuers.verify(issuer, provider.jwks, verify)
    except (IntegrityError, InputError, BackendError, UsageError) as error:
        access.diary.deny(f"issuer:{issuer}"[:260], "refused", reason=f"{type(error).__name__} {error.code}")
        no_credentials()
    with access.database.reading() as connection:
        account = rows.account_of_subject(connection, issuer, found.subject)
    if account is None or account.disabled:
        access.diary.deny(f"issuer:{issuer}"[:260], "refused", reason=f"no account is {found.subject[:80]!r} there")
        no_credentials()
    return account
