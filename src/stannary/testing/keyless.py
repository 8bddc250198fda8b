"""A workspace with an authority of its own and a provider it trusts, on a clock that a test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from stannary.core.canonical import canonical_json
from stannary.crypto.keys import PrivateKey
from stannary.evidence.keyless.authority import Authority
from stannary.evidence.keyless.certificates import issue
from stannary.evidence.keyless.material import KeylessMaterial, tlog_entry
from stannary.evidence.keyless.token import Identity, IdentityKind, Provider
from stannary.evidence.oms.bundle import Bundle
from stannary.evidence.oms.sign import sign_model
from stannary.evidence.sigstore.identity import Wanted
from stannary.evidence.sigstore.method import SigstoreTrust
from stannary.evidence.sigstore.revocation import Revocations
from stannary.evidence.sigstore.trusted_root import parse_root
from stannary.evidence.workspace import Workspace
from stannary.testing.identity_provider import IdentityProvider

__all__ = ["KeylessPlace"]


class KeylessPlace:
    """`now` is the time of the workspace; tokens are issued at that time."""

    def __init__(self, folder: Path, provider: IdentityProvider | None = None, origin: str = "test/log") -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.workspace = Workspace.create(folder, passphrase=None, origin=origin, clock=lambda: self.now)
        self.workspace.ledger(write=True).close()
        self.authority = Authority.create(self.workspace, passphrase=None)
        self.provider = provider or IdentityProvider()
        self.take()

    def take(self, kind: IdentityKind = "email", audience: str = "stannary") -> None:
        """Take the provider's tokens, with the keys it has now."""
        self.authority.trust_provider(Provider(url=self.provider.url, audience=audience, kind=kind), self.provider.jwks)

    def later(self, **by: float) -> None:
        """Let time pass."""
        self.now += timedelta(**by)

    def token(self, **claims: Any) -> str:  # noqa: ANN401 - JSON
        """Return a token issued now."""
        second = int(self.now.timestamp())
        return self.provider.token(**{"iat": second, "exp": second + 300, **claims})

    def sign(self, model: Path, **claims: Any) -> Bundle:  # noqa: ANN401 - JSON
        """Sign a model as whom a token names."""
        return sign_model(str(model), KeylessMaterial(self.authority, self.token(**claims))).bundle

    def certify(self, key: PrivateKey, name: str = "alice@example.com") -> x509.Certificate:
        """Return a certificate for a key, without a token."""
        identity = Identity("email", name, self.provider.url, "alice", {}, self.now + timedelta(hours=1))
        return issue(identity, key.public, self.authority.issuer, self.now)

    def log(self, body: dict[str, Any], when: datetime | None = None) -> dict[str, object]:
        """Put an entry of any kind into the signature log, and return it as bundles have it."""
        with self.authority.signature_log(write=True) as log:
            logged = log.append(canonical_json(body), (body["kind"], body["apiVersion"]), when or self.now)
        return tlog_entry(logged)

    def trust(
        self, identity: str = "alice@example.com", issuer: str | None = None, revoked: Revocations | None = None
    ) -> SigstoreTrust:
        """Trust an identity by the trusted root that was written last."""
        content = (self.authority.folder / "trusted_root.json").read_bytes()
        return SigstoreTrust(parse_root(content, "trusted_root.json"), Wanted(identity, issuer or self.provider.url), revoked)
