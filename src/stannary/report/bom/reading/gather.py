"""Hash every file of an artifact here, let jailed workers read those that say something, collect the answers."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from stannary.core.errors import InputError
from stannary.core.model import File
from stannary.formats.hashing import FileIdentity, hash_file, identity_of
from stannary.formats.tree import Entry, Tree, list_tree
from stannary.report.bom.reading import config, locks
from stannary.report.bom.reading.answer import Answer, Role, Work
from stannary.run.interface import Done, Executor, Failed, Job, Lost, Setup, Ticket
from stannary.run.jail import Jail, Level

__all__ = ["Gathered", "gather"]

_SMALL = 1 << 18
_HEAD = 16
_TRAINING = 40  # files that train of which the syntax tree is read, the shallowest
_TRIES = 3  # files that are parsed for one imported name
_CARDS = frozenset({"readme.md", "readme.markdown", "modelcard.md", "model_card.md", "readme"})
_MODELS = frozenset({
    ".safetensors", ".gguf", ".ggml", ".onnx", ".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".hdf5",
    ".keras",
    ".pb", ".tflite", ".npy", ".npz", ".ubj", ".cbm", ".model", ".msgpack", ".mlmodel", ".engine", ".plan", ".trt", ".t7", ".index",
    ".pdmodel", ".skops", ".nemo", ".dill", ".cloudpickle", ".sav", ".pte", ".ort", ".rds", ".pmml", ".params", ".mar", ".tar",
})  # fmt: skip
# How files that are models begin, whatever they are called. Archives of office programs and of Python begin so as well.
_MAGIC = re.compile(
    rb"GGUF|\x89HDF|\x93NUMPY|CBM1|tree\r?\n|\x80[\x02-\x05][\x95}\](cC)XU\x8c\x8a]|.{4}TFL3|.{4}ORTM|.{7}\0\{\"|\{\"learner\"",
    re.DOTALL,
)
_ZIP = b"PK\x03\x04"
_NO_MODEL = frozenset({".docx", ".xlsx", ".pptx", ".odt", ".whl", ".jar", ".egg", ".apk", ".epub"})


class Gathered(NamedTuple):
    """An artifact: its files, what was read of them by path, and what was not."""

    tree: Tree
    files: tuple[File, ...]
    roles: Mapping[str, Role]
    answers: Mapping[str, Answer]
    imports: Mapping[str, str]  # name of a module → the file whose syntax tree has the import


def gather(path: str, *, jobs: int = 0, jail: Level | None = None) -> Gathered:
    """Read an artifact. Raises UsageError, JailUnavailable, or a group of InputErrors: what keeps it from having a digest."""
    tree = list_tree(path)
    problems: list[Exception] = [
        InputError(problem.detail, where=problem.path, code="ART001") for problem in tree.problems if problem.kind != "collision"
    ]
    files: list[File] = []
    work: dict[str, Work] = {}
    for entry, sha256, identity, head, problem in _hashed(tree.entries):
        if identity is None:
            problems.append(InputError(problem, where=entry.path, code="ART002"))
            continue
        files.append(File(entry.path, entry.size, sha256))
        role = _role(entry.path, entry.size, head)
        if role is not None:
            work[entry.path] = Work(entry.real, entry.path, role, identity)
    if not tree.entries and not problems:
        problems.append(InputError("is empty: an artifact has at least one file", where=path, code="ART003"))
    if problems:
        msg = f"artifact {path}"
        raise ExceptionGroup(msg, problems)
    answers, imports = _read(tree, work, jobs, jail)
    return Gathered(tree, tuple(files), {name: item.role for name, item in work.items()}, answers, imports)


def _hashed(entries: Iterable[Entry]) -> Iterator[tuple[Entry, str, FileIdentity | None, bytes, str]]:
    """Yield each entry with its SHA-256, its identity and how it begins: small files here, large ones in threads."""
    rows = list(entries)
    large = [entry for entry in rows if entry.size >= _SMALL]
    with ThreadPoolExecutor(max_workers=max(1, min(len(large), os.cpu_count() or 1))) as pool:
        waiting = {entry.path: pool.submit(hash_file, entry.real) for entry in sorted(large, key=lambda row: -row.size)}
        for entry in rows:
            if entry.size < _SMALL:
                yield _small(entry)
        for entry in large:
            found = waiting[entry.path].result()
            yield entry, found.sha256, found.identity, b"", found.problem


def _small(entry: Entry) -> tuple[Entry, str, FileIdentity | None, bytes, str]:
    try:
        descriptor = os.open(entry.real, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return entry, "", None, b"", f"cannot be opened: {error.strerror}"
    try:
        before = identity_of(os.fstat(descriptor))
        content = os.read(descriptor, _SMALL + 1)
        if len(content) != before.size or identity_of(os.fstat(descriptor)) != before:
            return entry, "", None, b"", "changed while it was read"
    except OSError as error:
        return entry, "", None, b"", f"cannot be read: {error.strerror}"
    finally:
        os.close(descriptor)
    return entry, hashlib.sha256(content).hexdigest(), before, content[:_HEAD], ""


def _role(path: str, size: int, head: bytes) -> Role | None:
    """Return what a file is read as, None when it says nothing that belongs into a bill of materials."""
    base = path.rpartition("/")[2].lower()
    suffix = f".{base.rpartition('.')[2]}" if "." in base[1:] else ""
    if base in _CARDS:
        return "card"
    if base in config.NAMES:
        return "config"
    if locks.is_lock(base):
        return "lock"
    if base.startswith(("license", "licence", "copying")) and suffix in ("", ".md", ".txt", ".rst"):
        return "licence"
    if suffix == ".py":
        return "python"
    if suffix == ".ipynb":
        return "notebook"
    if suffix in _MODELS or _MAGIC.match(head) or (head.startswith(_ZIP) and suffix not in _NO_MODEL):
        return "weights"
    # What is large and was not read here: its beginning is looked at in the jail.
    return "weights" if size >= _SMALL and suffix not in _PLAIN else None


_PLAIN = frozenset({
    ".md", ".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".mp4", ".wav", ".mp3",
    ".pdf", ".html", ".css", ".js", ".ts", ".map", ".lock", ".yaml", ".yml", ".toml", ".log", ".rst", *_NO_MODEL,
})  # fmt: skip


def _read(tree: Tree, work: dict[str, Work], jobs: int, jail: Level | None) -> tuple[dict[str, Answer], dict[str, str]]:
    if not work:
        return {}, {}
    executor = _executor(tree, len(work), jobs, jail)
    try:
        answers = dict(_answers(executor, work.values()))
        seen: dict[str, list[str]] = {}
        for name in sorted(work):
            if work[name].role in ("python", "notebook"):
                for module in answers[name].imports:
                    seen.setdefault(module, []).append(name)
        own = {entry.path.removesuffix(".py").split("/")[0] for entry in tree.entries if entry.path.endswith(".py")}
        wanted = {module: names[:_TRIES] for module, names in seen.items() if module not in own}
        chosen = sorted({name for names in wanted.values() for name in names})
        confirmed = dict(_answers(executor, (msgspec.structs.replace(work[name], role="imports") for name in chosen)))
        trains = sorted((name for name in work if answers[name].trains), key=lambda name: (name.count("/"), name))[:_TRAINING]
        for name, answer in _answers(executor, (msgspec.structs.replace(work[name], role="training") for name in trains)):
            answers[name].training = answer.training
            answers[name].problem = answers[name].problem or answer.problem
    finally:
        executor.close()
    found = ((module, next((name for name in names if module in confirmed[name].imports), "")) for module, names in wanted.items())
    return answers, {module: name for module, name in sorted(found) if name}


def _answers(executor: Executor, work: Iterable[Work]) -> Iterator[tuple[str, Answer]]:
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Answer).decode
    names: dict[Ticket, str] = {}
    for item in work:
        names[executor.submit(Job(encode(item), item.identity[2]))] = item.name
    for outcome in executor.results():
        name = names[outcome.ticket]
        match outcome:
            case Done():
                try:
                    yield name, decode(outcome.value)
                except (msgspec.DecodeError, RecursionError):
                    yield name, Answer(problem="its reader answered with something that is not an answer")
            case Failed():
                yield name, Answer(problem=f"its reader failed: {outcome.error}"[:300])
            case Lost():
                yield name, Answer(problem=f"its reader {outcome.reason}"[:300])


def _executor(tree: Tree, count: int, jobs: int, jail: Level | None) -> Executor:
    setup = Setup("stannary.report.bom.reading.worker:factory")
    if not hasattr(os, "fork"):
        from stannary.run.inline import Inline

        return Inline(setup)
    from stannary.run.pool import Pool

    _import_readers()
    confined = Jail(level=jail, read=tree.granted, processor_seconds=600)
    return Pool(setup, confined, workers=max(1, min(jobs or len(os.sched_getaffinity(0)), count)), seconds=120.0)


def _import_readers() -> None:
    """Import before the fork what the jail would have to find on disk, or each worker import for itself."""
    import importlib

    import yaml  # noqa: F401 - for its effect

    for name in ("tensors", "gguf", "archives", "hdf5", "graphs", "trees", "pickles"):
        importlib.import_module(f"stannary.formats.headers.{name}")
    importlib.import_module("stannary.report.bom.reading.worker")
