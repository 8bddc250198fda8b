"""Signing a model: list, hash, state, sign.

1. the model has at least one file, and nothing odd among its names and links;
2. every file is read once and hashed; digests of files that did not change since may come from the cache;
3. the statement lists them, with how they were found, and is signed.

The signature is over digests: what a wrong digest in a cache would give is a signature that does not verify.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from stannary.core.errors import InputError
from stannary.core.model import Digest
from stannary.evidence.oms.bundle import Bundle, write_bundle
from stannary.evidence.oms.cache import DigestCache, Statement
from stannary.evidence.oms.digests import Job, Outcome, hash_files
from stannary.evidence.oms.interface import Material
from stannary.evidence.oms.listing import Listing, identity, ignored_paths, list_model, within
from stannary.evidence.oms.manifest import GIT_PATHS, Resource, Serialization, encode_manifest
from stannary.run.progress import OnProgress

__all__ = ["SignOptions", "Signed", "sign_model", "write_signature"]


class SignOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to sign.

    `ignore`: paths within the model that are not signed. `signature`: where the signature will be, which is not
    part of what is signed. `links`: whether files behind links are signed. `shard_size`: digests of ranges of that
    many bytes, so that parts can be verified on their own. `cache`: where digests are kept, if anywhere.
    """

    ignore: tuple[str, ...] = ()
    signature: str | None = None
    git: bool = False
    links: bool = True
    shard_size: int | None = None
    cache: DigestCache | None = None
    on_progress: OnProgress | None = None


class Signed(NamedTuple):
    """What was signed.

    `root` is the OMS root digest; `artifact` the identity, None when parts of the folder are left out or files are
    in shards.
    """

    bundle: Bundle
    name: str
    files: int
    size: int
    cached: int
    root: str
    artifact: Digest | None


def sign_model(path: str, material: Material, options: SignOptions | None = None) -> Signed:
    """Sign the model at `path`. Raises UsageError, an ExceptionGroup of InputError, or BackendError."""
    options = options or SignOptions()
    given = ignored_paths(path, options.ignore)
    inside = within(path, options.signature) if options.signature else None
    ignore = (*given, *((inside,) if inside and inside not in given else ()))
    # 1.
    listing = list_model(path, ignore, git=options.git)
    _check(listing, options)
    # 2. and 3.
    how = Serialization(
        method="files" if options.shard_size is None else "shards",
        hash_type="sha256",
        allow_symlinks=bool(listing.linked),
        ignore_paths=(*(() if options.git else GIT_PATHS), *ignore),
        shard_size=options.shard_size,
    )
    state = _by_files if options.shard_size is None else _by_shards
    made, cached = state(listing, how, options, whole=not given)
    bundle = material.bundle(made.payload)
    size = sum([entry.size for entry in listing.entries.values()])
    artifact = Digest(made.artifact) if made.artifact else None
    return Signed(bundle, listing.name, len(listing.entries), size, cached, made.root, artifact)


def write_signature(path: str | Path, bundle: Bundle) -> None:
    """Write a signature file as a whole: a reader sees the old one or the new. Raises OSError."""
    target = Path(path)
    if target.exists() and not target.is_file():  # a device or a pipe: it cannot be replaced
        with target.open("wb") as file:
            file.write(write_bundle(bundle))
        return
    if not target.parent.is_dir():  # said of the folder that was named, and not of the scratch file
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    scratch = target.with_name(f".{target.name}.{os.urandom(8).hex()}")
    try:
        with scratch.open("xb") as file:
            file.write(write_bundle(bundle))
        scratch.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise


def _check(listing: Listing, options: SignOptions) -> None:
    problems = [
        InputError(problem.detail, where=problem.path, code="SIG008", help="remove it, or leave it out with --ignore")
        for problem in listing.problems
    ]
    if not options.links:
        problems += [
            InputError("is a link, or lies behind one", where=name, code="SIG008", help="replace it by what it links to")
            for name in sorted(listing.linked)
        ]
    if options.shard_size is not None and options.shard_size <= 0:
        problems.append(InputError("a shard has at least one byte", where="--shard-size", code="SIG013"))
    if not listing.entries:
        problems.append(_empty(listing.name))
    if problems:
        msg = "the model cannot be signed"
        raise ExceptionGroup(msg, problems)


def _empty(name: str) -> InputError:
    msg = "is empty: there is no file to sign"
    return InputError(msg, where=name, code="SIG012", help="a signature on nothing would vouch for nothing")


def _by_files(listing: Listing, how: Serialization, options: SignOptions, *, whole: bool) -> tuple[Statement, int]:
    """Return the statement on whole files, and how many digests came from the cache. `whole`: nothing is left out."""
    every = {**listing.entries, **listing.beside} if listing.beside else listing.entries
    cache, asked = options.cache, b""
    known: dict[str, str] = {}
    if cache is not None:
        asked = msgspec.json.encode((listing.name, how, whole))
        if (kept := cache.load(listing.root, every, asked)) is not None:
            return kept, len(listing.entries)
        known = cache.digests()
    cached = len(known.keys() & listing.entries.keys())
    outcomes = _hashed([Job(name, entry.real, entry.size) for name, entry in every.items() if name not in known], options)
    known.update((name, outcome.digests[0]) for name, outcome in outcomes.items())
    artifact = identity(listing, known) if whole else None
    resources = [Resource(name, known[name]) for name in listing.entries]
    payload, root = encode_manifest(listing.name, resources, how, artifact)
    made = Statement(payload, root, artifact.hex if artifact else "")
    if cache is not None:
        cache.save(outcomes, asked, made)
    return made, cached


def _by_shards(listing: Listing, how: Serialization, options: SignOptions, *, whole: bool) -> tuple[Statement, int]:
    """Return the statement on ranges of files."""
    every = {**listing.entries, **listing.beside}
    outcomes = _hashed([Job(name, entry.real, entry.size) for name, entry in every.items()], options)
    resources = [row for name in listing.entries for row in _shards(name, outcomes[name], options.shard_size or 1)]
    if not resources:
        raise _empty(listing.name)
    # A file of one shard has its own digest; an empty one has none, and is no resource.
    digests = {name: outcome.digests[0] for name, outcome in outcomes.items() if len(outcome.digests) == 1}
    artifact = identity(listing, digests) if whole else None
    empty = [name for name in listing.entries if not outcomes[name].digests]
    payload, root = encode_manifest(listing.name, resources, how, artifact, empty)
    return Statement(payload, root, artifact.hex if artifact else ""), 0


def _hashed(jobs: list[Job], options: SignOptions) -> dict[str, Outcome]:
    """Return the digests of files by name. Raises an ExceptionGroup of InputError for all that could not be read."""
    outcomes = hash_files(jobs, "sha256", options.shard_size, options.on_progress)
    problems = [
        InputError(outcome.problem, where=name, code="SIG015", help="nothing was signed; sign it when it is at rest")
        for name, outcome in outcomes.items()
        if outcome.problem
    ]
    problems += [
        InputError("changed while the model was listed", where=job.path, code="SIG015", help="sign it when it is at rest")
        for job in jobs
        if not outcomes[job.path].problem and outcomes[job.path].size != job.size
    ]
    if problems:
        msg = "files could not be read"
        raise ExceptionGroup(msg, problems)
    return outcomes


def _shards(name: str, outcome: Outcome, size: int) -> list[Resource]:
    starts = range(0, outcome.size, size)
    return [
        Resource(name, digest, start, min(start + size, outcome.size))
        for start, digest in zip(starts, outcome.digests, strict=True)
    ]
