"""What is in an MLflow registry, brought into this one: each version with its files; its aliases as proposals, and no more.

An alias of MLflow's says that somebody set it. Here it moves by a decision, so what is brought over is the question and
not the answer: `Proposal` says which version to promote. Importing again brings what is new; the same files are the same
version. What the server says is not believed further than it has to be: it names files below the folder they go to, and no
folder of this machine.
"""

from __future__ import annotations

import re
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from stannary.core.errors import InputError, PolicyDenied, StannaryError, UsageError
from stannary.core.model import Json
from stannary.registry.model import Version
from stannary.registry.names import DEFAULT, Name, parse_model
from stannary.registry.registry import Registry
from stannary.store.sources import DEFAULT_CAP
from stannary.store.sources.fetch import Fetcher
from stannary.store.sources.mlflow import fetch, login, server

__all__ = ["Brought", "Imported", "Missed", "Proposal", "bring"]

_ADDRESS = re.compile(r"mlflow:/{0,2}(?:models/([^/@]+)/?)?\Z")
_PAGES = 10_000


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """A version of MLflow's, and the version that it is here. `new` unless the same files were here under the name."""

    source: str
    version: str
    digest: str
    new: bool


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """An alias or stage that MLflow has, and what to ask for here: nothing was promoted."""

    source: str
    version: str
    alias: str


class Missed(msgspec.Struct, frozen=True, kw_only=True):
    """A version that could not be brought, and why."""

    source: str
    reason: str


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import."""

    schema: str = "stannary.import/1"
    server: str
    versions: tuple[Brought, ...]
    proposals: tuple[Proposal, ...]
    missed: tuple[Missed, ...]


def bring(
    registry: Registry, address: str, *, namespace: str = DEFAULT, told: Callable[[Brought | Missed], None] = lambda _: None
) -> Imported:
    """Import every version of `mlflow:models/NAME`, or with `mlflow:` of every model, the oldest first.

    A version that cannot be had is in `missed`, and the others are brought. `told` hears of each at once.
    Raises UsageError for an address that is none, BackendError when the server does not answer.
    """
    found = _ADDRESS.match(address)
    if not found:
        msg = "names no model of MLflow's"
        raise UsageError(msg, where=address, code="REG019", help="mlflow:models/NAME, or mlflow: for every model")
    base = server(address)
    fetcher = Fetcher(DEFAULT_CAP)
    chosen = urllib.parse.unquote(found[1]) if found[1] else ""
    models = [chosen] if chosen else [str(row.get("name", "")) for row in _pages(fetcher, base, "registered-models", "")]
    names = _names(models, namespace)
    brought: list[Brought] = []
    proposals: list[Proposal] = []
    missed: list[Missed] = []
    for model, name in names.items():
        numbers: dict[str, Version] = {}
        for row in _versions(fetcher, base, model):
            source = f"{model}/{row.get('version', '')}"
            try:
                item, made = _version(registry, fetcher, base, row, name)
            except PolicyDenied:
                raise
            except (StannaryError, ExceptionGroup) as error:
                missed.append(Missed(source=source, reason=_reason(error)))
                told(missed[-1])
                continue
            brought.append(item)
            numbers[str(row.get("version", ""))] = made
            told(item)
        proposals += _proposals(fetcher, base, model, numbers)
    return Imported(server=base, versions=tuple(brought), proposals=tuple(proposals), missed=tuple(missed))


def _names(models: list[str], namespace: str) -> dict[str, Name]:
    """Return the name of each model here. Raises UsageError when two would be one, or one would be none."""
    found: dict[str, Name] = {}
    taken: dict[Name, str] = {}
    for model in models:
        plain = re.sub(r"[^a-z0-9._-]+", "-", model.lower()).strip("._-")
        name = parse_model(f"{namespace}/{re.sub(r'[.]{2,}', '.', plain)}")
        if name in taken:
            msg = f"{taken[name]!r} and {model!r} would both be {name}"
            raise UsageError(msg, where="mlflow:", code="REG019", help="import them one by one, each with --namespace")
        found[model], taken[name] = name, model
    return found


def _versions(fetcher: Fetcher, base: str, model: str) -> list[dict[str, Any]]:
    """Return the versions of a model, the oldest first."""
    quoted = model.replace("'", "")
    if quoted != model:
        msg = f"has a name that cannot be searched for: {model[:80]!r}"
        raise InputError(msg, where=base, code="REG019", help="rename it there")
    rows = [row for row in _pages(fetcher, base, "model-versions", f"name='{model}'") if row.get("name") == model]
    return sorted(rows, key=lambda row: int(str(row.get("version", "0"))) if str(row.get("version", "0")).isdigit() else 0)


def _version(registry: Registry, fetcher: Fetcher, base: str, row: dict[str, Any], name: Name) -> tuple[Brought, Version]:
    model, number = str(row.get("name", "")), str(row.get("version", ""))
    if row.get("status", "READY") != "READY":
        msg = f"is {str(row['status'])[:40]} there, not READY"
        raise InputError(msg, where=f"{model}/{number}", code="REG019")
    with tempfile.TemporaryDirectory(prefix="stannary-") as scratch:
        target = f"mlflow:models/{urllib.parse.quote(model, safe='')}/{number}"
        got = fetch(target, fetcher, Path(scratch))
        if not got.path.resolve().is_relative_to(Path(scratch).resolve()):
            msg = f"its files are said to lie in a folder of this machine: {got.path}"
            raise InputError(msg, where=target, code="REG019", help=f"look at it, then: stannary registry push {got.path} {name}")
        before = {version.number for version in _known(registry, name)}
        info: dict[str, Json] = {"mlflow": _info(base, row)}
        made = registry.push(got.path, name, note=str(row.get("description") or "")[:2000], info=info)
    source = f"{model}/{number}"
    return Brought(source=source, version=str(made), digest=made.digest, new=made.number not in before), made


def _known(registry: Registry, name: Name) -> list[Version]:
    try:
        return registry.versions(name)
    except UsageError:
        return []


def _info(base: str, row: dict[str, Any]) -> dict[str, Json]:
    tags = row.get("tags")
    told: dict[str, Json] = {"server": base, "name": str(row.get("name", "")), "version": str(row.get("version", ""))}
    told |= {key: str(row[key]) for key in ("run_id", "user_id", "source", "creation_timestamp") if row.get(key)}
    if isinstance(tags, list):
        told["tags"] = {str(tag.get("key", "")): str(tag.get("value", "")) for tag in tags if isinstance(tag, dict)}
    return told


def _proposals(fetcher: Fetcher, base: str, model: str, numbers: dict[str, Version]) -> list[Proposal]:
    query = urllib.parse.urlencode({"name": model})
    answer = fetcher.json(f"{base}/api/2.0/mlflow/registered-models/get?{query}", login())
    known = answer.get("registered_model")
    known = known if isinstance(known, dict) else {}
    found = [
        (str(row.get("alias", "")), str(row.get("version", ""))) for row in known.get("aliases") or [] if isinstance(row, dict)
    ]
    stages = [
        (str(row.get("current_stage", "")).lower(), str(row.get("version", "")))
        for row in known.get("latest_versions") or []
        if isinstance(row, dict)
    ]
    found += [row for row in stages if row[0] in ("production", "staging") and row[0] not in dict(found)]
    return [
        Proposal(source=f"{model}@{alias}", version=str(numbers[number]), alias=re.sub(r"[^a-z0-9._-]+", "-", alias.lower()))
        for alias, number in found
        if number in numbers
    ]


def _pages(fetcher: Fetcher, base: str, kind: str, filter_: str) -> Iterator[dict[str, Any]]:
    token, rows = "", kind.replace("-", "_")
    for _ in range(_PAGES):
        query = urllib.parse.urlencode({"max_results": 200, "filter": filter_, "page_token": token})
        answer = fetcher.json(f"{base}/api/2.0/mlflow/{kind}/search?{query}", login())
        yield from (row for row in answer.get(rows) or [] if isinstance(row, dict))
        token = str(answer.get("next_page_token") or "")
        if not token:
            return


def _reason(error: StannaryError | ExceptionGroup[Exception]) -> str:
    if isinstance(error, ExceptionGroup):
        return "; ".join(str(item) for item in error.exceptions)[:500]
    return f"{error}{f' ({error.help})' if error.help else ''}"[:500]
