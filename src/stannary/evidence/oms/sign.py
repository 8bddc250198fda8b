"""Signing a model: list, hash, state, sign.

1. the model has at least one file, and nothing odd among its names and links;
2. every file is read once and hashed; digests of files that did not change since may come from the cache;
3. the statement lists them, with how they were found, and is signed.

The signature is over digests: what a wrong digest in a cache would give is a signature that does not verify.
"""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from typing import NamedTuple

import msgspec

from stannary.core.errors import InputError
from stannary.core.model import Digest
from stannary.evidence.oms.bundle import Bundle, write_bundle
from stannary.evidence.oms.cache import DigestCache
from stannary.evidence.oms.digests import Job, hash_files
from stannary.evidence.oms.interface import Material
from stannary.evidence.oms.listing import Listing, identity, ignored_paths, list_model, within
from stannary.evidence.oms.manifest import GIT_PATHS, Resource, Serialization, encode_manifest
from stannary.formats.tree import Entry
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
    # 2.
    hashed, cached = _hash(listing, options)
    # 3.
    artifact = None
    if not given:
        size = options.shard_size
        whole = {name: found[0] for name, found in hashed.items() if size is None or len(found) == 1}
        artifact = identity(listing, whole)
    how = Serialization(
        method="files" if options.shard_size is None else "shards",
        hash_type="sha256",
        allow_symlinks=bool(listing.linked),
        ignore_paths=(*(() if options.git else GIT_PATHS), *ignore),
        shard_size=options.shard_size,
    )
    if options.shard_size is None:
        resources = [Resource(name, hashed[name][0]) for name in listing.entries]
    else:
        resources = [row for name, entry in listing.entries.items() for row in _shards(entry, hashed[name], options.shard_size)]
    if not resources:
        raise _empty(listing.name)
    empty = [] if options.shard_size is None else [name for name in listing.entries if not hashed[name]]
    payload, root = encode_manifest(listing.name, resources, how, artifact, empty)
    bundle = material.bundle(payload)
    size = sum(entry.size for entry in listing.entries.values())
    return Signed(bundle, listing.name, len(listing.entries), size, cached, root, artifact)


def write_signature(path: str | Path, bundle: Bundle) -> None:
    """Write a signature file as a whole: a reader sees the old one or the new. Raises OSError."""
    target = Path(path)
    if target.exists() and not target.is_file():  # a device or a pipe: it cannot be replaced
        with target.open("wb") as file:
            file.write(write_bundle(bundle))
        return
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
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


def _hash(listing: Listing, options: SignOptions) -> tuple[dict[str, tuple[str, ...]], int]:
    """Return the digests of each file, those beside the model as well, and how many came from the cache."""
    every = {**listing.entries, **listing.beside} if listing.beside else listing.entries
    found: dict[str, tuple[str, ...]] = {}
    cache = options.cache if options.shard_size is None else None
    if cache is not None:
        found = cache.load(listing.root, every)
    cached = len(found)
    jobs = [Job(name, entry.real, entry.size) for name, entry in every.items() if name not in found]
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
    if cache is not None:
        cache.save(outcomes)
    found.update((name, outcome.digests) for name, outcome in outcomes.items())
    return found, cached


def _shards(entry: Entry, digests: tuple[str, ...], size: int) -> list[Resource]:
    starts = range(0, entry.size, size)
    return [
        Resource(entry.path, digest, start, min(start + size, entry.size)) for start, digest in zip(starts, digests, strict=True)
    ]
