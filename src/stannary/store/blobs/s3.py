"""Objects in a bucket: AWS S3, MinIO and others that speak its protocol (the extra `s3`).

Up to 8 MiB an object is one conditional request (`If-None-Match: *`): of two writers one is told that it was there.
A longer one is sent in parts, and appears when the last request completes it. That request carries no condition
(obstore has none), so two writers of one long object may both be told that they made it; its content is the same.
Requests that fail (5xx, a lost connection, a timeout of one that changes nothing) are tried again with growing
pauses, for `patience` in all. Parts of an upload whose writer was killed are never an object; a lifecycle rule
(`AbortIncompleteMultipartUpload`) takes them away.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stannary.core.errors import BackendError, IntegrityError, UsageError
from stannary.store.blobs.interface import CHUNK
from stannary.store.blobs.objects import Stat
from stannary.store.blobs.plain import PlainBlobs

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

__all__ = ["S3Blobs", "S3Objects"]

_ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?")
_ONE_REQUEST = 8 * CHUNK
_PART = 16 * CHUNK
_PARTS = 9000  # S3 takes 10,000
_AT_ONCE = 4  # parts on their way: the memory an upload takes


class S3Objects:
    """Objects below a prefix of a bucket. Credentials, region and endpoint are AWS's own environment.

    Args:
        address: `s3://BUCKET/PREFIX`.
        patience: how long one request is tried again after failures.
        silence: how long a server may send nothing before that is a failure.
    """

    def __init__(
        self, address: str, *, patience: timedelta = timedelta(seconds=60), silence: timedelta = timedelta(seconds=60)
    ) -> None:
        found = _ADDRESS.fullmatch(address)
        prefix = (found.group(2) or "").strip("/") if found else ""
        if not found or any(part in {"", ".", ".."} for part in prefix.split("/") if prefix):
            msg = "not an S3 address"
            raise UsageError(msg, where=address, code="BLB007", help="s3://bucket/prefix")
        self._address = address
        self._prefix = f"{prefix}/" if prefix else ""
        self._store: S3Store = _store(found.group(1), address, patience, silence)

    @property
    def where(self) -> str:
        """Return the address."""
        return self._address

    def head(self, name: str) -> Stat | None:
        """Return size and time of an object."""
        import obstore

        with self._blaming(name):
            try:
                found = obstore.head(self._store, self._prefix + name)
            except FileNotFoundError:
                return None
        return Stat(int(found["size"]), found["last_modified"])

    def create(self, name: str, chunks: Iterable[bytes | memoryview], size: int) -> bool:
        """Make an object unless it is there, see `Objects.create`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        if self.head(name) is not None:
            return False
        if size <= _ONE_REQUEST:
            content = b"".join(map(bytes, chunks))
            with self._blaming(name):
                try:
                    obstore.put(self._store, self._prefix + name, content, mode="create", use_multipart=False)
                except AlreadyExistsError:
                    return False
            return True
        part = max(_PART, -(-size // _PARTS // CHUNK) * CHUNK)
        source = _Remembering(chunks)
        try:
            with self._blaming(name):
                # What the chunks raise comes back from here after the parts that were sent are taken away.
                obstore.put(
                    self._store, self._prefix + name, iter(source), use_multipart=True, chunk_size=part, max_concurrency=_AT_ONCE
                )
        except BaseException:
            if source.error is not None:
                raise source.error from None
            raise
        return True

    def replace(self, name: str, content: bytes) -> None:
        """Put a content in the place of another, see `Objects.replace`."""
        import obstore

        with self._blaming(name):
            obstore.put(self._store, self._prefix + name, content, use_multipart=False)

    def read(self, name: str, start: int, end: int) -> Iterator[bytes]:
        """Yield a range of an object, see `Objects.read`."""
        import obstore

        if start == end:
            return
        with self._blaming(name):
            answer = obstore.get(self._store, self._prefix + name, options={"range": (start, end)})
            if answer.range != (start, end):
                msg = f"the object ends {end - max(start, answer.range[1])} bytes before it should"
                raise IntegrityError(msg, where=self._show(name), code="BLB005", help="restore it from a backup")
            stream = iter(answer.stream(min_chunk_size=CHUNK))
        left = end - start
        while left:
            with self._blaming(name):
                found = memoryview(next(stream, b""))
                if not found or len(found) > left:
                    msg = f"the answer has {'less' if not found else 'more'} than the {end - start} bytes that were asked for"
                    raise BackendError(msg, where=self._show(name), code="BLB006", help="try again")
            left -= len(found)
            for begin in range(0, len(found), CHUNK):
                yield bytes(found[begin : begin + CHUNK])

    def names(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Yield the objects below a prefix."""
        import obstore

        with self._blaming(prefix):
            pages = iter(obstore.list(self._store, prefix=self._prefix + prefix))
        while True:
            with self._blaming(prefix):
                page = next(pages, None)
            if page is None:
                return
            for item in page:
                yield str(item["path"])[len(self._prefix) :], Stat(int(item["size"]), item["last_modified"])

    def delete(self, name: str) -> bool:
        """Take an object away. S3 does not say whether there was one: of several who delete, more than one may be told True."""
        import obstore

        if self.head(name) is None:
            return False
        with self._blaming(name):
            obstore.delete(self._store, self._prefix + name)
        return True

    def close(self) -> None:
        """Connections are closed with the store that holds them."""

    def _show(self, name: str) -> str:
        return f"{self._address.rstrip('/')}/{name}"

    @contextlib.contextmanager
    def _blaming(self, name: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError as error:
            msg = "the object, or the bucket, is not there"
            raise BackendError(msg, where=self._show(name), code="BLB006", help="check the name of the bucket") from error
        except (BaseError, OSError) as error:
            refused = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
            msg = f"the bucket {'refuses' if refused else 'cannot be used'}: {' '.join(str(error).split())[:300]}"
            what = (
                "check the credentials and the bucket's policy" if refused else "check AWS_ENDPOINT_URL, AWS_REGION and the network"
            )
            raise BackendError(msg, where=self._show(name), code="BLB006", help=what) from error


class S3Blobs(PlainBlobs):
    """A blob store in a bucket: `PREFIX/sha256/ab/cdef…` are the contents themselves."""

    def __init__(self, address: str) -> None:
        super().__init__(S3Objects(address))


class _Remembering:
    """Passes chunks on, copied where their memory is used again, and keeps what they raised: it is not taken for the bucket's."""

    def __init__(self, chunks: Iterable[bytes | memoryview]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from map(bytes, self._chunks)
        except BaseException as error:
            self.error = error
            raise


def _store(bucket: str, address: str, patience: timedelta, silence: timedelta) -> S3Store:
    try:
        from obstore.store import S3Store
    except ImportError as error:
        msg = "needs the package obstore, which is not there"
        raise BackendError(msg, where=address, code="BLB008", help="pip install 'stannary[s3]'") from error
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config: S3Config = {"region": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
    if endpoint:
        config |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    client: Any = {
        "allow_http": bool(endpoint and endpoint.startswith("http://")),
        "timeout": timedelta(hours=6),  # of a whole answer, and a long read is one
        "read_timeout": silence,
        "connect_timeout": min(silence, timedelta(seconds=10)),
    }
    backoff: Any = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2}
    retries: Any = {"max_retries": 10, "retry_timeout": patience, "backoff": backoff}
    return S3Store(bucket, config=config, client_options=client, retry_config=retries)
