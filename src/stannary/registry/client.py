"""A registry that a server keeps, over its API: what is sent and what arrives is verified here as it is there.

A push sends what the server has not yet, so that one that was broken off goes on where it was. A pull holds the list of
files against the version's digest, each file against the list, and goes on within a file. The token is sent over TLS, or
to this machine; redirects are not followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import secrets
import ssl
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from stannary.core.canonical import canonical_json
from stannary.core.errors import BackendError, InputError, IntegrityError, PolicyDenied, StannaryError, UsageError
from stannary.core.model import ArtifactKind, File, Json
from stannary.crypto.discovery import certificate_help
from stannary.crypto.dsse import Envelope
from stannary.evidence.subject import identify
from stannary.registry.compare import Difference
from stannary.registry.dataset import describe
from stannary.registry.manifest import Manifest, decode, encode
from stannary.registry.model import Alias, Model, Move, Version
from stannary.registry.names import Name, Reference
from stannary.registry.shredding import Shredding
from stannary.store.disk_room import no_room

if TYPE_CHECKING:
    from stannary.evidence.story import Story

__all__ = ["Client", "Listed", "Stated"]

_TIMEOUT = 120
_TRIES = 4
_WAIT = 3.0  # seconds, and more each time, when a server says that it is asked too much
_CHUNK = 1 << 20
_LARGEST = 256 << 20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LOG_IN = "STANNARY_TOKEN has to hold a token (stannary access token issue NAME), or stannary access login"
_Type = TypeVar("_Type")


class _Row(msgspec.Struct, frozen=True):
    path: str
    size: int
    sha256: str


class _Shown(msgspec.Struct, frozen=True):
    version: Version
    files: tuple[_Row, ...] = ()


class _Models(msgspec.Struct, frozen=True):
    models: tuple[Model, ...]
    next: str = ""


class Listed(msgspec.Struct, frozen=True):
    """The versions of a model, the newest first, its aliases and their moves."""

    versions: tuple[Version, ...]
    aliases: tuple[Alias, ...] = ()
    moves: tuple[Move, ...] = ()


class Stated(msgspec.Struct, frozen=True):
    """A statement that a server has logged: its id, what it is about, its entry."""

    id: str
    subject: str
    index: int


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""
    code: str = ""
    where: str = ""
    help: str = ""


class Client:
    """A registry at an address. Raises UsageError for one to which a token would go in the clear."""

    def __init__(self, server: str, token: str = "") -> None:
        parts = urllib.parse.urlsplit(server if "://" in server else f"https://{server}")
        if not parts.hostname or parts.scheme not in ("https", "http") or parts.username or parts.query or parts.fragment:
            msg = f"is no address of a server: {server[:200]!r}"
            raise UsageError(msg, where="--server", code="CLI001", help="https://registry.example")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            msg = "would send the token in the clear"
            raise UsageError(msg, where=server, code="CLI002", help="use https://")
        if any(not 32 < ord(char) < 127 for char in token):  # noqa: PLR2004 - what is seen of ASCII
            msg = "the token has characters that no token has"
            raise UsageError(msg, where="STANNARY_TOKEN", code="CLI001", help="stannary access token issue NAME")
        self._parts, self._token, self._base = parts, token, f"{parts.path.rstrip('/')}/api/v1"

    # Reading

    def models(self, *, kind: str = "") -> list[Model]:
        """Return what there is, by name."""
        found: list[Model] = []
        after = ""
        while True:
            query = urllib.parse.urlencode({"limit": 1000, "kind": kind, "after": after})
            page = self._json("GET", f"/models?{query}", _Models)
            found += page.models
            if not page.next:
                return found
            after = page.next

    def listed(self, name: Name) -> Listed:
        """Return the newest thousand versions of a name."""
        return self._json("GET", f"{_model(name)}/versions?limit=1000", Listed)

    def show(self, reference: Reference) -> tuple[Version, tuple[File, ...]]:
        """Return a version and its files, which are those of its digest."""
        number = reference.number
        if reference.alias:
            number = self._json("GET", f"{_model(reference.name)}/aliases/{reference.alias}", _Shown).version.number
        elif not number:
            live = [row.number for row in self.listed(reference.name).versions if not row.dropped]
            if not live:
                msg = "every version of it was deleted"
                raise UsageError(msg, where=str(reference), code="REG010", help=f"stannary registry list {reference.name}")
            number = live[0]
        shown = self._json("GET", f"{_model(reference.name)}/versions/{number}?files=true", _Shown)
        version = shown.version
        if (version.name, version.number) != (reference.name, number):
            msg = f"the server answered with {version}"
            raise IntegrityError(msg, where=str(reference), code="CLI003")
        files = tuple(File(path=row.path, size=row.size, sha256=row.sha256) for row in shown.files)
        if files:  # the digest of a version follows from its files: one that was added or changed shows
            found = Manifest(name=reference.name.name, kind=version.kind, files=files)
            decode(canonical_json(msgspec.to_builtins(found)), version.digest, str(version))
        return version, files

    def pull(self, reference: Reference, destination: Path) -> tuple[Version, Path]:
        """Write a version to a folder that is not there. What was broken off goes on; what does not verify is not kept."""
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            msg = "is there already"
            raise UsageError(msg, where=str(destination), code="REG008", help="name a folder that is not there yet")
        version, files = self.show(reference)
        if version.dropped or not files:
            msg = "was deleted"
            raise UsageError(msg, where=str(version), code="REG013", help=f"stannary registry list {version.name}")
        scratch = destination.absolute().parent / f".{destination.name}.{version.digest[7:19]}.part"
        try:
            scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
            if scratch.is_symlink() or scratch.stat().st_uid != os.geteuid():
                msg = "was put there by somebody else"
                raise UsageError(msg, where=str(scratch), code="REG008", help="pull into a folder of your own")
            for file in files:
                url = f"{_model(version.name)}/versions/{version.number}/files/{urllib.parse.quote(file.path)}"
                self._download(url, file, scratch / file.path)
            kept = {scratch / file.path for file in files}
            for path in [item for item in scratch.rglob("*") if not item.is_dir() and item not in kept]:
                path.unlink()
            scratch.chmod(0o755)
            if destination.exists():
                destination.rmdir()
            scratch.rename(destination)
        except OSError as error:
            msg = f"cannot be written: {error.strerror or error}"
            raise BackendError(msg, where=str(error.filename or destination), code="REG009") from error
        return version, destination

    def _download(self, url: str, file: File, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(_TRIES):
            have = target.stat().st_size if target.exists() else 0
            if have < file.size or not target.exists():
                try:
                    self._continue(url, target, have, file.size)
                except (OSError, http.client.HTTPException) as error:
                    if isinstance(error, OSError) and no_room(error):
                        raise
                    if attempt == _TRIES - 1:
                        raise self._unreachable(error) from error
                    continue
            with target.open("rb") as content:
                if target.stat().st_size == file.size and hashlib.file_digest(content, "sha256").hexdigest() == file.sha256:
                    return
            target.unlink()
        msg = "is not the file that the version names"
        raise IntegrityError(msg, where=file.path, code="CLI003", help="nothing of it was kept")

    def _continue(self, url: str, target: Path, have: int, size: int) -> None:
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._asked("GET", url, headers=headers) as answer:
            if answer.status not in (200, 206):
                raise _error(answer.status, answer.read(_CHUNK))
            with target.open("ab" if answer.status == 206 else "wb") as out:  # noqa: PLR2004 - Partial Content
                while chunk := answer.read(min(_CHUNK, size + 1 - out.tell())):  # a byte more tells that it is another file
                    out.write(chunk)

    # Writing

    def push(
        self, path: Path, name: Name, *, kind: ArtifactKind = "model", note: str = "", info: dict[str, Json] | None = None
    ) -> Version:
        """Send what the server has not, and register it. Raises what `Registry.push` raises."""
        artifact = identify(path, kind)
        single = path.is_file()
        into = urllib.parse.urlencode({"into": f"{name.namespace}/{name.name}"})
        for file in artifact.files:
            place = f"/contents/sha256:{file.sha256}?{into}"
            status, _, content = self._call("GET", place)
            if status == 404:  # noqa: PLR2004 - it is not there
                self._send(place, path if single else path / file.path, file)
            elif status >= 400:  # noqa: PLR2004 - of HTTP
                raise _error(status, content)
        manifest, _ = encode(artifact, single=single)
        if kind == "dataset":
            info = {**describe(artifact, path), **(info or {})}
        body = msgspec.json.encode({"manifest": manifest.decode(), "note": note, "info": info or {}})
        version = self._json("POST", f"{_model(name)}/versions", _Shown, body).version
        if version.digest != str(artifact.digest) or version.name != name:
            msg = f"the server registered {version.digest}, and {artifact.digest} was sent"
            raise IntegrityError(msg, where=str(version), code="CLI003")
        return version

    def _send(self, place: str, source: Path, file: File) -> None:
        for attempt in range(_TRIES):
            try:
                with source.open("rb") as content:
                    status, _, said = self._call("PUT", place, content, {"Content-Length": str(file.size)})
            except BackendError:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(attempt)
                continue
            if status == 429 and attempt < _TRIES - 1:  # noqa: PLR2004 - others of this account send as much as they may
                time.sleep(_WAIT * (attempt + 1))
                continue
            if status >= 400:  # noqa: PLR2004 - of HTTP
                raise _error(status, said)
            return

    def promote(self, name: Name, number: int, alias: str) -> dict[str, Any]:
        """Ask for an alias to move; return the answer's document, whether it did or not."""
        return self._decided("PUT", f"{_model(name)}/aliases/{alias}", msgspec.json.encode({"number": number}))

    def rollback(self, name: Name, alias: str) -> dict[str, Any]:
        """Ask for an alias to go back; return the answer's document, whether it did or not."""
        return self._decided("POST", f"{_model(name)}/aliases/{alias}/rollback", None)

    def remove(self, name: Name, alias: str) -> None:
        """Take an alias away."""
        self._json("DELETE", f"{_model(name)}/aliases/{alias}", None)

    def quarantine(self, digest: str, reason: str, *, lifted: bool = False) -> list[Version]:
        """Make a digest unresolvable, or lift that; return the versions that are this artifact."""
        if lifted:
            return list(self._json("DELETE", f"/quarantine/{digest}", Listed).versions)
        return list(self._json("POST", "/quarantine", Listed, msgspec.json.encode({"digest": digest, "reason": reason})).versions)

    def freeze(self, name: Name, alias: str, reason: str, *, lifted: bool = False) -> None:
        """Keep an alias where it is, or lift that."""
        place = f"{_model(name)}/aliases/{urllib.parse.quote(alias, safe='*')}/freeze"
        if lifted:
            self._json("DELETE", place, None)
        else:
            self._json("PUT", place, None, msgspec.json.encode({"reason": reason}))

    def protect(self, name: Name, alias: str, policy: Mapping[str, str], *, separate: bool = False) -> None:
        """Say by which policy an alias moves: `policy`, and for a module in Rego its `name`."""
        body = msgspec.json.encode({**policy, "separate": separate})
        self._json("PUT", f"{_model(name)}/aliases/{urllib.parse.quote(alias, safe='')}/protection", None, body)

    def hold(self, name: Name, number: int, reason: str, *, lifted: bool = False) -> None:
        """Keep a version from being deleted, or lift that."""
        place = f"{_model(name)}/versions/{number}/hold"
        if lifted:
            self._json("DELETE", place, None)
        else:
            self._json("PUT", place, None, msgspec.json.encode({"reason": reason}))

    def retain(self, name: Name, *, keep: int, days: int, reason: str, dry_run: bool) -> list[Version]:
        """Delete old versions, or say which would be; return them."""
        body = msgspec.json.encode({"keep": keep, "days": days, "reason": reason, "dry_run": dry_run})
        return list(self._json("POST", f"{_model(name)}/retain", Listed, body).versions)

    def shred(self, namespace: str, reason: str, *, dry_run: bool) -> Shredding:
        """Destroy the key of a namespace, or say what that would destroy."""
        body = msgspec.json.encode({"reason": reason, "confirm": namespace, "dry_run": dry_run})
        return self._json("POST", f"/namespaces/{urllib.parse.quote(namespace, safe='')}/shred", Shredding, body)

    def compare(self, name: Name, first: int, second: int) -> Difference:
        """Return what is different between two versions of a name."""
        query = urllib.parse.urlencode({"first": first, "second": second})
        return self._json("GET", f"{_model(name)}/compare?{query}", Difference)

    def state(self, envelope: Envelope) -> Stated:
        """Have a statement that was signed here logged there."""
        body = msgspec.json.encode({"envelope": envelope})
        return self._json("POST", "/evidence", Stated, body)

    def decide(self, digest: str, policy: Mapping[str, str], *, record: bool) -> dict[str, Any]:
        """Have the server decide about an artifact by a policy, as `protect` takes it; return the answer's document."""
        body = msgspec.json.encode({"subject": digest, **policy, "record": record})
        return self._json("POST", "/decisions", dict[str, Any], body)

    def story(self, digest: str) -> Story:
        """Return why an artifact is where it is."""
        from stannary.evidence.story import Story

        return self._json("GET", f"/artifacts/{digest}/story", Story)

    # HTTP

    def _decided(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        status, media, content = self._call(method, path, body, {"Idempotency-Key": secrets.token_hex(16)})
        if status >= 400 and not (status == 409 and media == "application/json"):  # noqa: PLR2004 - 409: denied, with reasons
            raise _error(status, content)
        return _decoded(content, dict[str, Any])

    def _json(self, method: str, path: str, type_: type[_Type] | None, body: bytes | None = None) -> _Type:
        headers = {"Idempotency-Key": secrets.token_hex(16)} if method == "POST" else {}
        status, _, content = self._call(method, path, body, headers)
        if status >= 300:  # noqa: PLR2004 - of HTTP; redirects are not followed
            raise _error(status, content)
        return _decoded(content, type_) if type_ is not None else None  # type: ignore[return-value]

    def _call(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> tuple[int, str, bytes]:  # noqa: ANN401 - bytes, or a file
        try:
            with self._asked(method, path, body, headers) as answer:
                content = answer.read(_LARGEST + 1)
                media = (answer.getheader("content-type") or "").partition(";")[0].strip()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        if len(content) > _LARGEST:
            msg = f"the answer is larger than {_LARGEST >> 20} MiB"
            raise BackendError(msg, where=path, code="CLI004")
        return answer.status, media, content

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401 - bytes, or a file
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        host = self._parts.hostname or ""
        connection = http.client.HTTPConnection(host, self._parts.port, timeout=_TIMEOUT)
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, self._parts.port, timeout=_TIMEOUT, context=context)
        sent = {"Accept": "application/json", "User-Agent": "stannary", **(headers or {})}
        sent |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        sent |= {"Content-Type": "application/json"} if isinstance(body, bytes) else {}
        with contextlib.closing(connection):
            connection.request(method, self._base + path, body, sent)
            with connection.getresponse() as answer:  # it holds the socket until it was read or closed
                yield answer

    def _unreachable(self, error: Exception) -> BackendError:
        where = f"{self._parts.scheme}://{self._parts.netloc}"
        help_ = certificate_help(error) or "is `stannary serve` running there?"
        return BackendError(str(error) or type(error).__name__, where=where, code="CLI004", help=help_)


def _model(name: Name) -> str:
    return f"/models/{name.namespace}/{name.name}"


def _decoded(content: bytes, type_: type[_Type]) -> _Type:
    try:
        return msgspec.json.decode(content, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        msg = f"the server's answer cannot be read: {error}"
        raise BackendError(msg, code="CLI004", help="is it a stannary of this version?") from error


def _error(status: int, content: bytes) -> StannaryError:
    """Return the error that an answer is, of the kind that it is there."""
    try:
        found = msgspec.json.decode(content, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _Problem(detail=f"HTTP {status}")
    kinds: dict[int, type[StannaryError]] = {401: PolicyDenied, 403: PolicyDenied, 422: InputError}
    kind = kinds.get(status, UsageError if status < 500 else BackendError)  # noqa: PLR2004 - from 500 on it is the server's fault
    if status == 409 and found.title == "Does not verify":  # noqa: PLR2004 - Conflict
        kind = IntegrityError
    help_ = _LOG_IN if status == 401 else found.help or None  # noqa: PLR2004 - not authenticated
    return kind(found.detail or found.title or f"HTTP {status}", where=found.where or None, code=found.code or "CLI005", help=help_)
