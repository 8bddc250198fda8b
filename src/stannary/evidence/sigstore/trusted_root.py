"""A trusted root: certificate authorities, certificate logs, signature logs and time stamp authorities, each with its time.

The format is Sigstore's `TrustedRoot` (protobuf JSON, version 0.1), alone or within a `ClientTrustConfig`. Keys of
kinds that verify nothing here are kept by name and match nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto import dsse
from stannary.crypto.certificates import parse_der
from stannary.crypto.keys import PublicKey
from stannary.evidence.oms.bundle import decoded

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "CONFIG_TYPE",
    "PUBLIC_GOOD",
    "ROOT_TYPE",
    "SIGNED_TYPE",
    "Authority",
    "AuthorityJson",
    "CertificateJson",
    "ChainJson",
    "ConfigJson",
    "KeyJson",
    "Log",
    "LogIdJson",
    "LogJson",
    "Period",
    "RootJson",
    "ServiceJson",
    "ServicesJson",
    "SignedRootJson",
    "SigningJson",
    "SubjectJson",
    "TrustedRoot",
    "known",
    "parse_root",
    "read_root",
]

ROOT_TYPE = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
CONFIG_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
SIGNED_TYPE = "application/vnd.stannary.trusted-root+json"
_ROOT_TYPES = frozenset({ROOT_TYPE, "application/vnd.dev.sigstore.trustedroot.v0.2+json"})
PUBLIC_GOOD = "sigstore.dev"  # names the root that is shipped
_MOST_BYTES = 4 << 20


class Period(msgspec.Struct, frozen=True, omit_defaults=True):
    """From when to when something counts; without an end, until further notice. Both ends are inside."""

    start: datetime | None = None
    end: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Tell whether a time is inside."""
        return (self.start is None or self.start <= at) and (self.end is None or at <= self.end)


class CertificateJson(msgspec.Struct, frozen=True, rename="camel"):
    """A certificate: base64 of DER."""

    raw_bytes: str


class ChainJson(msgspec.Struct, frozen=True):
    """Certificates, the issuing one first, the root last."""

    certificates: tuple[CertificateJson, ...]


class SubjectJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who runs an authority."""

    organization: str = ""
    common_name: str = ""


class AuthorityJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A certificate authority, or a time stamp authority."""

    cert_chain: ChainJson
    subject: SubjectJson = SubjectJson()
    uri: str = ""
    valid_for: Period = Period()
    operator: str = ""


class KeyJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A public key: base64 of DER, what kind it is, when it counts."""

    raw_bytes: str
    key_details: str = ""
    valid_for: Period = Period()


class LogIdJson(msgspec.Struct, frozen=True, rename="camel"):
    """The name of a log: base64 of a hash of its key."""

    key_id: str


class LogJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A log."""

    base_url: str
    public_key: KeyJson
    log_id: LogIdJson
    hash_algorithm: str = ""
    checkpoint_key_id: LogIdJson | None = None
    operator: str = ""


class RootJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A trusted root as it is written."""

    media_type: str
    tlogs: tuple[LogJson, ...] = ()
    certificate_authorities: tuple[AuthorityJson, ...] = ()
    ctlogs: tuple[LogJson, ...] = ()
    timestamp_authorities: tuple[AuthorityJson, ...] = ()


class ServiceJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Where a signing client finds a service."""

    url: str
    major_api_version: int
    valid_for: Period
    operator: str


class ServicesJson(msgspec.Struct, frozen=True):
    """How many services of a kind are to be used."""

    selector: str


class SigningJson(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The services for signing."""

    media_type: str
    ca_urls: tuple[ServiceJson, ...]
    oidc_urls: tuple[ServiceJson, ...]
    rekor_tlog_urls: tuple[ServiceJson, ...]
    rekor_tlog_config: ServicesJson
    tsa_urls: tuple[ServiceJson, ...] = ()


class ConfigJson(msgspec.Struct, frozen=True, rename="camel"):
    """A trusted root with the services for signing, as `--trust-config` takes it."""

    media_type: str
    trusted_root: RootJson
    signing_config: SigningJson | msgspec.Raw


class SignedRootJson(msgspec.Struct, frozen=True, rename="camel"):
    """What a root key signs: the trusted root, and a number that rises with each change."""

    number: int
    issued: datetime
    trusted_root: msgspec.Raw


class Log(NamedTuple):
    """A log that is trusted; `key` is None when it is of a kind that is not verified here."""

    url: str
    ids: frozenset[bytes]
    key: PublicKey | None
    period: Period

    @property
    def host(self) -> str:
        """Return the name that its checkpoints are signed under: the address without the scheme."""
        return self.url.partition("://")[2].rstrip("/") or self.url


class Authority(NamedTuple):
    """An authority that is trusted: the issuing certificate first."""

    chain: tuple[x509.Certificate, ...]
    period: Period


class TrustedRoot(NamedTuple):
    """Whose certificates, logs and time stamps count."""

    authorities: tuple[Authority, ...]
    certificate_logs: tuple[Log, ...]
    logs: tuple[Log, ...]
    time_stamps: tuple[Authority, ...]

    def authorities_at(self, at: datetime) -> list[Authority]:
        """Return the certificate authorities that counted at a time."""
        return [item for item in self.authorities if item.period.holds(at)]


def read_root(path: str | Path, pinned: PublicKey | None = None) -> TrustedRoot:
    """Read a trusted root or a trust configuration from a file; `sigstore.dev` is the one of the public instance.

    With `pinned`, a root key, the file is the signed form that `stannary trust init` writes beside the plain one.
    Raises UsageError or InputError, and IntegrityError when it is not signed by that key.
    """
    if str(path) == PUBLIC_GOOD:
        shipped = resources.files("stannary.evidence.sigstore").joinpath("public_good.json")
        return parse_root(shipped.read_bytes(), PUBLIC_GOOD)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UsageError(msg, where=str(path), code="SIG041", help="`stannary trust init` writes trusted_root.json") from error
    if pinned is not None:
        payload, _ = dsse.verify(dsse.decode(content, str(path)), [pinned], SIGNED_TYPE)
        try:
            content = bytes(msgspec.json.decode(payload, type=SignedRootJson).trusted_root)
        except msgspec.MsgspecError as error:
            msg = f"is no trusted root: {str(error)[:200]}"
            raise InputError(msg, where=str(path), code="SIG041", help="use a newer stannary") from error
    return parse_root(content, str(path))


def parse_root(content: bytes, where: str) -> TrustedRoot:
    """Read a trusted root or a trust configuration. Raises InputError."""
    try:
        found = _root_json(content)
        root = TrustedRoot(
            tuple(_authority(row) for row in found.certificate_authorities),
            tuple(_log(row) for row in found.ctlogs),
            tuple(_log(row) for row in found.tlogs),
            tuple(_authority(row) for row in found.timestamp_authorities),
        )
    except (ValueError, msgspec.MsgspecError, IntegrityError, RecursionError) as error:
        msg = f"is no trusted root: {str(error)[:200]}"
        raise InputError(msg, where=where, code="SIG041", help="get it again from whoever runs the authority") from error
    if not root.authorities or not root.logs:
        msg = "trusts nobody: it has no certificate authority, or no log"
        raise InputError(msg, where=where, code="SIG041")
    return root


def _root_json(content: bytes) -> RootJson:
    if len(content) > _MOST_BYTES:
        msg = "it is too large"
        raise ValueError(msg)
    fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    kind = fields.get("mediaType")
    if kind is not None and msgspec.json.decode(kind) == CONFIG_TYPE:
        content = bytes(fields.get("trustedRoot", msgspec.Raw(b"null")))
    found = msgspec.json.decode(content, type=RootJson)
    if found.media_type not in _ROOT_TYPES:
        msg = f"its type is {found.media_type[:80]!r}"
        raise ValueError(msg)
    return found


def _authority(row: AuthorityJson) -> Authority:
    chain = tuple(parse_der(decoded(item.raw_bytes, "certificate"), "authority") for item in row.cert_chain.certificates)
    if not chain:
        msg = "an authority has no certificate"
        raise ValueError(msg)
    return Authority(chain, _in_utc(row.valid_for))


def _log(row: LogJson) -> Log:
    ids = {row.log_id.key_id, *([row.checkpoint_key_id.key_id] if row.checkpoint_key_id else [])}
    content = decoded(row.public_key.raw_bytes, "key of a log")
    try:
        key = PublicKey.of_der(content, row.base_url)
    except InputError:  # RSA, in some certificate logs: nothing is verified with it
        key = None
    return Log(row.base_url, frozenset(decoded(item, "log id") for item in ids), key, _in_utc(row.public_key.valid_for))


def _in_utc(period: Period) -> Period:
    start, end = (_aware(item) for item in (period.start, period.end))
    return Period(start, end)


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


def known(logs: Iterable[Log], name: bytes, at: datetime | None) -> list[Log]:
    """Return the logs that are called `name` and counted at a time, when one is given."""
    return [log for log in logs if name in log.ids and (at is None or log.period.holds(at))]
