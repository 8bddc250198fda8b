"""A small HTTP client: streamed to disk, capped, resumed, hashed on the way, careful with redirects and credentials."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from stannary.core.errors import BackendError, InputError, IntegrityError

if TYPE_CHECKING:
    from hashlib import _Hash as Hash

    from stannary.store.sources.public import Public

__all__ = ["Downloaded", "Fetcher", "json_object", "objects", "safe_path"]

_CHUNK = 1 << 20
_TRIES = 4
_JSON_CAP = 64 << 20
_TIMEOUT = 60
_REACH = "check the address, the network and HTTPS_PROXY, or scan a copy on this machine"
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\:*?\"<>|]")


class Downloaded(NamedTuple):
    """What arrived: bytes, SHA-256 hex, the server's headers in lower case."""

    size: int
    sha256: str
    headers: Mapping[str, str]


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows at most five redirects to http(s) only, never from https to http; credentials stay with their host."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in {"http", "https"} or (old.scheme == "https" and new.scheme == "http"):
            text = f"redirected to {new.scheme}://{new.netloc}"
            raise BackendError(text, where=req.full_url, code="FET010")
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and old.netloc != new.netloc:
            found.remove_header("Authorization")
        return found


class Fetcher:
    """Downloads for one target; `left` is what remains of its cap in bytes. With `public`, only from what is public."""

    def __init__(self, cap: int, public: Public | None = None) -> None:
        self.left = cap
        self.public = public
        self.credentials = public is None or public.credentials
        if public is None:
            self._opener = urllib.request.build_opener(_Redirects)
            return
        # Not `build_opener`: it adds handlers for files, ftp and plain http, which are no matter of what is public.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            _Redirects(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            *public.handlers(),
        ):
            self._opener.add_handler(handler)

    def open(self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> http.client.HTTPResponse:
        """Open a URL. Raises urllib.error.HTTPError for 4xx and 5xx, BackendError when it cannot be reached."""
        if not url.startswith(("https://", "http://")):
            msg = "only http and https are fetched"
            raise InputError(msg, where=url, code="FET023")
        if self.public is not None and not self.public.plain and not url.startswith("https://"):
            msg = "only https is fetched for others"
            raise InputError(msg, where=url, code="FET023")
        request = urllib.request.Request(  # noqa: S310 - http(s) only, checked above
            url, headers={"User-Agent": "stannary", "Accept-Encoding": "identity", **(headers or {})}, method=method
        )
        try:
            response: http.client.HTTPResponse | None = self._opener.open(request, timeout=_TIMEOUT)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as exc:
            raise BackendError(_trouble(exc), where=url, code="FET011", help=_REACH) from exc
        if response is None:  # no handler for it: a redirect to plain http
            msg = "leads to something that is not fetched for others"
            raise InputError(msg, where=url, code="FET023")
        return response

    def read(self, url: str, headers: Mapping[str, str] | None = None, most: int = _JSON_CAP) -> bytes:
        """Return what an address answers, at most so many bytes. Raises urllib.error.HTTPError for 4xx and 5xx, BackendError."""
        try:
            with self.open(url, headers) as response:
                raw = response.read(most + 1)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as exc:  # it broke off
            raise BackendError(_trouble(exc), where=url, code="FET011", help=_REACH) from exc
        if len(raw) > most:
            msg = f"the answer is larger than {most >> 20} MiB"
            raise BackendError(msg, where=url, code="FET013")
        return raw

    def json(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return a JSON object of at most 64 MiB. Raises BackendError."""
        try:
            raw = self.read(url, {"Accept": "application/json", **(headers or {})})
        except urllib.error.HTTPError as exc:
            raise BackendError(_said(exc), where=url, code="FET012") from exc
        return json_object(raw, url)

    def download(
        self, url: str, path: Path, *, headers: Mapping[str, str] | None = None, sha256: str = "", size: int | None = None
    ) -> Downloaded:
        """Stream a URL to `path`, resuming where a broken connection left off.

        Raises IntegrityError when the digest or the size is not the announced one (nothing is
        left at `path` then), InputError above the cap, BackendError when the server gives up.
        """
        partial = path.with_name(path.name + ".partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        found: dict[str, str] = {}
        digest, done = hashlib.sha256(), 0
        for attempt in range(_TRIES):
            try:
                found, digest, done = self._continue(url, partial, headers or {}, digest, done)
                break
            except urllib.error.HTTPError as exc:
                said = _said(exc)
                if exc.code < 500 or attempt == _TRIES - 1:  # noqa: PLR2004 - a server's own trouble may pass
                    raise BackendError(said, where=url, code="FET012") from exc
            except (OSError, http.client.HTTPException, BackendError) as exc:
                done = partial.stat().st_size if partial.exists() else 0
                digest = _digest(partial)
                if attempt == _TRIES - 1:
                    why = exc.message if isinstance(exc, BackendError) else _trouble(exc)
                    msg = f"gave up after {_TRIES} tries: {why}"
                    raise BackendError(msg, where=url, code="FET014", help=_REACH) from exc
            time.sleep(0.2 * 2**attempt)
        if (sha256 and digest.hexdigest() != sha256) or (size is not None and done != size):
            partial.unlink()
            announced = f"{'some' if size is None else size} bytes of sha256 {sha256 or '(not said)'}"
            msg = f"{done} bytes of sha256 {digest.hexdigest()} arrived, {announced} announced"
            raise IntegrityError(msg, where=url, code="FET020")
        partial.replace(path)
        return Downloaded(done, digest.hexdigest(), found)

    def _continue(
        self, url: str, partial: Path, headers: Mapping[str, str], digest: Hash, done: int
    ) -> tuple[dict[str, str], Hash, int]:
        extra = {"Range": f"bytes={done}-"} if done else {}
        with self.open(url, {**headers, **extra}) as response:
            found = {k.lower(): v for k, v in response.headers.items()}
            if done and response.status != 206:  # noqa: PLR2004 - Partial Content: otherwise it starts over
                digest, done = hashlib.sha256(), 0
            length = found.get("content-length", "")
            announced = int(length) if length.isascii() and length.isdigit() else -1
            if announced > self.left:
                msg = f"{announced} bytes announced, over the cap"
                raise InputError(msg, where=url, code="FET021")
            received = 0
            with partial.open("ab" if done else "wb") as out:
                while chunk := response.read(_CHUNK):
                    self.left -= len(chunk)
                    if self.left < 0:
                        msg = "more than the cap of the target"
                        raise InputError(msg, where=url, code="FET021")
                    out.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
            if announced >= 0 and received != announced:
                msg = f"the connection ended after {received} of {announced} bytes"
                raise BackendError(msg, where=url, code="FET014")
            return found, digest, done + received


def _digest(path: Path) -> Hash:
    digest = hashlib.sha256()
    if path.exists():
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest


def _trouble(exc: Exception) -> str:
    """Return why nothing could be reached, without Python's wrapping: `<urlopen error [Errno 111] Connection refused>`."""
    reason = getattr(exc, "reason", None) or exc
    return (isinstance(reason, OSError) and reason.strerror) or str(reason)


def _said(exc: urllib.error.HTTPError) -> str:
    text = ""
    with exc, contextlib.suppress(OSError, http.client.HTTPException):  # what it says about it may break off
        text = exc.read(4096).decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):  # many servers say it in an object of JSON
        text = str(json.loads(text)["message"])
    return f"HTTP {exc.code} {exc.reason}" + (f": {' '.join(text.split())[:200]}" if text and "<" not in text else "")


def json_object(raw: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object that an answer is. Raises BackendError."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        msg = f"the answer is no JSON: {exc}"
        raise BackendError(msg, where=where, code="FET013") from exc
    if not isinstance(found, dict):
        msg = "the answer is no JSON object"
        raise BackendError(msg, where=where, code="FET013")
    return found


def objects(found: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """Return the objects that a field of an answer lists; none where it is not there. Raises BackendError."""
    rows = found.get(name) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        msg = f"the answer's {name} is no list of objects"
        raise BackendError(msg, where=where, code="FET013")
    return rows


def safe_path(root: Path, name: str, where: str) -> Path:
    """Return the path of a file that a source names, below `root`. Raises InputError for a name that leaves it."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or _CONTROL.search(name) or len(name) > 1024:  # noqa: PLR2004 - longer than any real name
        msg = f"the source names a file {name[:120]!r}, which is no path below a folder"
        raise InputError(msg, where=where, code="FET022")
    return root.joinpath(*parts)
