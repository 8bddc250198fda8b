"""Labelled texts: a column of a table, whatever file it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stannary.checks.target.data import Dataset
from stannary.checks.target.data_read import read
from stannary.checks.target.data_table import label_index
from stannary.core.errors import InputError

__all__ = ["Texts", "open_texts"]


@dataclass(frozen=True)
class Texts:
    """Texts with labels.

    Args:
        texts: all that were read, in their order.
        data: their labels; its inputs `(n, 1)` are places in `texts`, so that samples are drawn and labels numbered as of any data.
        column: the name of their column.
    """

    texts: tuple[str, ...]
    data: Dataset
    column: str

    def chosen(self) -> list[str]:
        """Return the texts of the samples of `data`, in their order."""
        return [self.texts[int(at)] for at in self.data.x[:, 0].tolist()]

    def over(self, data: Dataset) -> Texts:
        """Return these texts with other samples."""
        return replace(self, data=data)


def open_texts(path: str | Path, column: str, *, target: str = "", most_bytes: int = 4 << 30) -> Texts:
    """Read texts and their labels from CSV, TSV, JSON Lines or Parquet; rows without a text or a label are left out.

    Args:
        path: the file.
        column: with the texts.
        target: the column with the labels; by default the last one that is not `column`.
        most_bytes: refuse what is larger.

    Raises:
        UsageError: there is no such file.
        InputError: it is no such table, or the columns are not there.
    """
    raw = read(Path(path), target="", labels=None, most_bytes=most_bytes)
    table, where = raw.table, raw.where
    if table is None:
        msg = "this is no table: texts are a column of one"
        raise InputError(msg, where=where)
    target = target or next((name for name in reversed(table) if name != column), "")
    for name, what in ((column, "--text names the column with the texts"), (target, "--target names the column with the labels")):
        if name not in table:
            msg = f"there is no column {name!r} (there are {', '.join(list(table)[:20])})"
            raise InputError(msg, where=where, help=what)
    if isinstance(table[column], np.ndarray) or column == target:
        msg = f"column {column!r} has {'the labels' if column == target else 'numbers'}, not texts"
        raise InputError(msg, where=where, help="--text names the column with the texts")
    texts, labels = table[column], table[target]
    kept = [at for at, text in enumerate(texts) if text is not None and text.strip() and _is_label(labels[at])]
    if not kept:
        msg = "no row has both a text and a label"
        raise InputError(msg, where=where)
    y, names = label_index([labels[at] for at in kept], where, target)
    data = Dataset(
        torch.arange(len(kept), dtype=torch.float64)[:, None],
        y,
        (),
        raw.digest,
        names,
        "array",
        where,
        dropped=len(texts) - len(kept),
        raw_names=(column,),
        rows=torch.tensor(kept),
    )
    return Texts(tuple(texts[at] for at in kept), data, column)


def _is_label(label: Any) -> bool:  # noqa: ANN401 - a cell
    return label is not None and not (isinstance(label, float) and not np.isfinite(label))
