"""What happens in a registry, as it stands in the ledger (`stannary.registry-event/1`).

An event is the body of an entry of type `registry`; the entry's kind is that of the event, its subject the
digest concerned, its id that of what the event is about (a version, an alias, …), so that the newest event
about something is found by its id.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TypeAlias

import msgspec

from stannary.core.errors import InputError
from stannary.core.model import Json
from stannary.evidence.ledger import Entry, entry
from stannary.registry.names import Name

__all__ = [
    "Dropped",
    "Event",
    "Frozen",
    "Held",
    "Labelled",
    "Moved",
    "Protected",
    "Quarantined",
    "Registered",
    "Shredded",
    "about",
    "read",
    "record",
]

SCHEMA = "stannary.registry-event/1"
TYPE = "registry"


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True, forbid_unknown_fields=True):
    """What every event says: who did it."""

    schema: str = SCHEMA
    actor: str

    @property
    def subject(self) -> str:
        """Return the digest that the event is about, if it is about one."""
        return str(getattr(self, "digest", ""))


class Registered(_Event, tag="version", frozen=True, kw_only=True):
    """A version was pushed: its number, the artifact's digest, the digest of its manifest.

    `inline` is the manifest itself, when it is small and contents are not encrypted: then nothing else has to be on disk for it.
    """

    name: Name
    kind: str
    number: int
    digest: str
    manifest: str
    size: int
    files: int
    note: str = ""
    info: dict[str, Json] = {}
    inline: str = ""


class Moved(_Event, tag="alias", frozen=True, kw_only=True):
    """An alias moved to a version, by a decision; to none (`number` 0) when it was taken away."""

    name: Name
    alias: str
    number: int
    digest: str = ""
    decision: str = ""  # the id of the verification summary
    reason: str = "promote"  # promote, rollback, remove


class Protected(_Event, tag="protection", frozen=True, kw_only=True):
    """What has to hold before an alias moves. `name.name` may be `*`. `policy` is one with all that it inherits, or Rego."""

    name: Name
    alias: str
    policy: Json
    separate: bool = False  # who pushed a version does not promote it


class Frozen(_Event, tag="freeze", frozen=True, kw_only=True):
    """An alias, or with `*` all of them, stays where it is until that is lifted."""

    name: Name
    alias: str
    reason: str
    lifted: bool = False


class Quarantined(_Event, tag="quarantine", frozen=True, kw_only=True):
    """A digest is not to be had any more under any name, until that is lifted."""

    digest: str
    reason: str
    lifted: bool = False


class Held(_Event, tag="hold", frozen=True, kw_only=True):
    """A version must not be deleted (legal hold), until that is lifted."""

    name: Name
    number: int
    reason: str
    lifted: bool = False


class Dropped(_Event, tag="drop", frozen=True, kw_only=True):
    """A version was deleted; its number is never given again."""

    name: Name
    number: int
    digest: str
    reason: str


class Shredded(_Event, tag="shred", frozen=True, kw_only=True):
    """The key of a namespace is destroyed: none of its contents can be read again, wherever they were copied to.

    `key` is the name of that key; `versions` is how many there were. Their numbers are never given again.
    """

    namespace: str
    key: str
    reason: str
    versions: int = 0


class Labelled(_Event, tag="label", frozen=True, kw_only=True):
    """A model (`number` 0) or version was described: what is said of it, which no policy goes by. Its contents stay as they are.

    `note` None: as it was. `gone`: the name has no labels any more, as one that was never taken.
    """

    name: Name
    number: int = 0
    kind: str = "model"
    note: str | None = None
    tags: dict[str, str] = {}
    untag: tuple[str, ...] = ()
    gone: bool = False


Event: TypeAlias = Registered | Moved | Protected | Frozen | Quarantined | Held | Dropped | Shredded | Labelled


def about(event: Event) -> str:
    """Return the id of what an event is about, by which the events about it are found."""
    match event:
        case Registered():
            text = f"version {event.name.namespace}/{event.name.name}:{event.number}"
        case Labelled():
            text = f"label {event.name.namespace}/{event.name.name}:{event.number}"
        case Held():
            text = f"hold {event.name.namespace}/{event.name.name}:{event.number}"
        case Dropped():
            text = f"drop {event.name.namespace}/{event.name.name}:{event.number}"
        case Shredded():
            text = f"shred {event.namespace} {event.key}"
        case Moved():
            text = f"alias {event.name.namespace}/{event.name.name}@{event.alias}"
        case Protected():
            text = f"protection {event.name.namespace}/{event.name.name}@{event.alias}"
        case Frozen():
            text = f"freeze {event.name.namespace}/{event.name.name}@{event.alias}"
        case Quarantined():
            text = f"quarantine {event.digest}"
    return f"sha256:{hashlib.sha256(f'stannary registry {text}'.encode()).hexdigest()}"


def record(event: Event, time: datetime) -> bytes:
    """Return the ledger's record of an event."""
    kind = str(type(event).__struct_config__.tag)
    return entry(TYPE, msgspec.to_builtins(event), time=time, subject=event.subject, id_=about(event), kind=kind)


def read(row: Entry) -> Event:
    """Return the event that an entry holds. Raises InputError when it holds none, or is filed under something else."""
    try:
        found: Event = msgspec.convert(row.body, Event)
    except msgspec.ValidationError as error:
        msg = f"holds no event of a registry: {error}"
        raise InputError(msg, where=f"entry {row.index}", code="REG002", help="use a newer stannary") from error
    if (row.id, row.subject) != (about(found), found.subject):
        msg = "is filed under another id or subject than the event it holds"
        raise InputError(msg, where=f"entry {row.index}", code="REG002", help="stannary ledger audit")
    return found
