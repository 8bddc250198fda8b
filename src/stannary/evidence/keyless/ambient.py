"""The identity token that a pipeline has anyway: from its environment, or asked of the runner it runs on.

    STANNARY_ID_TOKEN      anybody's
    SIGSTORE_ID_TOKEN      GitLab's (`id_tokens:`), as Sigstore's clients name it
    ACTIONS_ID_TOKEN_*     GitHub's and Gitea's: the runner gives an address, and a secret to ask it with

A token is a secret for as long as it holds: it is never printed or logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from stannary.core.errors import BackendError, UsageError
from stannary.crypto.discovery import check_address, fetch

__all__ = ["VARIABLES", "ambient_token"]

VARIABLES = ("STANNARY_ID_TOKEN", "SIGSTORE_ID_TOKEN")
_ADDRESS, _SECRET = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"


def ambient_token(environment: Mapping[str, str], audience: str, *, offline: bool = False) -> str:
    """Return the token that the surroundings offer. Raises UsageError when they offer none, BackendError when it is refused.

    `audience` is for whom it is asked for, where it can be said.
    """
    for name in VARIABLES:
        if environment.get(name, "").strip():
            return environment[name].strip()
    address, secret = environment.get(_ADDRESS, ""), environment.get(_SECRET, "")
    if not (address and secret):
        msg = "there is no identity token"
        text = f"--identity-token FILE (- for stdin), or {VARIABLES[0]}; a job of GitHub's needs the permission `id-token: write`"
        raise UsageError(msg, where="--keyless", code="OID011", help=text)
    if offline:
        msg = "the runner has to be asked for the token, and no socket may be opened"
        raise UsageError(msg, where=_ADDRESS, code="OID011", help="leave out --offline, or name a file with --identity-token FILE")
    where = check_address(address.partition("?")[0], "runner")
    query = address.partition("?")[2]
    asked = "&".join(part for part in (query, urlencode({"audience": audience})) if part)
    answer = fetch(f"{where}?{asked}", "the runner", {"Authorization": f"Bearer {secret}"})
    try:
        return str(msgspec.json.decode(answer, type=dict[str, Any])["value"])
    except (msgspec.MsgspecError, KeyError) as error:
        msg = "the runner answers with no token"
        raise BackendError(msg, where=where, code="OID011") from error
