"""From training code to the inventory: data, origins, hyperparameters. What papers and evidence say counts first."""

from __future__ import annotations

import posixpath
import re
from typing import Literal

from stannary.report.bom.inventory import Dataset, Facts, Origin, Source
from stannary.report.bom.reading.answer import Named, Training
from stannary.report.bom.reading.gather import Gathered

__all__ = ["read_code"]

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_ADDRESS = "https://huggingface.co/"


def read_code(gathered: Gathered, facts: Facts) -> tuple[list[Dataset], list[Origin]]:
    """Say hyperparameters, and return data and origins, the shallowest files first."""
    files = {row.path: row.sha256 for row in gathered.files}
    folders = {path[: path.index("/")] for path in files if "/" in path}
    datasets: list[Dataset] = []
    origins: list[Origin] = []
    trained = [path for path, answer in gathered.answers.items() if answer.training is not None]
    for path in sorted(trained, key=lambda row: (row.count("/"), row)):
        said = gathered.answers[path].training or Training()
        datasets += [_dataset(row, "training", path, files) for row in said.data]
        datasets += [_dataset(row, "evaluation", path, files) for row in said.held_back]
        for row in said.bases:
            if _NAME.fullmatch(row.name) and row.name.split("/")[0] not in folders and row.name not in files:
                url = f"{_ADDRESS}{row.name}"
                source = Source("code", path, f"line {row.line}")
                origins.append(Origin(name=row.name, relation="fine-tuned-from", url=url, source=source))
        for name, row in said.parameters.items():
            facts.say("hyperparameter", {name: row.name}, Source("code", path, f"line {row.line}"))
    return datasets, origins


def _dataset(row: Named, use: Literal["training", "evaluation"], path: str, files: dict[str, str]) -> Dataset:
    """Return data by its name: a file of the artifact with its digest, something on the hub, or only a name."""
    source = Source("code", path, f"line {row.line}")
    for folder in ("", path.rpartition("/")[0]):
        at = posixpath.normpath(posixpath.join(folder, row.name))
        if at in files:
            return Dataset(name=at, use=use, sha256=files[at], source=source)
    name = row.name
    url = name if name.startswith(("https://", "http://")) else f"{_ADDRESS}datasets/{name}" if _hub(name) else ""
    return Dataset(name=name, use=use, url=url, source=source)


def _hub(name: str) -> bool:
    """Tell whether a name is `OWNER/NAME` as the hub has them, not a path."""
    return _NAME.fullmatch(name) is not None and "/" in name and not re.search(r"\.\w{1,8}$", name)
