"""Who is let in, by accounts, tokens and grants: the guard of a site, over `access/`."""

from __future__ import annotations

from typing import Any

from stannary.access.access import Access
from stannary.access.model import Principal
from stannary.access.roles import Place
from stannary.core.errors import PolicyDenied
from stannary.registry.names import Name

__all__ = ["AccessGuard"]


class AccessGuard:
    """A guard that asks an `Access`."""

    def __init__(self, access: Access) -> None:
        self.access = access

    def authenticate(self, authorization: str, cookie: str) -> Principal:
        """Return who calls. Raises PolicyDenied (ACC001), the same for whatever is wrong with what they showed."""
        return self.access.authenticate(authorization, cookie)

    def remembered(self, authorization: str, cookie: str) -> Principal | None:
        """Return who calls if that was looked up a moment ago."""
        return self.access.remembered(authorization, cookie)

    def allowed(self, principal: Any) -> _Rights:  # noqa: ANN401 - what `authenticate` returned
        """Return what says whether the principal may do something."""
        return _Rights(self.access, principal)


class _Rights:
    """What somebody may: called, it raises PolicyDenied, and writes down denials and the use of privileges."""

    __slots__ = ("_access", "_principal")

    def __init__(self, access: Access, principal: Principal) -> None:
        self._access, self._principal = access, principal

    def __call__(self, action: str, name: Name, alias: str = "") -> None:
        """Return when the action is allowed. Raises PolicyDenied."""
        self._access.check(self._principal, action, Place(name.namespace, name.name), alias)

    def would(self, action: str, name: Name, alias: str = "") -> None:
        """Say the same of something that nobody has asked for: nothing is written. Raises PolicyDenied."""
        del alias
        verdict = self._access.decide(self._principal, action, Place(name.namespace, name.name))
        if not verdict.allowed:
            raise PolicyDenied(verdict.reason, where=str(name), code="ACC002")

    def places(self, action: str) -> list[tuple[str, str]]:
        """Return the namespaces and models where an action may be done, `*` for every one."""
        return [(place.namespace, place.model) for place in self._access.places(self._principal, action)]
