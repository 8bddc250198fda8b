"""The authority of a workspace: `.stannary/authority/`, its keys, its settings, and what verifiers need of it.

    authority.json         the settings: generations of keys with their times, identity providers
    root.crt, root.pub     the root; its key is `root.pem`, or lies where `--root-key` said
    ca-N.pem, ca-N.crt     the authority that issues, signed by the root
    ct-N.pem, ct-N.pub     the certificate log's key
    log-N.pem, log-N.pub, log-N.db     the signature log
    jwks-N.json            keys of an identity provider
    trusted_root.json, trust_config.json      for verifiers; signed by the root key: trusted_root.dsse.json

The root key signs authorities and trusted roots. Signing needs the other three; verifying needs none of them.
"""

from __future__ import annotations

import base64
import os
import tempfile
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto import dsse
from stannary.crypto.certificates import der_of, parse_pem
from stannary.crypto.jws import Jwk, read_keys
from stannary.crypto.keys import PrivateKey, PublicKey, generate, read_public
from stannary.evidence.keyless.certificates import Issuer, make_authority, make_root
from stannary.evidence.keyless.log import SignatureLog, log_id
from stannary.evidence.keyless.token import AUDIENCE, IdentityKind, Provider
from stannary.evidence.sigstore import trusted_root as root_format
from stannary.evidence.trust_log import log_event
from stannary.evidence.workspace import Workspace

if TYPE_CHECKING:
    from cryptography import x509

__all__ = ["FOLDER", "Authority", "Generation", "Settings"]

FOLDER = "authority"
_SCHEMA = "stannary.authority/1"
_DETAILS = {"ecdsa-p256-sha256": "PKIX_ECDSA_P256_SHA_256", "ecdsa-p384-sha384": "PKIX_ECDSA_P384_SHA_384"}


class Generation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key of a kind, from when it counts and, once it was replaced, until when."""

    number: int
    start: datetime
    end: datetime | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `authority.json`. `version` rises with each trusted root that is written."""

    schema: str = _SCHEMA
    name: str
    version: int
    ca: tuple[Generation, ...]
    ct: tuple[Generation, ...]
    log: tuple[Generation, ...]
    providers: tuple[Provider, ...] = ()

    def audience_of(self, kind: IdentityKind) -> str:
        """Return for whom tokens of the first provider of a kind are."""
        return next((item.audience for item in self.providers if item.kind == kind), AUDIENCE)


class Authority:
    """The authority of a workspace, opened by its settings; keys are read when they are used."""

    def __init__(self, workspace: Workspace) -> None:
        """Open it. Raises UsageError when there is none, InputError when the settings cannot be read."""
        self.workspace = workspace
        self.folder = workspace.root / FOLDER
        path = self.folder / "authority.json"
        try:
            self.settings = msgspec.json.decode(path.read_bytes(), type=Settings)
        except FileNotFoundError:
            msg = "has no authority that could issue certificates"
            raise UsageError(msg, where=str(workspace.root), code="TRU010", help="`stannary trust init` makes one") from None
        except msgspec.MsgspecError as error:
            msg = f"cannot be read: {error}"
            raise InputError(msg, where=str(path), code="TRU011") from error
        if self.settings.schema != _SCHEMA:
            msg = f"is of a version that is not known here: {self.settings.schema[:60]!r}"
            raise InputError(msg, where=str(path), code="TRU011", help="use a newer stannary")

    @classmethod
    def create(cls, workspace: Workspace, *, passphrase: bytes | None, root_key: Path | None = None) -> Authority:
        """Make an authority with new keys, all protected by the passphrase. Raises UsageError when there is one already."""
        folder = workspace.root / FOLDER
        if (folder / "authority.json").exists():
            msg = "has an authority already"
            raise UsageError(msg, where=str(folder), code="TRU012", help="`stannary trust rotate` replaces its keys")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        name, now = workspace.settings.origin, _second(workspace.clock())
        key = generate("ecdsa-p384-sha384")
        key.write(root_key or folder / "root.pem", passphrase)
        (folder / "root.pub").write_bytes(key.public.pem())
        root = make_root(name, key, now)
        _write(folder / "root.crt", _pem(root))
        first = (Generation(number=1, start=now),)
        settings = Settings(name=name, version=0, ca=first, ct=first, log=first)
        _make_ca(folder, settings, 1, (key, root), passphrase, now)
        for kind in ("ct", "log"):
            _make_key(folder, f"{kind}-1", passphrase)
        # Last, so that an interrupted `trust init` leaves nothing that looks like an authority.
        _write(folder / "authority.json", _json(settings))
        made = cls(workspace)
        made.signature_log(write=True).close()
        made.publish(key, settings)
        log_event(workspace, "authority", {"name": name, "root": key.public.keyid, **made.fingerprints()})
        return made

    # Keys

    def current(self, kind: str) -> int:
        """Return the number of the newest key of a kind: ca, ct or log."""
        generations: tuple[Generation, ...] = getattr(self.settings, kind)
        return generations[-1].number

    def key(self, kind: str, number: int | None = None) -> PrivateKey:
        """Return a private key; the passphrase is the workspace's to ask for. Raises UsageError or InputError."""
        return self.workspace.read_key(self.folder / f"{kind}-{number or self.current(kind)}.pem")

    def public(self, kind: str, number: int) -> PublicKey:
        """Return a public key."""
        if kind == "ca":
            from stannary.crypto.certificates import key_of

            return key_of(self.certificate(f"ca-{number}"))
        return read_public(self.folder / f"{kind}-{number}.pub")

    def certificate(self, stem: str) -> x509.Certificate:
        """Return a certificate of the authority's own: `root` or `ca-N`."""
        path = self.folder / f"{stem}.crt"
        return parse_pem(path.read_bytes(), str(path))[0]

    @property
    def root_public(self) -> PublicKey:
        """Return the public half of the root key."""
        return read_public(self.folder / "root.pub")

    def root_signer(self, path: Path | None = None) -> PrivateKey:
        """Return the root key, from where it is kept. Raises UsageError when it is not there or is another."""
        found = path or self.folder / "root.pem"
        if not found.exists():
            msg = "the root key is not here"
            raise UsageError(
                msg, where=str(found), code="TRU013", help="fetch it from where it is kept, and name it with --root-key"
            )
        key = self.workspace.read_key(found)
        if key.public.keyid != self.root_public.keyid:
            msg = "is not the root key of this authority"
            raise UsageError(msg, where=str(found), code="TRU013")
        return key

    @cached_property
    def issuer(self) -> Issuer:
        """Return what issues certificates."""
        number = self.current("ca")
        return Issuer(self.key("ca"), self.certificate(f"ca-{number}"), self.key("ct"))

    def signature_log(self, *, write: bool = False, number: int | None = None) -> SignatureLog:
        """Open a signature log, the newest by default."""
        number = number or self.current("log")
        signer = self.key("log", number) if write else None
        return SignatureLog(self.folder / f"log-{number}.db", self.log_name(number), self.public("log", number), signer)

    def log_name(self, number: int) -> str:
        """Return the name a signature log signs under."""
        return f"{self.settings.name}/log-{number}"

    # Providers

    def provider(self, token: str) -> tuple[Provider, tuple[Jwk, ...]]:
        """Return the provider that a token claims to be of, and its keys. Raises IntegrityError when it is not trusted."""
        claimed = _claimed_issuer(token)
        found = next((item for item in self.settings.providers if item.url == claimed), None)
        if found is None:
            msg = f"is of {claimed[:200]!r}, and no such identity provider is trusted"
            help_ = "`stannary trust issuer URL` trusts one; `stannary trust show` lists them"
            raise IntegrityError(msg, where="token", code="OID004", help=help_)
        path = self.folder / found.jwks
        return found, read_keys(path.read_bytes(), str(path))

    def trust_provider(self, provider: Provider, jwks: bytes) -> Provider:
        """Trust an identity provider, or change how. The change is logged. Raises InputError for keys that are none."""
        keys = read_keys(jwks, provider.url)
        others = tuple(item for item in self.settings.providers if item.url != provider.url)
        known = {item.jwks for item in others}
        stem = next(f"jwks-{i}.json" for i in range(1, len(known) + 2) if f"jwks-{i}.json" not in known)
        provider = msgspec.structs.replace(provider, jwks=stem)
        event: dict[str, Any] = {"provider": provider.url, "audience": provider.audience, "names": provider.kind}
        log_event(self.workspace, "provider", {**event, "keys": sorted(key.kid for key in keys)})
        _write(self.folder / stem, jwks)
        self._save(msgspec.structs.replace(self.settings, providers=(*others, provider)))
        return provider

    # For verifiers

    def publish(self, root_key: PrivateKey, settings: Settings) -> None:
        """Write settings, and the trusted root they make, plain and signed."""
        settings = msgspec.structs.replace(settings, version=settings.version + 1)
        self._save(settings)
        root = self.trusted_root()
        issued = self.workspace.clock()
        signed = root_format.SignedRootJson(settings.version, issued, msgspec.Raw(msgspec.json.encode(root)))
        envelope = dsse.sign(msgspec.json.encode(signed), root_key, root_format.SIGNED_TYPE)
        _write(self.folder / "trusted_root.json", _json(root))
        _write(self.folder / "trusted_root.dsse.json", dsse.encode(envelope) + b"\n")
        _write(self.folder / "trust_config.json", _json(self._config(root)))

    def trusted_root(self) -> root_format.RootJson:
        """Return the trusted root."""
        return root_format.RootJson(
            media_type=root_format.ROOT_TYPE,
            tlogs=tuple(self._log("log", item) for item in self.settings.log),
            certificate_authorities=tuple(self._authority(item) for item in self.settings.ca),
            ctlogs=tuple(self._log("ct", item) for item in self.settings.ct),
        )

    def fingerprints(self) -> dict[str, Any]:
        """Return the key ids of the newest keys."""
        return {kind: self.public(kind, self.current(kind)).keyid for kind in ("ca", "ct", "log")}

    def _authority(self, item: Generation) -> root_format.AuthorityJson:
        chain = (self.certificate(f"ca-{item.number}"), self.certificate("root"))
        return root_format.AuthorityJson(
            subject=root_format.SubjectJson(self.settings.name, f"stannary authority {item.number}"),
            uri=f"https://{self.settings.name}/ca",
            cert_chain=root_format.ChainJson(tuple(root_format.CertificateJson(_b64(der_of(row))) for row in chain)),
            valid_for=root_format.Period(item.start, item.end),
        )

    def _log(self, kind: str, item: Generation) -> root_format.LogJson:
        key = self.public(kind, item.number)
        return root_format.LogJson(
            base_url=f"https://{self.settings.name}/{kind}-{item.number}",
            hash_algorithm="SHA2_256",
            public_key=root_format.KeyJson(_b64(key.spki), _DETAILS[key.algorithm], root_format.Period(item.start, item.end)),
            log_id=root_format.LogIdJson(_b64(log_id(key))),
        )

    def _config(self, root: root_format.RootJson) -> root_format.ConfigJson:
        def service(url: str) -> root_format.ServiceJson:
            return root_format.ServiceJson(url, 1, root_format.Period(self.settings.ca[0].start), self.settings.name)

        base = f"https://{self.settings.name}"
        providers = tuple(service(item.url) for item in self.settings.providers)
        signing = root_format.SigningJson(
            media_type="application/vnd.dev.sigstore.signingconfig.v0.2+json",
            ca_urls=(service(f"{base}/ca"),),
            oidc_urls=providers,
            rekor_tlog_urls=(service(f"{base}/log-{self.current('log')}"),),
            rekor_tlog_config=root_format.ServicesJson("ANY"),
        )
        return root_format.ConfigJson(root_format.CONFIG_TYPE, root, signing)

    def _save(self, settings: Settings) -> None:
        _write(self.folder / "authority.json", _json(settings))
        self.settings = settings
        self.__dict__.pop("issuer", None)

    # Rotation

    def replace_key(self, kind: str, root_key: PrivateKey, passphrase: bytes | None, overlap: timedelta) -> Settings:
        """Make the next key of a kind; the one before it counts for `overlap` longer. The change is logged, then in force."""
        now = _second(self.workspace.clock())
        generations: tuple[Generation, ...] = getattr(self.settings, kind)
        *older, last = generations
        number = last.number + 1
        if kind == "ca":
            _make_ca(self.folder, self.settings, number, (root_key, self.certificate("root")), passphrase, now)
        else:
            _make_key(self.folder, f"{kind}-{number}", passphrase)
        changed = (*older, msgspec.structs.replace(last, end=now + overlap), Generation(number=number, start=now))
        settings = msgspec.structs.replace(self.settings, **{kind: changed})
        event = {"what": kind, "old": self.public(kind, last.number).keyid, "new": self.public(kind, number).keyid}
        log_event(self.workspace, "rotated", {**event, "until": f"{now + overlap:%Y-%m-%dT%H:%M:%SZ}"})
        self.publish(root_key, settings)
        if kind == "log":
            self.signature_log(write=True).close()
        return settings


def _make_ca(
    folder: Path,
    settings: Settings,
    number: int,
    root: tuple[PrivateKey, x509.Certificate],
    passphrase: bytes | None,
    now: datetime,
) -> None:
    _make_key(folder, f"ca-{number}", passphrase, "ecdsa-p384-sha384")
    public = read_public(folder / f"ca-{number}.pub")
    certificate = make_authority(settings.name, number, public, root[1], root[0], now)
    _write(folder / f"ca-{number}.crt", _pem(certificate))


def _make_key(folder: Path, stem: str, passphrase: bytes | None, algorithm: Any = "ecdsa-p256-sha256") -> None:  # noqa: ANN401 - Algorithm
    """Make a key file. One that an interrupted run left behind, and that nothing names yet, is replaced."""
    (folder / f"{stem}.pem").unlink(missing_ok=True)
    key = generate(algorithm)
    key.write(folder / f"{stem}.pem", passphrase)
    _write(folder / f"{stem}.pub", key.public.pem())


def _claimed_issuer(token: str) -> str:
    """Return the issuer that a token claims, unverified: it only says whose keys to verify it with."""
    try:
        part = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)), type=dict[str, Any])
        return str(claims["iss"])
    except (IndexError, KeyError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        msg = "is not a signed token with an issuer"
        raise IntegrityError(msg, where="token", code="OID001", help="give the identity token as the provider issued it") from error


def _second(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(scratch).chmod(0o644)
    Path(scratch).replace(path)
