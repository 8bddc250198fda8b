"""Put the inventory of an artifact together: readers' answers, the card, locks and imports, signed evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stannary.core.errors import InputError
from stannary.core.evidence import Evidence, Verified
from stannary.core.model import Digest
from stannary.formats.requirements_text import normal_name
from stannary.formats.tree import artifact_of
from stannary.report.bom.from_card import CardFacts, read_card
from stannary.report.bom.from_code import read_code
from stannary.report.bom.from_evidence import read_evidence
from stannary.report.bom.from_files import models_of
from stannary.report.bom.inventory import Dataset, Facts, Inventory, Licence, Model, Origin, Package, Source
from stannary.report.bom.licences import licence
from stannary.report.bom.reading.gather import Gathered, gather
from stannary.run.jail import Level

__all__ = ["digest_of", "gather", "inventory_of", "take_inventory"]

_DOCUMENTS = frozenset({"cyclonedx", "spdx"})  # a bill of materials does not list those before it

# Names that only model files have: when nothing in one is understood, it was not read. A pickle or an array may be plain data.
_SURE = (
    ".safetensors", ".gguf", ".ggml", ".onnx", ".keras", ".tflite", ".skops", ".pdmodel", ".nemo", ".mlmodel", ".engine", ".plan",
    ".trt", ".t7", ".pte", ".ort", ".pmml", ".mar", ".cbm",
)  # fmt: skip
# Import name → project, where they differ; the names of the field's usual packages.
_PROJECTS = {
    "PIL": "pillow", "sklearn": "scikit-learn", "cv2": "opencv-python", "yaml": "pyyaml", "skimage": "scikit-image",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil", "google": "", "tensorflow_datasets": "tensorflow-datasets", "tf_keras": "tf-keras",
    "OpenSSL": "pyopenssl",
    "sentence_transformers": "sentence-transformers", "huggingface_hub": "huggingface-hub", "flash_attn": "flash-attn",
    "pytorch_lightning": "pytorch-lightning",
}  # fmt: skip


def take_inventory(path: str, *, name: str = "", jobs: int = 0, jail: Level | None = None) -> Inventory:
    """Read an artifact and say what it is made of. Raises UsageError, JailUnavailable, or a group of InputErrors."""
    return inventory_of(gather(path, jobs=jobs, jail=jail), name=name)


def digest_of(gathered: Gathered) -> Digest:
    """Return the identity of an artifact. Raises InputError when it has none."""
    artifact = artifact_of(gathered.tree, {row.path: row.sha256 for row in gathered.files})
    if artifact is None:
        msg = "has no digest"
        raise InputError(msg, where=gathered.tree.root, code="ART003")
    return artifact.digest


def inventory_of(
    gathered: Gathered, *, name: str = "", source: Mapping[str, Any] | None = None, evidence: tuple[Verified[Evidence], ...] = ()
) -> Inventory:
    """Put together what was gathered. `source` is where it was fetched from, as its source says."""
    evidence = tuple(item for item in evidence if item.value.kind not in _DOCUMENTS)
    models = models_of(gathered)
    facts = models[0].facts
    signed = read_evidence(evidence, facts)
    papers = _cards(gathered, models)
    data_of_code, origins_of_code = read_code(gathered, facts)
    address = _address(source or {})
    _fetched(address, facts)
    licences = [*papers.licences, *_licences_of_headers(models[0]), *_licence_files(gathered)]
    own = {name, models[0].name, gathered.tree.name}
    return Inventory(
        name=name or str(facts.value("name") or facts.value("title") or gathered.tree.name),
        given_name=gathered.tree.name,
        is_file=not gathered.tree.is_folder,
        digest=digest_of(gathered),
        files=gathered.files,
        models=tuple(models),
        datasets=_merged_data([*signed.datasets, *papers.datasets, *data_of_code]),
        origins=_merged_origins([*signed.origins, *papers.origins, *_adapters(gathered), *origins_of_code], own),
        packages=_packages(gathered, signed.packages),
        licences=_distinct(licences),
        metrics=(*signed.metrics, *papers.metrics),
        evidence=evidence,
        unread=_unread(gathered, models),
        address=address,
    )


def _unread(gathered: Gathered, models: list[Model]) -> tuple[tuple[str, str], ...]:
    """Return what could have said something and was not read: of code that is no Python, what seems to train."""
    nameless = [
        (path, f"its header is of no {path.rpartition('.')[2]} file that is known")
        for path, answer in sorted(gathered.answers.items())
        if answer.header is None and not answer.problem and gathered.roles[path] == "weights" and path.lower().endswith(_SURE)
    ]
    found = [(path, answer.problem) for path, answer in sorted(gathered.answers.items()) if answer.problem]
    found += nameless
    return (*found, *((path, header.incomplete) for model in models for path, header in model.headers.items() if header.incomplete))


def _cards(gathered: Gathered, models: list[Model]) -> CardFacts:
    """Read the card of the artifact for its first model, those beside other models for these."""
    cards = {path: answer.card for path, answer in gathered.answers.items() if answer.card is not None}
    found = CardFacts()
    first = min(
        cards, key=lambda path: (path.count("/"), not path.rpartition("/")[2].lower().startswith("readme"), path), default=None
    )
    if first is not None:
        found = read_card(cards[first], first, models[0].facts)
    for model in models[1:]:
        folder = model.path if model.path not in model.headers else model.path.rpartition("/")[0]
        beside = [path for path in cards if path != first and path.rpartition("/")[0] == folder and folder]
        for path in beside:
            read_card(cards[path], path, model.facts)
    return found


def _address(source: Mapping[str, Any]) -> str:
    """Return the address that an artifact was fetched from, empty when it lay here."""
    repository, revision = source.get("repository"), source.get("revision")
    if source.get("kind") == "hf" and isinstance(repository, str):
        return f"https://huggingface.co/{repository}{f'/tree/{revision}' if revision else ''}"
    url = source.get("url")
    return url if isinstance(url, str) else ""


def _fetched(address: str, facts: Facts) -> None:
    """Say what the address says: where it can be had, on a hub also who supplies it and in which revision."""
    if not address:
        return
    source = Source("files", address)
    facts.say("distribution", address, source)
    if address.startswith("https://huggingface.co/"):
        name, _, revision = address.removeprefix("https://huggingface.co/").partition("/tree/")
        facts.say("supplier", name.partition("/")[0] if "/" in name else "", source)
        facts.say("version", revision, source)


def _licences_of_headers(model: Model) -> list[Licence]:
    found = [licence(str(fact.value), fact.source) for fact in model.facts.all("licence")]
    return [row for row in found if row is not None]


def _licence_files(gathered: Gathered) -> list[Licence]:
    rows = sorted(
        ((path, answer) for path, answer in gathered.answers.items() if answer.licences),
        key=lambda row: (row[0].count("/"), row[0]),
    )
    found = [
        licence(name, Source("licence", path), declared=False)
        for path, answer in rows
        if path.count("/") == rows[0][0].count("/")
        for name in answer.licences
    ]
    return [row for row in found if row is not None]


def _distinct(rows: Iterable[Licence]) -> tuple[Licence, ...]:
    found: dict[str, Licence] = {}
    for row in rows:
        found.setdefault((row.id or row.name).lower(), row)
    return tuple(found.values())


def _adapters(gathered: Gathered) -> list[Origin]:
    """Return the models that adapters are for."""
    found = []
    for path, answer in sorted(gathered.answers.items()):
        base = answer.config.get("base_model_name_or_path") if path.rpartition("/")[2].lower() == "adapter_config.json" else None
        if isinstance(base, str) and base and not base.startswith(("/", "\\")):
            url = f"https://huggingface.co/{base}" if base.count("/") == 1 and ":" not in base else ""
            found.append(
                Origin(name=base, relation="fine-tuned-from", url=url, source=Source("config", path, "base_model_name_or_path"))
            )
    return found


def _merged_data(rows: Iterable[Dataset]) -> tuple[Dataset, ...]:
    """Return data once for each name and use; what has a digest counts before what is only named."""
    found: dict[tuple[str, str], Dataset] = {}
    for row in rows:
        found.setdefault((row.name.lower(), row.use), row)
    return tuple(found.values())


def _merged_origins(rows: Iterable[Origin], own: set[str]) -> tuple[Origin, ...]:
    """Return origins once for each name. A card that names the model itself as its base says nothing."""
    found: dict[str, Origin] = {}
    for row in rows:
        if row.name not in own or row.sha256 or row.tree:
            found.setdefault(row.name.lower(), row)
    return tuple(found.values())


def _packages(gathered: Gathered, signed: list[Package]) -> tuple[Package, ...]:
    """Return packages once for each name: signed before locked, pinned before asked for, named before imported."""
    found: dict[str, Package] = {}
    rows = [
        Package(name=row.name, version=row.version, specifier=row.specifier, hashes=row.hashes, source=Source("lock", path))
        for path, answer in sorted(gathered.answers.items())
        for row in answer.packages
    ]
    for row in sorted(rows, key=lambda row: (not row.version, not row.hashes)):
        found.setdefault(row.name, row)
    # A signed environment says what was there, not that all of it is needed: versions for what is named, else all of it.
    for row in signed:
        name = normal_name(row.name)
        if name not in found or not found[name].version:
            found[name] = row
    for module, path in gathered.imports.items():
        project = _PROJECTS.get(module, normal_name(module))
        if project and project not in found:
            found[project] = Package(name=project, source=Source("code", path, module))
    return tuple(found[name] for name in sorted(found))
