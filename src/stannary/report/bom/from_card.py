"""From a model card to facts: front matter by key, sections by what their headings are about."""

from __future__ import annotations

import re
from typing import Any

from stannary.core.model import Json
from stannary.formats.interface import clip
from stannary.report.bom.inventory import Dataset, Facts, Licence, Measured, Origin, Source
from stannary.report.bom.licences import licence
from stannary.report.bom.reading.answer import Card, Section

__all__ = ["OWN", "SECTIONS", "CardFacts", "read_card"]

_ADDRESS = "https://huggingface.co/"
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?")
# Front-matter key → field. The first of several names that is there.
_KEYS: dict[str, tuple[str, ...]] = {
    "name": ("model_name", "model_id", "name"),
    "task": ("pipeline_tag",),
    "library": ("library_name",),
    "languages": ("language",),
    "tags": ("tags",),
    "version": ("version", "model_version"),
    "author": ("author", "authors", "model_creator"),
    "supplier": ("supplier", "organization", "developers"),
    "description": ("description", "model_summary"),
    "homepage": ("homepage", "website"),
    "repository": ("repo", "repository", "repo_url"),
    "paper": ("paper", "paper_url", "arxiv"),
    "distribution": ("download_url", "download"),
    "stated_metrics": ("metrics",),
    "released": ("release_date", "date_published", "date"),
}
# What no hub has a key for is said in a table of our own: `aibom: {domain: finance}`.
OWN: dict[str, str] = {
    "approach": "the kind of learning: supervised, unsupervised, reinforcement-learning, semi-supervised or self-supervised",
    "domain": "the field of application",
    "autonomy": "how autonomous it is: yes, no, or words",
    "standard_compliance": "standards and regulations that it complies with",
    "safety_risk": "the outcome of a safety risk assessment: serious, high, medium or low, and why",
    "sensitive_data": "whether personal data was used: yes, no, or words",
    "decision_threshold": "the thresholds at which scores become decisions",
    "explainability": "how its results can be explained",
    "preprocessing": "how the data was prepared",
    "training": "how it was trained",
    "application": "how it is meant to be used in an application",
    "energy": "energy of training, in kWh",
    "hyperparameter": "a table of hyperparameters",
    "users": "who it is made for",
    "fairness": "groups at risk, harms and benefits",
    "jurisdictions": "where it is deployed, as country codes",
    "ndpa": "compliance with the Nigeria Data Protection Act",
    "nfiu": "compliance with the rules of the Nigerian Financial Intelligence Unit",
    "popia": "compliance with South Africa's POPIA",
    "kdpa": "compliance with Kenya's Data Protection Act",
    "gdpa": "compliance with Ghana's Data Protection Act",
    "regulatory_contact": "whom a regulator asks",
}
# Field → what a heading says that is about it; the order decides which of them a heading belongs to.
SECTIONS: tuple[tuple[str, str], ...] = (
    ("out_of_scope", r"out.of.scope|misuse|malicious use|prohibited"),
    ("environment", r"environment|carbon|co2|emission|energy"),
    ("explainability", r"explainab|interpretab"),
    ("fairness", r"fairness"),
    ("safety_risk", r"safety|risk assessment|red.?team"),
    ("ethics", r"ethic|\bbias\b|\brisks?\b|responsib"),
    ("limitations", r"limitation|caveat|known issue|weakness"),
    ("preprocessing", r"pre-?processing"),
    ("hyperparameters", r"hyper-?parameter"),
    ("training_data", r"training data|dataset"),
    ("training", r"training|fine-?tuning"),
    ("evaluation", r"evaluation|benchmark|results|performance"),
    ("users", r"intended (?:users|audience)|primary users|who (?:can|should) use"),
    ("intended_use", r"intended use|direct use|downstream use|\buses?\b|use.?cases?|application"),
)
_HEADINGS = tuple((field, re.compile(pattern, re.IGNORECASE)) for field, pattern in SECTIONS)
_RELATIONS = {
    "finetune": "fine-tuned-from", "adapter": "fine-tuned-from", "quantized": "quantised-from", "merge": "merged-from",
    "converted": "converted-from", "distill": "trained-from",
}  # fmt: skip


class CardFacts:
    """What a card gives beside facts about the model: data, origins, licences, results."""

    def __init__(self) -> None:
        self.datasets: list[Dataset] = []
        self.origins: list[Origin] = []
        self.licences: list[Licence] = []
        self.metrics: list[Measured] = []


def read_card(card: Card, where: str, facts: Facts) -> CardFacts:
    """Say what a card says, after what is said already."""
    found = CardFacts()
    front = card.front

    def source(key: str) -> Source:
        return Source("card", where, key)

    for field, keys in _KEYS.items():
        key = next((key for key in keys if front.get(key)), None)
        if key is not None:
            facts.say(field, _listed(front[key]) if field in ("languages", "tags") else _one(front[key]), source(key))
    _own(front.get("aibom"), where, facts)
    _licences(front, where, found)
    for name in _listed(front.get("datasets")):
        found.datasets.append(Dataset(name=name, use="training", url=_address(name, "datasets/"), source=source("datasets")))
    _origins(front, where, found)
    _emissions(front.get("co2_eq_emissions"), where, facts)
    for metric in card.metrics:
        found.metrics.append(Measured(metric=metric.name, value=metric.value, slice=metric.dataset, source=source("model-index")))
        facts.say("task", metric.task.lower().replace(" ", "-"), source("model-index"))
    named = dict.fromkeys(metric.dataset for metric in card.metrics if metric.dataset)
    found.datasets += [Dataset(name=name, use="evaluation", source=source("model-index")) for name in named]
    facts.say("title", card.title, source("title"))
    facts.say("description", card.description, source("text"))
    _sections(card.sections, where, facts)
    for link in card.links:
        if re.match(r"https?://(?:www\.)?(?:arxiv\.org|doi\.org|aclanthology\.org|openreview\.net)/", link):
            facts.say("paper", link, source("text"))
        elif re.match(r"https?://(?:www\.)?(?:github\.com|gitlab\.com|codeberg\.org)/[\w.-]+/[\w.-]+$", link.removesuffix(".git")):
            facts.say("repository", link, source("text"))
    for tag in _listed(front.get("tags")):
        if tag.startswith("arxiv:"):
            facts.say("paper", f"https://arxiv.org/abs/{tag.removeprefix('arxiv:')}", source("tags"))
    return found


def _sections(sections: tuple[Section, ...], where: str, facts: Facts) -> None:
    """Say the sections. One under a heading that says nothing belongs to none; the fields keep the first of several."""
    for section in sections:
        field = next((field for field, pattern in _HEADINGS if pattern.search(section.title)), None)
        if field is not None:
            facts.say(field, section.text, Source("card", where, f"line {section.line}"))


def _own(table: Any, where: str, facts: Facts) -> None:  # noqa: ANN401 - what a card holds
    for key, value in table.items() if isinstance(table, dict) else ():
        if key in OWN:
            facts.say(
                key, value if isinstance(value, (dict, list)) else clip(str(value), 1000), Source("card", where, f"aibom.{key}")
            )


def _licences(front: dict[str, Any], where: str, found: CardFacts) -> None:
    names, named = _listed(front.get("license")), _one(front.get("license_name"))
    if named and (not names or names == ["other"]):
        names = [named]
    for name in names:
        made = licence(name, Source("card", where, "license"), url=_one(front.get("license_link")))
        if made is not None:
            found.licences.append(made)


def _origins(front: dict[str, Any], where: str, found: CardFacts) -> None:
    said = _one(front.get("base_model_relation")).lower()
    several = _listed(front.get("base_model"))
    tags = {tag.lower() for tag in _listed(front.get("tags"))}
    relation = _RELATIONS.get(said) or ("merged-from" if len(several) > 1 and {"merge", "mergekit"} & tags else "fine-tuned-from")
    for name in several:
        found.origins.append(Origin(name=name, relation=relation, url=_address(name), source=Source("card", where, "base_model")))


def _emissions(table: Any, where: str, facts: Facts) -> None:  # noqa: ANN401 - what a card holds
    rows = table if isinstance(table, dict) else {"emissions": table}
    try:  # grams, as the hub documents it
        facts.say("emissions", float(str(rows.get("emissions"))), Source("card", where, "co2_eq_emissions"))
    except ValueError:
        return
    for field, key in (("hardware", "hardware_used"), ("region", "geographical_location"), ("emissions_source", "source")):
        facts.say(field, _one(rows.get(key)), Source("card", where, f"co2_eq_emissions.{key}"))


def _address(name: str, prefix: str = "") -> str:
    """Return the hub's address of something named in a card, empty when it is no such name."""
    if name.startswith(("https://", "http://")):
        return name
    return f"{_ADDRESS}{prefix}{name}" if _NAME.fullmatch(name) else ""


def _one(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(_one(item) for item in value[:20])
    return clip(value, 1000) if isinstance(value, str) and value not in ("null", "~", "None") else ""


def _listed(value: Json) -> list[str]:
    rows = value if isinstance(value, list) else [value]
    return [clip(row, 200) for row in rows[:500] if isinstance(row, str) and row not in ("", "null", "~")]
