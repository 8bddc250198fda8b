"""Tables into numbers: labels, columns of words, missing values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from stannary.checks.target.data import Dataset
from stannary.checks.target.domain import Group
from stannary.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stannary.checks.target.data_read import Raw

__all__ = ["Encoding", "decode", "encode_table", "groups_of", "label_index"]

_MOST_LABELS = 1000
_MOST_WORDS = 1000
_FEW_ROWS_A_LABEL = 2


@dataclass(frozen=True)
class Encoding:
    """How a column of words became numbers: `columns` (one, or one for each word), `words` in their order."""

    name: str
    kind: Literal["onehot", "ordinal"]
    words: tuple[str, ...]
    columns: tuple[str, ...]


def encode_table(raw: Raw, target: str, encode: Literal["onehot", "ordinal"], missing: str) -> Dataset:
    """Return a table as a dataset. Raises InputError."""
    table = raw.table or {}
    where = raw.where
    target = target or list(table)[-1]
    if target not in table:
        msg = f"there is no column {target!r} (there are {', '.join(list(table)[:20])})"
        raise InputError(msg, where=where, help="--target names the column with the labels")
    if len(table) < 2:  # noqa: PLR2004 - features and label
        msg = "there is no column but the labels"
        raise InputError(msg, where=where)
    rows = len(table[target])
    if not rows:
        msg = "the table has no rows"
        raise InputError(msg, where=where)
    good = np.ones(rows, dtype=bool)
    first = ""
    for name, column in table.items():
        present = np.isfinite(column) if isinstance(column, np.ndarray) else np.array([cell is not None for cell in column])
        if not first and not present.all():
            first = f"column {name!r}, row {int((~present).argmax()) + 1}"
        good &= present
    dropped = rows - int(good.sum())
    if dropped and missing == "refuse":
        msg = f"{dropped} of {rows} rows have a missing or infinite value, the first in {first}"
        raise InputError(msg, where=where, help="clean the data, or drop such rows: --missing drop")
    if dropped == rows:
        msg = f"every row has a missing or infinite value, the first in {first}"
        raise InputError(msg, where=where)
    parts, names, encodings = [], [], []
    raw_names = tuple(name for name in table if name != target)
    for name in raw_names:
        column = table[name]
        if isinstance(column, np.ndarray):
            parts.append(column[good, None])
            names.append(name)
            continue
        block, encoding = _encoded(name, [cell for cell, keep in zip(column, good, strict=True) if keep], encode, where)
        parts.append(block)
        names += encoding.columns
        encodings.append(encoding)
    labels = (
        table[target][good].tolist()
        if isinstance(table[target], np.ndarray)
        else [c for c, keep in zip(table[target], good, strict=True) if keep]
    )
    index, label_names = label_index(labels, where, target)
    x = torch.from_numpy(np.concatenate(parts, 1).astype(np.float64))
    at = torch.from_numpy(np.flatnonzero(good))
    return Dataset(x, index, tuple(names), raw.digest, label_names, "table", where, dropped, tuple(encodings), raw_names, at)


def _encoded(name: str, cells: list[str], encode: Literal["onehot", "ordinal"], where: str) -> tuple[Any, Encoding]:
    words = tuple(sorted(set(cells)))
    if len(words) > _MOST_WORDS:
        msg = f"column {name!r} has {len(words)} different words: a name or an identifier, not a category"
        raise InputError(msg, where=where, help=f"leave the column out; if the model reads texts: --text {name}")
    at = {word: index for index, word in enumerate(words)}
    codes = np.array([at[cell] for cell in cells])
    if encode == "ordinal":
        return codes[:, None].astype(np.float64), Encoding(name, "ordinal", words, (name,))
    return np.eye(len(words))[codes], Encoding(name, "onehot", words, tuple(f"{name}={word}" for word in words))


def groups_of(encodings: Sequence[Encoding]) -> list[Group]:
    """Return the one-hot groups that an encoding made, for `infer_domain`."""
    return [Group(one.name, one.columns) for one in encodings if one.kind == "onehot" and len(one.columns) > 1]


def label_index(labels: list[Any], where: str, target: str = "") -> tuple[torch.Tensor, tuple[str, ...]]:
    """Return labels as numbers `(n,)` and their names, sorted.

    Raises:
        InputError: there is one class only, or so many that the labels are no classes.
    """
    found = sorted(set(labels), key=lambda label: (isinstance(label, str), label))
    what = f"column {target!r}" if target else "the labels"
    if len(found) < 2:  # noqa: PLR2004 - classes
        msg = f"{what}: there is one class only ({found[0]!r}): nothing can be evaded"
        fix = "--target names the column with the labels" if target else "give samples of two classes at least"
        raise InputError(msg, where=where, help=fix)
    fractions = any(isinstance(label, float) and label != math.floor(label) for label in found)
    many = len(found) > _MOST_LABELS or len(found) * _FEW_ROWS_A_LABEL > max(len(labels), 20)
    if (fractions and len(found) > 20) or many:  # noqa: PLR2004 - 0.5 and the like may be classes
        msg = f"{what}: {len(found)} different values in {len(labels)} rows are no classes; models of numbers are not evaluated"
        raise InputError(msg, where=where, help="--target names the column with the labels")
    at = {label: index for index, label in enumerate(found)}
    return torch.tensor([at[label] for label in labels]), tuple(map(_name, found))


def _name(label: Any) -> str:  # noqa: ANN401 - number, text or bytes
    if isinstance(label, bytes):
        return label.decode("utf-8", "replace")
    return str(int(label)) if isinstance(label, float) and label == math.floor(label) else str(label)


def decode(x: torch.Tensor, names: Sequence[str], raw_names: Sequence[str], encodings: Sequence[Encoding]) -> Any:  # noqa: ANN401 - a pandas.DataFrame
    """Return a DataFrame with the columns `raw_names`: words where an encoding made numbers of them."""
    import pandas as pd

    array = x.detach().cpu().numpy()
    index = {name: at for at, name in enumerate(names)}
    by = {one.name: one for one in encodings}
    columns: dict[str, Any] = {}
    for name in raw_names:
        one = by.get(name)
        if one is None:
            columns[name] = array[:, index[name]]
        else:
            block = array[:, [index[column] for column in one.columns]]
            codes = block.argmax(1) if one.kind == "onehot" else np.clip(np.rint(block[:, 0]), 0, len(one.words) - 1).astype(int)
            columns[name] = np.asarray(one.words, dtype=object)[codes]
    return pd.DataFrame(columns)
