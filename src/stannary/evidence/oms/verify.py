"""Verifying a model: who signed, what, and whether it is what lies here.

1. the signature file is a bundle, strictly read;
2. the signature is of somebody trusted, by the method of the trust;
3. the statement that was signed does not contradict itself;
4. the files are listed by the rules that were signed; files that are signed are never ignored;
5. every file that is signed is read and hashed. No cache is asked;
6. all differences are reported together: changed, missing, renamed, not covered, behind a link, unreadable.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from stannary.core.errors import InputError, IntegrityError, StannaryError, UsageError
from stannary.core.model import Digest
from stannary.evidence.oms.bundle import MOST_BYTES, Bundle, read_bundle
from stannary.evidence.oms.digests import Job, Outcome, hash_files
from stannary.evidence.oms.interface import SignedBy, Trust
from stannary.evidence.oms.listing import Listing, identity, ignored_paths, list_model, within
from stannary.evidence.oms.manifest import GIT_PATHS, SINGLE, Manifest, parse_manifest
from stannary.run.progress import OnProgress

__all__ = ["Difference", "Verification", "VerifyOptions", "examine_model", "read_content", "read_signature", "verify_model"]

DifferenceKind = Literal["extra", "changed", "missing", "renamed", "link", "odd", "unread"]
_CODES: Mapping[str, str] = {
    "extra": "SIG004",
    "changed": "SIG005",
    "missing": "SIG006",
    "renamed": "SIG007",
    "link": "SIG008",
    "odd": "SIG008",
    "unread": "SIG015",
}
_HELP: Mapping[str, str] = {
    "extra": "remove it, or accept what is not signed with --ignore-unsigned",
    "changed": "get the file again from where it was signed",
    "missing": "get the file again from where it was signed",
    "renamed": "give it back the name it was signed under",
    "link": "replace the link by the file it leads to",
    "odd": "remove it",
    "unread": "make it readable, and verify again when nothing writes to it",
}


class VerifyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to verify.

    `only`: patterns of names; the others are not looked at, and the outcome is partial. `ignore`: paths within the
    model that need not be signed. `ignore_unsigned`: no file needs to be.
    """

    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    ignore_unsigned: bool = False
    on_progress: OnProgress | None = None


class Difference(NamedTuple):
    """One thing that is not as it was signed."""

    kind: DifferenceKind
    path: str
    message: str

    @property
    def code(self) -> str:
        """Return the error code."""
        return _CODES[self.kind]

    @property
    def error(self) -> StannaryError:
        """Return the error that this is."""
        fault = InputError if self.kind == "unread" else IntegrityError
        where = None if self.kind == "extra" else self.path
        return fault(self.message, where=where, code=self.code, help=_HELP[self.kind])


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What came out. `artifact` is the identity of what lies here, when all of it was read."""

    outcome: Literal["verified", "partial", "refused"]
    signer: SignedBy
    manifest: Manifest
    checked: int
    size: int
    differences: tuple[Difference, ...] = ()
    unsigned: int = 0
    left_out: tuple[str, ...] = ()  # paths that are there, and that the signature or the caller leaves out
    artifact: Digest | None = None


def verify_model(path: str, signature: str | Path | Bundle, trust: Trust, options: VerifyOptions | None = None) -> Verification:
    """Return when the model is what was signed. Raises IntegrityError, or an ExceptionGroup of all differences."""
    found = examine_model(path, signature, trust, options)
    if found.differences:
        msg = "the model is not what was signed"
        raise ExceptionGroup(msg, [difference.error for difference in found.differences])
    return found


def examine_model(path: str, signature: str | Path | Bundle, trust: Trust, options: VerifyOptions | None = None) -> Verification:
    """Compare a model with its signature. Raises IntegrityError when the signature itself does not hold."""
    options = options or VerifyOptions()
    # 1.
    bundle = signature if isinstance(signature, Bundle) else read_signature(signature)
    # 2.
    signer = trust.check(bundle)
    # 3.
    manifest = parse_manifest(bundle.payload)
    # 4.
    left_out = {*(manifest.serialization.ignore_paths or ()), *ignored_paths(path, options.ignore)} - set(GIT_PATHS)
    inside = None if isinstance(signature, Bundle) else within(path, str(signature))
    listing = list_model(path, left_out | {inside or ""}, keep=manifest.paths - {SINGLE})
    signed = _signed(manifest, listing)
    wanted = _wanted(signed, options.only)
    # 5.
    extra = [name for name in listing.entries if name not in signed and _matches(name, options.only)]
    missing = [name for name in wanted if name not in listing.entries]
    reread = extra if missing and not options.ignore_unsigned else []  # one of them may be a file that was renamed
    outcomes = _hash(listing, [*(name for name in wanted if name in listing.entries), *reread], manifest, options.on_progress)
    # 6.
    differences = [
        *_odd(listing, wanted, options),
        *_compared(signed, outcomes, listing, manifest),
        *_gone(missing, signed, {name: outcomes[name] for name in reread}),
        *([] if options.ignore_unsigned else _uncovered(extra, manifest)),
    ]
    differences = _without_repetition(differences)
    whole = not options.only and not differences and not left_out - {inside}
    return Verification(
        outcome="refused" if differences else "partial" if options.only else "verified",
        signer=signer,
        manifest=manifest,
        checked=len(wanted),
        size=sum(outcome.size for name, outcome in outcomes.items() if name in wanted),
        differences=tuple(differences),
        unsigned=len(extra),
        left_out=tuple(sorted(name for name in left_out - {inside} if os.path.lexists(os.path.join(path, name)))),
        artifact=_identity(listing, outcomes, manifest) if whole else None,
    )


def _wanted(signed: Iterable[str], patterns: tuple[str, ...]) -> frozenset[str]:
    """Return the signed files that are asked for. Raises UsageError for a pattern that names none: it would pass unseen."""
    idle = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in signed)]
    if idle:
        msg = "matches no file that is signed"
        raise UsageError(msg, where=f"--only {' '.join(idle)}", code="SIG014", help="patterns are as in adapter/*.json")
    return frozenset(name for name in signed if _matches(name, patterns))


def read_signature(path: str | Path) -> Bundle:
    """Read a signature file. Raises UsageError when it is not there, IntegrityError when it is none."""
    return read_bundle(read_content(path), str(path))


def read_content(path: str | Path) -> bytes:
    """Read the bytes of a signature file, and one more than any has when it is larger. Raises UsageError."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        msg = f"cannot be read: {error.strerror}"
        raise UsageError(msg, where=str(path), code="SIG017", help="name the signature with --signature FILE") from error


def _signed(manifest: Manifest, listing: Listing) -> dict[str, tuple[str, ...]]:
    """Return the digests of each signed file by its name here. Raises IntegrityError when a file is not a folder."""
    found: dict[str, tuple[str, ...]]
    if manifest.serialization.method == "files" and not manifest.empty:
        found = {path: (digest,) for path, digest, _, _ in manifest.resources}
    else:
        rows: dict[str, list[tuple[int, str]]] = {name: [] for name in manifest.empty}
        for resource in manifest.resources:
            rows.setdefault(resource.path, []).append((resource.start, resource.digest))
        found = {name: tuple(digest for _, digest in sorted(parts)) for name, parts in rows.items()}
    if not listing.is_folder and SINGLE not in found and len(found) == 1:  # the name by the specification
        found = {SINGLE if name == listing.name else name: parts for name, parts in found.items()}
    if listing.is_folder == (SINGLE in found):
        kinds = ("a single file", "a folder") if listing.is_folder else ("a folder", "a single file")
        msg = f"was signed as {kinds[0]}, and is {kinds[1]}"
        raise IntegrityError(msg, where=listing.name, code="SIG006", help="verify what was signed, by its own path")
    return found


def _hash(listing: Listing, names: Iterable[str], manifest: Manifest, on_progress: OnProgress | None) -> dict[str, Outcome]:
    jobs = [Job(name, listing.entries[name].real, listing.entries[name].size) for name in names]
    how = manifest.serialization
    return hash_files(jobs, how.hash_type, how.shard_size, on_progress)


def _compared(
    signed: Mapping[str, tuple[str, ...]], outcomes: Mapping[str, Outcome], listing: Listing, manifest: Manifest
) -> Iterable[Difference]:
    for name, outcome in sorted(outcomes.items()):
        if outcome.problem:
            yield Difference("unread", _shown(name, listing), outcome.problem)
        elif name in signed and outcome.digests != signed[name]:
            yield Difference("changed", _shown(name, listing), "is not what was signed: its content changed")
        if name in signed and name in listing.linked and not manifest.serialization.allow_symlinks:
            yield Difference("link", name, "is a link, or lies behind one, and was signed as a plain file")


def _gone(missing: list[str], signed: Mapping[str, tuple[str, ...]], extra: Mapping[str, Outcome]) -> Iterable[Difference]:
    by_content = {outcome.digests: name for name, outcome in sorted(extra.items(), reverse=True)}
    for name in sorted(missing):
        other = by_content.get(signed[name])
        if other is None or not signed[name]:
            yield Difference("missing", name, "is signed, and is not there")
        else:
            yield Difference("renamed", other, f"has the content that was signed as {name}, which is not there")


def _uncovered(extra: list[str], manifest: Manifest) -> Iterable[Difference]:
    shards = manifest.serialization.method == "shards"
    for name in sorted(extra):
        more = " (a signature in shards covers no empty file)" if shards else ""
        yield Difference("extra", name, f"signature does not cover {name}{more}")


def _odd(listing: Listing, wanted: frozenset[str], options: VerifyOptions) -> Iterable[Difference]:
    """Report what is wrong with names and links; in a partial verification, where it touches what is looked at."""
    for problem in listing.problems:
        prefix = "" if problem.path == "." else problem.path + "/"
        looked_at = not options.ignore_unsigned and _matches(problem.path, options.only)
        if looked_at or problem.path in wanted or any(name.startswith(prefix) for name in wanted):
            yield Difference("odd", problem.path, problem.detail)


def _without_repetition(differences: list[Difference]) -> list[Difference]:
    """Leave out that a file is not covered where it was said already that it is a renamed one, or odd."""
    told = {item.path for item in differences if item.kind in {"renamed", "odd"}}
    return [item for item in differences if item.kind not in {"extra", "missing"} or item.path not in told]


def _identity(listing: Listing, outcomes: Mapping[str, Outcome], manifest: Manifest) -> Digest | None:
    """Return the identity of a model of which nothing but git's files is left out of the signature."""
    how = manifest.serialization
    if how.method != "files" or how.hash_type != "sha256":
        return None
    digests = {name: outcome.digests[0] for name, outcome in outcomes.items()}
    others = [Job(name, entry.real, entry.size) for name, entry in listing.beside.items()]
    digests |= {name: outcome.digests[0] for name, outcome in hash_files(others).items() if outcome.digests}
    return identity(listing, digests)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _shown(name: str, listing: Listing) -> str:
    return listing.name if name == SINGLE else name
