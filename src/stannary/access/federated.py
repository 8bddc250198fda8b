"""Tokens of identity providers, shown as they are: a pipeline proves what it is, and keeps no secret of ours.

1. the issuer, which the token only claims so far, is one that a rule names;
2. a key of the issuer signed it, for the audience of the rule, and it holds now;
3. every claim that the rule names is as the rule says; a rule without claims would let in everybody the issuer knows.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from stannary.access import rows
from stannary.access.model import Federation, Principal, no_credentials
from stannary.core.errors import BackendError, InputError, IntegrityError, PolicyDenied, StannaryError, UsageError
from stannary.core.strict_json import strict_json

if TYPE_CHECKING:
    from stannary.access.access import Access
    from stannary.crypto.identity_token import VerifiedToken
    from stannary.crypto.jws import Jwk

__all__ = ["Issuers", "check_rule", "claimed_issuer", "federated", "holds"]

_FRESH, _AGAIN = 600.0, 30.0  # seconds that fetched keys are used for; that have to pass before they are fetched early
_FAILED = 10.0  # seconds in which an issuer that could not be asked is not asked again
_UNKNOWN_KEY = "OID003"
_LONGEST = 2048
# Where anybody can have a pipeline: the claims that say whose it is, and what a pattern has to be for it to say so.
# A workflow that others may call (`job_workflow_ref`) says only what runs, and not for whom.
_WHOSE = {
    "https://token.actions.githubusercontent.com": {
        "repository": r"[^*/]+/.+", "repository_id": r"\d+", "repository_owner": r"[^*]+", "repository_owner_id": r"\d+",
        "sub": r"repo(?:sitory)?:[^*/:]+/.+|repository_owner:[^*:]+(?::.*)?|repository(?:_owner)?_id:\d+(?::.*)?",
    },
    "https://gitlab.com": {
        "project_path": r"[^*/]+/.+", "project_id": r"\d+", "namespace_path": r"[^*/]+(?:/.*)?", "namespace_id": r"\d+",
        "sub": r"project_path:[^*/:]+/.+", "ci_config_ref_uri": r"gitlab\.com/[^*/]+/.+",
    },
}  # fmt: skip


class _Keys(NamedTuple):
    keys: tuple[Jwk, ...]
    fetched: float


class Issuers:
    """The keys of identity providers: given, or fetched and kept for a while.

    Args:
        offline: whether nothing may be fetched.
        clock: seconds that never go back.
    """

    def __init__(self, *, offline: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._offline = offline
        self._clock = clock
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}
        self._found: dict[str, _Keys] = {}
        self._failed: dict[str, float] = {}

    def verify(self, issuer: str, jwks: str, verify: Callable[[tuple[Jwk, ...]], VerifiedToken]) -> VerifiedToken:
        """Return what `verify` says with an issuer's keys; with its newest, when it signed with one that is not known yet.

        Raises what `verify` raises, and BackendError when keys cannot be had.
        """
        from stannary.crypto.jws import read_keys

        if jwks:
            return verify(read_keys(jwks.encode(), issuer))
        known = self._keys(issuer, _FRESH)
        try:
            return verify(known)
        except IntegrityError as error:
            if error.code != _UNKNOWN_KEY:
                raise
            newer = self._keys(issuer, _AGAIN)
            if newer is known:
                raise
        return verify(newer)

    def _keys(self, issuer: str, fresh: float) -> tuple[Jwk, ...]:
        from stannary.crypto.discovery import discover_keys
        from stannary.crypto.jws import read_keys

        with self._lock:
            asking = self._asking.setdefault(issuer, threading.Lock())
        with asking:  # one asks, the others wait: an issuer is not flooded by what is shown here, nor holds up another one
            found = self._found.get(issuer)
            if found is not None and self._clock() - found.fetched < fresh:
                return found.keys
            if self._offline:
                msg = "its keys would have to be fetched, and no socket may be opened"
                raise BackendError(msg, where=issuer, code="OID010", help="give them with --jwks FILE")
            failed = self._failed.get(issuer)
            if failed is not None and self._clock() - failed < _FAILED:
                # Whoever shows tokens of it would have every thread wait for it, one after the other.
                msg = "its keys could not be fetched a moment ago"
                raise BackendError(msg, where=issuer, code="OID010", help="try again in a while")
            try:
                keys = read_keys(discover_keys(issuer), issuer)
            except StannaryError:
                self._failed[issuer] = self._clock()
                raise
            self._failed.pop(issuer, None)
            self._found[issuer] = _Keys(keys, self._clock())
            return keys


def federated(access: Access, token: str) -> Principal:
    """Return the service account that a token of an identity provider is for. Raises PolicyDenied (ACC001)."""
    from stannary.crypto.identity_token import Expected, verify_identity_token

    # 1.
    issuer = claimed_issuer(token)
    with access.database.reading() as connection:
        rules = rows.federations(connection, issuer) if issuer else []
    if not rules:
        return no_credentials()
    reason = ""
    for rule in rules:
        # 2.
        verify = partial(verify_identity_token, token, expected=Expected(rule.issuer, rule.audience), now=access.clock())
        try:
            found = access.issuers.verify(rule.issuer, rule.jwks, verify)
        except (IntegrityError, InputError, BackendError, UsageError) as error:
            reason = _told(error)
            continue
        # 3.
        if holds(rule, found.claims):
            with access.database.reading() as connection:
                account = rows.account(connection, rule.account)
                if account is None or account.disabled:
                    reason = f"{rule.account} is disabled"
                    continue
                ends = found.expires.timestamp()
                return access.principal_of(account, connection, f"federation:{rule.name}", expires=ends)
        reason = f"its claims are not those of {rule.name}"
    access.diary.deny(f"issuer:{issuer}"[:260], "refused", reason=reason)
    return no_credentials()


def holds(rule: Federation, claims: Mapping[str, Any]) -> bool:
    """Tell whether every claim that a rule names is there and is as it says."""
    return bool(rule.claims) and all(_matches(claims.get(name), pattern) for name, pattern in rule.claims.items())


def check_rule(rule: Federation) -> None:
    """Raise UsageError or PolicyDenied for a rule that would let in nobody, or everybody."""
    from stannary.crypto.discovery import check_address

    check_address(rule.issuer)
    if not rule.audience:
        msg = "a rule says for whom tokens have to be"
        raise UsageError(msg, where=rule.name, code="ACC014", help="--audience stannary, and ask for tokens of that audience")
    telling = [name for name, pattern in rule.claims.items() if re.search(r"[^*?\[\]!]", pattern)]
    if not telling:
        msg = f"lets in whatever {rule.issuer} gives tokens to"
        raise PolicyDenied(
            msg, where=rule.name, code="ACC014", help="--claim repository=OWNER/NAME, or another claim that says whose it is"
        )
    whose = _WHOSE.get(rule.issuer)
    if whose is not None and not any(re.fullmatch(whose.get(name, ""), pattern) for name, pattern in rule.claims.items()):
        msg = "anybody can have a pipeline there, and the rule does not say whose it has to be"
        help_ = f"--claim {next(iter(whose))}=OWNER/NAME, with the owner in full"
        raise PolicyDenied(msg, where=rule.name, code="ACC014", help=help_)


def _matches(value: object, pattern: str) -> bool:
    """Tell whether a claim is as a pattern says, in which `*` is any text without a slash, and `**` with slashes."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return False
    text = str(value)
    if len(text) > _LONGEST:
        return False
    parts = re.split(r"(\*\*|\*)", pattern)
    wild = {"**": ".*", "*": "[^/]*"}
    return re.fullmatch("".join(wild.get(part, re.escape(part)) for part in parts), text) is not None


def claimed_issuer(token: str) -> str:
    """Return the issuer that a token claims, to find the rules by; it is believed only after its signature was verified."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - RFC 7515
        return ""
    try:
        claims = strict_json(base64.b64decode(parts[1].encode() + b"=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return ""
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) and len(issuer) < _LONGEST and issuer.isascii() and issuer.isprintable() else ""


def _told(error: StannaryError) -> str:
    """Return what may be told of why a token was refused: the code, for messages quote from the token."""
    return f"{type(error).__name__} {error.code}"
