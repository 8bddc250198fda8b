"""The demo's act with the credit model, from one process that has used threads before, as the demo has: it comes to its end."""

from __future__ import annotations

import csv
import random
import subprocess
import sys

NAMES = ("ID", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0", "BILL_AMT1", "PAY_AMT1")
ACT = """
import sys, torch
from pathlib import Path
from stannary.cli.demo_chain import inside, step
from stannary.cli.demo_credit import credit_act
torch.set_num_threads(2)
torch.ones(600, 600) @ torch.ones(600, 600)  # threads that what is forked off this process would wait for
folder = Path(sys.argv[1])
with inside(folder):
    step("init", "--no-passphrase", quiet=True)
credit_act(folder, sys.argv[2])
"""


def test_a_credit_model_is_attacked_hardened_and_gated(tmp_path):
    drawn = random.Random(1)
    with (tmp_path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES, "default-payment-next-month"])
        for number in range(16_000):
            row = [drawn.randrange(100) for _ in NAMES[1:]]
            late = row[5] + row[6] - row[7] + drawn.gauss(0, 20) > 50
            writer.writerow([number, *row, int(late)])
    place = tmp_path / "demo"
    place.mkdir()
    line = [sys.executable, "-c", ACT, str(place), str(tmp_path / "data.csv")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for said in ("stannary evaluate", "by policy credit", "stannary harden", "paired:", "The policy "):
        assert said in done.stdout, said
