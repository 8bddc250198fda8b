"""What a model signature signs: an in-toto statement whose predicate lists the files of a model.

    subject     the model's name, and the SHA-256 over the digests of all resources in order. That root does
                not bind names, so ours has the artifact's `dirHash1` beside it (verifiers ignore what they do
                not know); not with shards of files, whose own digests are not taken.
    resources   name, digest, algorithm of each file; or of each shard, named `PATH:START:END`
    serialization   how the files were found and hashed

Resources are written in the order of their names (code points, section 5.2.1 of the specification) and
accepted in any order, as the root is defined over the order written. A model that is one file has the
resource name `.` with `model_signing` and its own name by the specification; the algorithm of a shard is
`sha256-sharded-N` with `model_signing` and `sha256` by the specification. What `model_signing` writes is
written, and both are read.
The predicate of model_signing 0.2 has one subject a file and no more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, NoReturn

import msgspec

from stannary.core.errors import InputError, IntegrityError
from stannary.core.model import Digest
from stannary.evidence.oms.bundle import strict_json

__all__ = [
    "ALGORITHMS",
    "GIT_PATHS",
    "PREDICATE",
    "SINGLE",
    "Manifest",
    "Resource",
    "Serialization",
    "encode_manifest",
    "is_legacy",
    "is_model_statement",
    "parse_manifest",
]

PREDICATE = "https://model_signing/signature/v1.0"
PREDICATE_0_2 = "https://model_signing/Digests/v0.1"
STATEMENT = "https://in-toto.io/Statement/v1"
# What `model_signing` leaves out of every model: at its top, not below.
GIT_PATHS = (".git", ".gitattributes", ".github", ".gitignore")
SINGLE = "."
# hash_type → hex digits of a digest; blake2 is how a part of the specification's history spells blake2b.
ALGORITHMS: Mapping[str, int] = {"sha256": 64, "blake2b": 128, "blake2": 128, "blake3": 64}
_EMPTY = "empty_files"
_HEX = re.compile(r"[0-9a-f]+")
# Names joined by NUL, one of which is absolute, or has a part that is empty, . or ..
_OUTSIDE = re.compile(r"(?:\A|[/\0])\.{0,2}(?:[/\0]|\Z)")
_SHARD = re.compile(r"(?P<path>.+):(?P<start>0|[1-9]\d*):(?P<end>[1-9]\d*)", re.DOTALL)


class Serialization(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the resources were made."""

    method: Literal["files", "shards"]
    hash_type: str
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] | None = None
    shard_size: int | None = None


class Resource(NamedTuple):
    """A digest (hex) of the bytes from `start` to `end` of a file; of all of it when `end` is None."""

    path: str
    digest: str
    start: int = 0
    end: int | None = None


class _Row(msgspec.Struct, frozen=True, gc=False):
    """A resource as it is written; out of sight of the garbage collector, which 10,000 dicts keep busy."""

    name: str
    digest: str
    algorithm: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The statement of a signature, checked for contradictions.

    `artifact` is the identity that was signed, if any; `empty` the files without bytes of a model in shards, which
    by the specification are no resources: ours are named in an annotation of the predicate.
    """

    name: str
    root: str
    resources: tuple[Resource, ...]
    serialization: Serialization
    artifact: Digest | None = None
    empty: frozenset[str] = frozenset()
    legacy: bool = False

    @property
    def paths(self) -> frozenset[str]:
        """Return the names of the files that are signed."""
        return frozenset(resource.path for resource in self.resources) | self.empty


def encode_manifest(
    name: str, resources: Iterable[Resource], how: Serialization, artifact: Digest | None, empty: Iterable[str] = ()
) -> tuple[bytes, str]:
    """Return the statement to sign, and its root digest (hex)."""
    rows = sorted((_name_of(resource), resource.digest) for resource in resources)
    root = hashlib.sha256(bytes.fromhex("".join([digest for _, digest in rows]))).hexdigest()
    digests = {"sha256": root} | ({"dirHash1": artifact.hex} if artifact else {})
    algorithm = how.hash_type if how.shard_size is None else f"{how.hash_type}-sharded-{how.shard_size}"
    predicate = {
        "serialization": how,
        "resources": [_Row(row, digest, algorithm) for row, digest in rows],
    }
    if names := sorted(empty):
        predicate[_EMPTY] = names
    subject = {"name": name, "digest": digests}
    statement = {"_type": STATEMENT, "subject": [subject], "predicateType": PREDICATE, "predicate": predicate}
    return msgspec.json.encode(statement), root


def is_legacy(payload: bytes) -> bool:
    """Tell whether a payload, not verified yet, claims to be a statement of model_signing 0.2."""
    return _predicate_type(payload) == PREDICATE_0_2


def is_model_statement(payload: bytes) -> bool:
    """Tell whether a payload, not verified yet, claims to be a statement on a model."""
    return _predicate_type(payload) in (PREDICATE, PREDICATE_0_2)


def _predicate_type(payload: bytes) -> str | None:
    try:
        found = strict_json(payload)
    except (ValueError, RecursionError):
        return None
    kind = found.get("predicateType") if isinstance(found, dict) else None
    return kind if isinstance(kind, str) else None


def parse_manifest(payload: bytes, where: str = "signature") -> Manifest:
    """Read a statement whose signature holds. Raises IntegrityError, or InputError for what is not known here.

    1. it is a statement of a model signature;
    2. it has one subject, whose root digest is that of the resources;
    3. the resources have names within the model, each once, and digests of the one algorithm;
    4. shards of a file follow one another without gaps.
    """
    # 1.
    try:
        found = strict_json(payload)
        if found["_type"] != STATEMENT:
            _refuse(f"signs a statement of type {str(found['_type'])[:80]!r}", where)
        kind = found["predicateType"]
        if kind == PREDICATE_0_2:
            return _legacy(found, where)
        if kind != PREDICATE:
            msg = f"signs a statement of kind {str(kind)[:80]!r}, not a model"
            raise IntegrityError(msg, where=where, code="SIG002", help="`stannary evidence verify` reads other statements")
        return _current(found, where)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        msg = f"signs a malformed statement: {type(error).__name__}: {str(error)[:160]}"
        _refuse(msg, where)


def _current(found: dict[str, Any], where: str) -> Manifest:
    # 2.
    if len(found["subject"]) != 1:
        _refuse(f"has {len(found['subject'])} subjects; a model signature has one", where)
    subject = found["subject"][0]
    predicate = found["predicate"]
    how = _serialization(predicate["serialization"], where)
    rows = predicate["resources"]
    if not rows:
        msg = "signs no file at all"
        raise IntegrityError(msg, where=where, code="SIG012")
    root = hashlib.sha256(bytes.fromhex("".join([row["digest"] for row in rows]))).hexdigest()
    if subject["digest"]["sha256"] != root:
        _refuse("contradicts itself: the root digest is not that of the resources", where)
    # 3. and 4.
    algorithms = {row["algorithm"] for row in rows}
    if not algorithms <= {how.hash_type, f"{how.hash_type}-sharded-{how.shard_size}"}:
        _refuse(f"has resources of other algorithms than {how.hash_type}: {sorted(map(str, algorithms))}", where)
    resources = _resources(rows, how, where)
    _check_names(resources, where)
    if how.method == "shards":
        _check_shards(resources, how.shard_size or 0, where)
    signed = subject["digest"].get("dirHash1")
    artifact = Digest(signed) if signed is not None else None
    empty = frozenset(map(str, predicate.get(_EMPTY, ())))
    return Manifest(name=str(subject["name"]), root=root, resources=resources, serialization=how, artifact=artifact, empty=empty)


def _legacy(found: dict[str, Any], where: str) -> Manifest:
    """Read a statement of model_signing 0.2: its subjects are the files."""
    how = Serialization(method="files", hash_type="sha256", allow_symlinks=False)
    if not found["subject"]:
        msg = "signs no file at all"
        raise IntegrityError(msg, where=where, code="SIG012")
    rows = [{"name": row["name"], "digest": row["digest"]["sha256"]} for row in found["subject"]]
    resources = _resources(rows, how, where)
    _check_names(resources, where)
    root = hashlib.sha256(bytes.fromhex("".join([resource.digest for resource in resources]))).hexdigest()
    return Manifest(name="", root=root, resources=resources, serialization=how, legacy=True)


def _serialization(found: dict[str, Any], where: str) -> Serialization:
    size = found.get("shard_size")
    if isinstance(size, float) and size.is_integer():  # protobuf's JSON has only such numbers
        found = {**found, "shard_size": int(size)}
    if found.get("method") not in {"files", "shards"}:
        msg = f"serialises by {str(found.get('method'))[:60]!r}; files and shards are known here"
        raise InputError(msg, where=where, code="SIG013", help="verify it with the tool that made it")
    how = msgspec.convert(found, Serialization)
    if how.hash_type not in ALGORITHMS:
        msg = f"hashes with {how.hash_type[:60]!r}; {', '.join(ALGORITHMS)} are known here"
        raise InputError(msg, where=where, code="SIG013", help="verify it with the tool that made it")
    if (how.method == "shards") != (how.shard_size is not None and how.shard_size > 0):
        _refuse("names a shard size without shards, or shards without their size", where)
    return how


def _resources(rows: list[dict[str, Any]], how: Serialization, where: str) -> tuple[Resource, ...]:
    """Read the rows; those of whole files, of which there may be 100,000, are checked all at once."""
    if how.method == "files":
        names, digests = [row["name"] for row in rows], [row["digest"] for row in rows]
        sound = {*map(type, names), *map(type, digests)} == {str} and {*map(len, digests)} == {ALGORITHMS[how.hash_type]}
        if sound and _HEX.fullmatch("".join(digests)):
            return tuple(map(Resource, names, digests))
    return tuple(_resource(row, how, where) for row in rows)  # says which one is wrong


def _resource(row: dict[str, Any], how: Serialization, where: str) -> Resource:
    name, digest = row["name"], row["digest"]
    if not isinstance(name, str) or not isinstance(digest, str):
        _refuse("has a resource without a name and a digest in text", where)
    if len(digest) != ALGORITHMS[how.hash_type] or not _HEX.fullmatch(digest):
        _refuse(f"has no {how.hash_type} digest in lower-case hex for {name[:80]!r}", where)
    if how.method == "files":
        return Resource(name, digest)
    match = _SHARD.fullmatch(name)
    if match is None:
        _refuse(f"has a shard without its range: {name[:80]!r}", where)
    return Resource(match["path"], digest, int(match["start"]), int(match["end"]))


def _check_names(resources: tuple[Resource, ...], where: str) -> None:
    if len({(resource.path, resource.start) for resource in resources}) != len(resources):
        _refuse("names a resource twice", where)
    names = "\0".join([resource.path for resource in resources])
    if names.count("\0") == len(resources) - 1 and not _OUTSIDE.search(names):
        return  # what follows takes longer, and says which name is wrong
    for path in {resource.path for resource in resources}:
        if path == SINGLE:
            if {resource.path for resource in resources} != {SINGLE}:
                _refuse("signs a single file and a folder at once", where)
        elif "\0" in path or any(part in {"", ".", ".."} for part in path.split("/")):
            _refuse(f"names a file outside of the model: {path[:80]!r}", where)


def _check_shards(resources: tuple[Resource, ...], size: int, where: str) -> None:
    last: dict[str, int] = {}
    for path, _, start, end in sorted(resources, key=lambda resource: (resource.path, resource.start)):
        if end is None or start != last.get(path, 0) or start % size or not start < end <= start + size:
            _refuse(f"has shards that do not follow one another: {path[:80]!r} at {start}", where)
        last[path] = end


def _name_of(resource: Resource) -> str:
    return resource.path if resource.end is None else f"{resource.path}:{resource.start}:{resource.end}"


def _refuse(message: str, where: str) -> NoReturn:
    raise IntegrityError(message, where=where, code="SIG009", help="ask who signed it: nothing was compared with this manifest")
