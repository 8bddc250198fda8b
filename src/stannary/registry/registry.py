"""The registry of a workspace: push, resolve, pull, and what the other modules do with it."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from sqlalchemy.engine import Connection

from stannary.core.errors import BackendError, InputError, IntegrityError, PolicyDenied, UsageError
from stannary.core.evidence import Resource
from stannary.core.model import ArtifactKind, Digest, Json
from stannary.evidence.chain import Chain
from stannary.evidence.statement import subject_resource
from stannary.evidence.subject import identify
from stannary.registry import manifest, queries
from stannary.registry.dataset import describe
from stannary.registry.events import Event, Registered, record
from stannary.registry.live import is_used
from stannary.registry.model import Model, Move, Protection, Version
from stannary.registry.names import Name, Reference
from stannary.registry.projection import apply, catch_up, clear, is_behind, mark
from stannary.registry.shredded import finish
from stannary.registry.transfer import fetch, inline_manifest, keep_manifest, read_manifest, upload
from stannary.registry.trusted import Trusted
from stannary.store.blobs.interface import Blobs
from stannary.store.blobs.namespaced import NamespacedBlobs, SharedBlobs
from stannary.store.database import Database

__all__ = ["Allowed", "Registry"]

_AGAIN = 20  # times that an alias is looked up which moves each time
_EVERY = queries.Chosen()
_BATCH = 26  # models that are asked for at once, at least
_RESERVED = frozenset({"pushed_by", "renamed_from"})  # of a version's info: by it duties are kept apart after a change of names
_LOGGED = "stannary.logged"  # noted on a connection once the ledger has what is being written


class Allowed(Protocol):
    """Says whether whoever acts may. `access/` has one for people and services; without one everybody may everything."""

    def __call__(self, action: str, name: Name, alias: str = "") -> None:
        """Return when the action is allowed. Raises PolicyDenied."""
        ...


def _everybody(action: str, name: Name, alias: str = "") -> None:
    """Allow everything: the workspace is its owner's."""


class _Pushed(NamedTuple):
    """An artifact whose contents are stored: its digest, its manifest's, and the contents that were there before."""

    digest: str
    manifest: str
    size: int
    files: int
    reused: tuple[Digest, ...]
    inline: str = ""
    key: str = ""  # of the namespace, when they were stored


class Registry:
    """A registry, as one actor sees it.

    Args:
        chain: the evidence and the ledger of the workspace.
        database: where the tables are.
        blobs: where the contents are: of all namespaces together, or of each apart.
        actor: who acts; it stands in every event.
        allowed: says what the actor may.
        tool: the version of stannary, for decisions.
    """

    def __init__(
        self,
        chain: Chain,
        database: Database,
        blobs: Blobs | NamespacedBlobs,
        *,
        actor: str,
        allowed: Allowed = _everybody,
        tool: str = "",
    ) -> None:
        self.chain = chain
        self.database = database
        self.blobs: NamespacedBlobs = SharedBlobs(blobs) if isinstance(blobs, Blobs) else blobs
        self.actor = actor
        self.allowed = allowed
        self.tool = tool
        self.trusted = Trusted(chain.ledger)

    def seen_by(self, actor: str, allowed: Allowed) -> Registry:
        """Return the same registry as somebody else sees it."""
        other = copy.copy(self)
        other.actor, other.allowed = actor, allowed
        return other

    # Reading

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Return a connection to tables that are up to date with the ledger."""
        with self.database.reading() as connection:
            if not is_behind(connection, self.chain.ledger):
                yield connection
                return
        with self.writing():
            pass
        with self.database.reading() as connection:
            yield connection

    def warm(self, stop: threading.Event) -> None:
        """Read what entries of the ledger can be found by, and bring the tables up to it; `stop` gives up in between."""
        self.chain.ledger.take_in(stop)
        if not stop.is_set():
            with self.reading():
                pass

    def models(self, *, after: Name | None = None, limit: int = 10_000, kind: str = "", prefix: str = "") -> list[Model]:
        """Return the models and datasets that the actor may see, by name."""
        return self.page(queries.Chosen(kind, prefix), after=after, limit=limit)[0]

    def page(
        self, chosen: queries.Chosen = _EVERY, *, after: Name | None = None, limit: int = 100
    ) -> tuple[list[Model], Name | None]:
        """Return up to `limit` models that the actor may see, by name, and after which one to go on; None when that was all.

        Those that they may not see are left out by the query, as far as whoever says what they may can say where that is.
        """
        where = getattr(self.allowed, "places", None)
        chosen = chosen._replace(within=where("read")) if where is not None else chosen
        found: list[Model] = []
        with self.reading() as connection:
            while len(found) <= limit:
                wanted = max(_BATCH, limit + 1 - len(found))
                batch = queries.models(connection, chosen, after=after, limit=wanted)
                found += [item for item in batch if self.may("read", item.name)]
                if len(batch) < wanted:
                    break
                after = batch[-1].name
        return found[:limit], found[limit - 1].name if len(found) > limit else None

    def versions(self, name: Name, *, before: int | None = None, limit: int = 10_000) -> list[Version]:
        """Return the versions of a model, the newest first. Raises UsageError."""
        self.allowed("read", name)
        with self.reading() as connection:
            return queries.versions(connection, name, before=before, limit=limit)

    def moves(self, name: Name, alias: str = "") -> list[Move]:
        """Return the history of the aliases of a model, or of one, the newest first."""
        self.allowed("read", name)
        with self.reading() as connection:
            return queries.moves(connection, name, alias)

    def show(self, reference: Reference) -> Version:
        """Return a version whatever its state, as the tables have it. Raises UsageError when there is none."""
        self.allowed("read", reference.name)
        with self.reading() as connection:
            return queries.version(connection, reference)

    def resolve(self, reference: Reference) -> Version:
        """Return the version that a reference means, to be used. Each step is held against the ledger.

        Raises PolicyDenied for what is quarantined, UsageError for what is not there or was deleted, and IntegrityError
        when the tables say something else than the ledger.
        """
        self.allowed("read", reference.name)
        for _ in range(_AGAIN):
            with self.reading() as connection:
                try:
                    return self.trusted.resolve(connection, reference)
                except IntegrityError:
                    # Another process may have moved the alias since the tables were looked at: then they are behind the ledger.
                    if not is_behind(connection, self.chain.ledger):
                        raise
        with self.reading() as connection:
            return self.trusted.resolve(connection, reference)

    def protection(self, name: Name, alias: str) -> Protection:
        """Return what has to hold before an alias moves."""
        from stannary.registry.promotion import protection_of

        self.allowed("read", name)
        with self.reading() as connection:
            return protection_of(connection, name, alias)

    # Push and pull

    def push(
        self, path: str | Path, name: Name, *, kind: ArtifactKind = "model", note: str = "", info: dict[str, Json] | None = None
    ) -> Version:
        """Store what lies at a path and register it as the next version. The same artifact again is the same version.

        Raises UsageError, a group of InputErrors for what has no digest, PolicyDenied for what is quarantined,
        IntegrityError when a file changed meanwhile.
        """
        self.allowed("push", name)
        artifact = identify(path, kind)
        self._refuse_quarantined(str(artifact.digest), artifact.name)
        contents, key = self._begun(name.namespace)
        found = upload(contents, artifact, Path(path))
        made = _Pushed(
            str(artifact.digest), str(found.manifest), artifact.size, len(artifact.files), found.reused, found.inline, key
        )
        if kind == "dataset":
            info = {**describe(artifact, Path(path)), **(info or {})}
        return self._register(name, kind, made, note, info or {})

    def register(self, content: bytes, name: Name, *, note: str = "", info: dict[str, Json] | None = None) -> Version:
        """Register a manifest whose files are stored already as the next version: a push from elsewhere.

        Raises InputError for what is no manifest or names a content that is not there, and what `push` raises.
        """
        self.allowed("push", name)
        found = manifest.decode_new(content)
        digest = str(found.digest)
        self._refuse_quarantined(digest, str(name))
        stored = tuple(Digest(file.sha256) for file in found.files)
        sizes = {file.sha256: file.size for file in found.files}
        contents, key = self._begun(name.namespace)
        wrong = [item for item in stored if not contents.has(item) or contents.size(item) != sizes[item.hex]]
        if wrong:
            msg = f"names {len(wrong)} contents that are not there, or are of another size"
            raise InputError(msg, where=str(wrong[0]), code="REG005", help="store every content before its manifest")
        own = keep_manifest(contents, content)
        made = _Pushed(digest, str(own.manifest), found.size, len(found.files), (*stored, *own.reused), own.inline, key)
        return self._register(name, found.kind, made, note, info or {})

    def pull(self, reference: Reference, destination: str | Path) -> tuple[Version, Path]:
        """Write the files of a version into a folder that is not there yet, each verified; return where the artifact lies.

        Raises what `resolve` raises, IntegrityError when a content is not what was registered (then nothing is left),
        and UsageError when the destination is there.
        """
        version = self.resolve(reference)
        return version, fetch(self.blobs.of(version.name.namespace), self.manifest(version), Path(destination))

    def manifest(self, version: Version) -> manifest.Manifest:
        """Return the files of a version. Raises IntegrityError when it is not the manifest that was registered."""
        return read_manifest(self.blobs.of(version.name.namespace), self.chain.ledger, version)

    def contents(self, namespace: str, *, begin: bool = False) -> Blobs:
        """Return the contents of a namespace; `begin` makes a key for one that has none yet, where each has its own.

        Raises UsageError (WSP008) when a namespace with versions has lost its key: a new one would hide that.
        """
        if begin and self.blobs.separate:
            finish(self, namespace)
            if not self.blobs.key_of(namespace):
                with self.reading() as connection:
                    begin = not is_used(connection, namespace)
        return self.blobs.of(namespace, begin=begin)

    def bring(self, version: Version, namespace: str) -> tuple[Digest, ...]:
        """Have the contents of a version in another namespace as well, where each has its own; return what was to be brought.

        Raises what reading and putting them raises. Whether the actor may read there and push here, the caller asks.
        """
        if not self.blobs.separate or version.name.namespace == namespace:
            return ()
        source, target = self.blobs.of(version.name.namespace), self.contents(namespace, begin=True)
        wanted = [Digest(file.sha256) for file in self.manifest(version).files]
        if not inline_manifest(self.chain.ledger, version.entry):
            wanted.append(Digest.parse(version.manifest))
        for digest in wanted:
            target.put(digest, source.size(digest), source.read(digest))
        return tuple(wanted)

    def refuse_lost(self, namespace: str, digests: Sequence[Digest]) -> None:
        """Raise InputError when one of these contents is not there any more: it was swept, or the namespace was shredded."""
        for digest in digests:
            if not self.blobs.of(namespace).has(digest):
                msg = "was deleted from the store while it was pushed"
                raise InputError(msg, where=str(digest), code="REG005", help="push again")

    def _begun(self, namespace: str) -> tuple[Blobs, str]:
        """Return the contents of a namespace, to put something in, and the name of its key, which `_register` asks for again."""
        self.contents(namespace, begin=True)
        key = self.blobs.key_of(namespace)
        return self.blobs.of(namespace), key

    # Writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Return a connection to write with, alone, to tables that are up to date.

        Raises BackendError, which says so when what was asked for is in the ledger, and only the tables could not follow.
        """
        about: dict[str, object] = {}
        try:
            with self.database.writing(derived=True) as connection:
                about = connection.info
                about.pop(_LOGGED, None)
                catch_up(connection, self.chain.ledger)
                yield connection
        except BackendError as error:
            if about.pop(_LOGGED, False):
                error.help = "it is in the ledger and so it has happened; the tables follow when they can be written again"
            raise

    def commit(self, connection: Connection, events: Sequence[Event], envelopes: Sequence[object] = ()) -> int:
        """Append events to the ledger, behind envelopes they rest on, and write what they change; return the first one's index.

        Once they are in the ledger they have happened: should this process die now, the next one projects them.
        """
        now = self.chain.workspace.clock()
        records = [record(event, now) for event in events]
        if envelopes:
            receipt = self.chain.log(envelopes, also=records)[-1].receipt  # type: ignore[arg-type]
            first = receipt.index + 1
        else:
            receipt = self.chain.ledger.append(records)[0]
            first = receipt.index
        connection.info[_LOGGED] = True
        for index, event in enumerate(events, first):
            apply(connection, event, (index, now))
        # The receipt is of the log that has these events; an event of anybody else would have waited for this connection.
        mark(connection, self.chain.workspace.settings.origin, receipt.size, receipt.root)
        return first

    def rebuild(self) -> int:
        """Make the tables again from the ledger, and return how many events there were."""
        with self.database.writing(derived=True) as connection:
            clear(connection)
            return catch_up(connection, self.chain.ledger)

    def close(self) -> None:
        """Close the database and the blobs."""
        self.database.close()
        self.blobs.close()

    def subject(self, version: Version) -> Resource:
        """Return the version as the subject of statements."""
        return subject_resource(Digest.parse(version.digest), str(version.name))

    def may(self, action: str, name: Name, alias: str = "") -> bool:
        """Tell whether whoever acts may do something that they have not asked for: nobody is denied anything."""
        asked: Allowed = getattr(self.allowed, "would", self.allowed)  # does not write down what it denies
        try:
            asked(action, name, alias)
        except PolicyDenied:
            return False
        return True

    def _register(self, name: Name, kind: str, made: _Pushed, note: str, info: dict[str, Json]) -> Version:
        kept = sorted(_RESERVED.intersection(info))
        if kept:
            msg = f"{', '.join(kept)} is for the registry to say"
            raise InputError(msg, where="info", code="REG005", help="call it something else")
        with self.writing() as connection:
            model = queries.find_model(connection, name)
            if model and model.kind != kind:
                msg = f"is a {model.kind}, and this is a {kind}"
                raise UsageError(msg, where=str(name), code="REG012", help="push it under another name")
            numbers = queries.numbers_of(connection, model, made.digest) if model else []
            if numbers:
                return queries.version(connection, Reference(name, numbers[-1]))
            if self.blobs.key_of(name.namespace) != made.key:
                msg = "was shredded or resealed while it was pushed to"
                raise InputError(msg, where=name.namespace, code="REG005", help="push again")
            # What was there already may have been swept between the look and now.
            self.refuse_lost(name.namespace, made.reused)
            number = model.latest + 1 if model else 1
            event = Registered(
                actor=self.actor, name=name, kind=kind, number=number, digest=made.digest, manifest=made.manifest,
                size=made.size, files=made.files, note=note, info=info, inline=made.inline,
            )  # fmt: skip
            self.commit(connection, [event])
            return queries.version(connection, Reference(name, number))

    def _refuse_quarantined(self, digest: str, name: str) -> None:
        self.trusted.refuse_quarantined(digest, name)
