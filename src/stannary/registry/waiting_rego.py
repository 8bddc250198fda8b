"""What a policy in Rego waits for, for the inbox: it is asked more than once for a version, and each time a process is started.

Answers are kept for as long as the evidence is what it was, for a minute at most: a module may go by the time. A page asks for
some seconds, and then leaves the rest to the next one.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from stannary.core.errors import StannaryError
from stannary.core.evidence import Reason
from stannary.core.model import Digest
from stannary.evidence.engines.bounds import SENT
from stannary.evidence.engines.interface import choose
from stannary.evidence.policy_text import rego_policy
from stannary.evidence.rego_approvals import Wanted, wanted_approvals
from stannary.registry.model import Protection, Version
from stannary.registry.registry import Registry

__all__ = ["Patience", "wanted"]

_KEPT, _SECONDS = 1024, 60.0
_BOUNDS = SENT._replace(seconds=5.0)  # for all questions about one version
_PATIENCE = 5.0  # seconds
_Key = tuple[str, str, str, str, int, tuple[str, ...]]


class _Asked(NamedTuple):
    """What was found, and when."""

    wanted: Wanted | None
    at: float


class Patience:
    """How long one page asks modules, by the clock."""

    def __init__(self, seconds: float = _PATIENCE) -> None:
        self.left = seconds

    @property
    def over(self) -> bool:
        """Whether the rest is left to the next page."""
        return self.left <= 0


_lock = threading.Lock()
_asking = threading.Lock()  # one at a time: who opens the inbox beside others waits for what they ask, and has their answers
_kept: OrderedDict[_Key, _Asked] = OrderedDict()


def wanted(registry: Registry, version: Version, protection: Protection, patience: Patience) -> Wanted | None:
    """Return what the module of a protection wants approvals of a version for; None when for nothing.

    Where it cannot be asked, that is what is missing: nobody is to take silence for nothing to do.
    """
    chain, held = registry.chain, protection.policy
    about = chain.about(Digest.parse(version.digest))
    keys = tuple(f"{key.identity} {key.keyid}" for key in chain.workspace.trust.keys)
    key = (str(chain.workspace.root), held["name"], held["rego"], version.digest, len(about.evidence), keys)
    known = _known(key)
    if known is not None:
        return known.wanted
    began = time.monotonic()
    with _asking:
        known = _known(key)
        if known is None:
            known = _Asked(_ask(registry, version, protection), time.monotonic())
            _keep(key, known)
    patience.left -= time.monotonic() - began
    return known.wanted


def _ask(registry: Registry, version: Version, protection: Protection) -> Wanted | None:
    held = protection.policy
    try:
        policy = rego_policy(held["rego"], held["name"], choose("auto", _BOUNDS))
        return wanted_approvals(registry.chain, registry.subject(version), policy)
    except StannaryError as error:
        message = f"whether it wants an approval could not be found out: {error.message}"
        return Wanted(approvals=(), missing=(Reason(rule=held["name"], ok=False, message=message, help=error.help or ""),))


def _known(key: _Key) -> _Asked | None:
    with _lock:
        found = _kept.get(key)
    return found if found is not None and time.monotonic() - found.at < _SECONDS else None


def _keep(key: _Key, found: _Asked) -> None:
    with _lock:
        _kept[key] = found
        _kept.move_to_end(key)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
