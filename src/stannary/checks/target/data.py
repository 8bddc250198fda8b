"""Evaluation data: labelled inputs, whatever file they come from."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from stannary.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from stannary.checks.target.data_table import Encoding

__all__ = ["Dataset", "open_data"]

_ALONE = 0.05  # of the different samples: that are there once, in data that is not a file repeated


@dataclass(frozen=True)
class Dataset:
    """Labelled inputs.

    Args:
        x: `(n, *shape)`: float64 for tables, float32 in [0, 1] for pictures, float32 for other arrays.
        y: `(n,)` int64: index into `label_names`.
        names: of the columns of a table, after encoding; empty for others.
        digest: SHA-256 of the file, or of the names and contents of a folder: what identifies the data.
        label_names: as they stand in the data, sorted, numbers by their value.
        kind: `table`, `image` or `array`.
        source: the file.
        dropped: rows that were left out, as a value was missing.
        encodings: how columns of words became numbers.
        raw_names: the columns as they stand in the file, without the label.
        rows: `(n,)` int64: which row of the data each sample is.
    """

    x: torch.Tensor
    y: torch.Tensor
    names: tuple[str, ...]
    digest: str
    label_names: tuple[str, ...]
    kind: Literal["table", "image", "array"] = "table"
    source: str = ""
    dropped: int = 0
    encodings: tuple[Encoding, ...] = ()
    raw_names: tuple[str, ...] = ()
    rows: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def __post_init__(self) -> None:
        """Number the samples."""
        if len(self.rows) != len(self.x):
            object.__setattr__(self, "rows", torch.arange(len(self.x)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know: that rows were left out, where some were."""
        if not self.dropped:
            return ()
        return (f"{self.dropped} of {len(self) + self.dropped} rows were left out of the data: a value is missing, or not finite",)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.x.shape[1:])

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return len(self.label_names)

    def repeats(self) -> str:
        """Tell that nearly all samples are there more than once: "" where they are not.

        Rows that fall together by chance, as those of a table with few columns do, are draws of their own; of a file that holds
        each sample several times an interval knows nothing, and is too narrow.
        """
        found: dict[bytes, int] = {}
        for row in self.x.cpu().contiguous().numpy():
            key = hashlib.sha256(row.tobytes()).digest()
            found[key] = found.get(key, 0) + 1
        alone = sum(count == 1 for count in found.values())
        if not found or alone > _ALONE * len(found):
            return ""
        return f"the data holds {len(found)} different samples, and {len(self)} in all: of repetitions intervals are too narrow"

    def take(self, index: torch.Tensor) -> Dataset:
        """Return the samples that `index` `(m,)` names."""
        return replace(self, x=self.x[index], y=self.y[index], rows=self.rows[index])

    def sample(self, n: int, seed: int) -> Dataset:
        """Return `n` samples (all, if there are no more), each class with its share, in an order of `seed` alone.

        Shares are rounded by the largest remainder; of a class that has any, none is left out while there is room.

        Raises:
            UsageError: `n` is not positive.
        """
        if n < 1:
            msg = f"a sample of {n} is none"
            raise UsageError(msg)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        if n >= len(self):
            return self.take(order)
        wanted = _shares(torch.bincount(self.y, minlength=self.classes).tolist(), n)
        labels = self.y[order]
        kept = torch.cat([order[labels == label][:count] for label, count in enumerate(wanted)])
        return self.take(kept[torch.randperm(len(kept), generator=generator)])

    def aligned(self, classes: int, labels: tuple[str, ...] = ()) -> Dataset:
        """Return the data with `y` numbered as a model does that has `classes` outputs, called `labels` where it names them.

        Raises:
            InputError: the data has a label that the model does not know.
        """
        if labels:
            known = {_plain(name): at for at, name in enumerate(labels)}
            index = [known.get(_plain(name), -1) for name in self.label_names]
        elif all(name.isdigit() and int(name) < classes for name in self.label_names):
            index, labels = [int(name) for name in self.label_names], tuple(map(str, range(classes)))
        elif len(self.label_names) == classes:
            return self
        else:
            msg = f"the data has the labels {_few(self.label_names)}, the model has {classes} outputs without names"
            raise InputError(msg, where=self.source, help="number the labels 0, 1, ... as the model does")
        unknown = [name for name, at in zip(self.label_names, index, strict=True) if at < 0]
        if unknown:
            msg = f"the data has the labels {_few(tuple(unknown))}, which the model does not know (it has {_few(labels)})"
            raise InputError(msg, where=self.source, help="is this the right column? --target names another")
        return replace(self, y=torch.tensor(index)[self.y], label_names=labels)

    def frame(self, x: torch.Tensor) -> Any:  # noqa: ANN401 - a pandas.DataFrame
        """Return inputs `(n, columns)` as a pandas DataFrame with the columns of the file, words as words."""
        from stannary.checks.target.data_table import decode

        return decode(x, self.names, self.raw_names, self.encodings)


def open_data(
    path: str | Path,
    *,
    target: str = "",
    labels: str | Path | None = None,
    encode: Literal["onehot", "ordinal"] = "onehot",
    missing: Literal["drop", "refuse"] = "drop",
    most_bytes: int = 4 << 30,
) -> Dataset:
    """Read labelled data from CSV, TSV, Parquet, `.npy`, `.npz`, MNIST's IDX (also gzipped) or a folder of pictures.

    What a file is, its content says. Nothing in it is executed: arrays of Python objects are refused.

    Args:
        path: the file, or a folder: of pictures, one folder a class, or of IDX files.
        target: the column (or array) with the labels; by default the last column.
        labels: a second file with the labels, for arrays and IDX.
        encode: how columns of words become numbers.
        missing: whether rows with a missing value are dropped (and counted) or refused.
        most_bytes: refuse what is larger.

    Raises:
        UsageError: there is no such file.
        InputError: it is no such data, with the reason.
    """
    from stannary.checks.target.data_read import read

    raw = read(Path(path), target=target, labels=Path(labels) if labels else None, most_bytes=most_bytes)
    if raw.table is not None:
        from stannary.checks.target.data_table import encode_table

        return encode_table(raw, target, encode, missing)
    return _of_arrays(raw, missing)


def _of_arrays(raw: Any, missing: str) -> Dataset:  # noqa: ANN401 - data_read.Raw
    from stannary.checks.target.data_table import label_index

    x, y = raw.x, raw.y
    where = raw.where
    if len(x) != len(y):
        msg = f"{len(x)} inputs and {len(y)} labels"
        raise InputError(msg, where=where)
    if not len(x) or not math.prod(x.shape[1:]):
        msg = f"there are no inputs: the array has shape {tuple(x.shape)}"
        raise InputError(msg, where=where)
    table = x.ndim == 2 and raw.kind != "image"  # noqa: PLR2004 - rows and columns
    tensor = torch.from_numpy(x.astype("float64" if table else "float32"))
    good = tensor.flatten(1).isfinite().all(1)
    if raw.finite is not None:
        good &= torch.from_numpy(raw.finite)
    dropped = int((~good).sum())
    if dropped and missing == "refuse":
        msg = f"{dropped} of {len(x)} rows have NaN or infinite values, the first in row {int((~good).int().argmax())}"
        raise InputError(msg, where=where, help="clean the data, or drop such rows: --missing drop")
    if dropped == len(x):
        msg = "every row has NaN or infinite values"
        raise InputError(msg, where=where)
    tensor = tensor[good]
    if raw.kind == "image" and raw.bytes_:
        tensor = tensor / 255
    kept = [label for label, keep in zip(y, good.tolist(), strict=True) if keep]
    index, names = label_index(kept, where)
    columns = raw.names or (tuple(f"x{at}" for at in range(x.shape[1])) if table else ())
    kind: Literal["table", "image", "array"] = "table" if table else "image" if raw.kind == "image" else "array"
    rows = torch.arange(len(x))[good]
    return Dataset(tensor, index, columns, raw.digest, names, kind, where, dropped, raw_names=columns, rows=rows)


def _shares(counts: list[int], n: int) -> list[int]:
    """Return how many of each class make up `n`, by the largest remainder; at least one of each while there is room."""
    total = sum(counts)
    exact = [count * n / total for count in counts]
    shares = [
        min(count, max(math.floor(part), 1 if n >= len(counts) and count else 0)) for part, count in zip(exact, counts, strict=True)
    ]
    by_need = sorted(range(len(counts)), key=lambda at: (shares[at] - exact[at], at))
    while sum(shares) < n:
        at = min((at for at in by_need if shares[at] < counts[at]), key=lambda at: (shares[at] - exact[at], at))
        shares[at] += 1
    while sum(shares) > n:
        at = max((at for at in by_need if shares[at] > 1), key=lambda at: (shares[at] - exact[at], -at))
        shares[at] -= 1
    return shares


def _plain(name: str) -> str:
    """Return a label such that 1, 1.0 and True are the same."""
    if name in ("True", "False"):
        return "1" if name == "True" else "0"
    try:
        value = float(name)
    except ValueError:
        return name
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


def _few(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown  # noqa: PLR2004 - as many as one reads
