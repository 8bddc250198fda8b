"""Attacks on privacy beside ART's on one network, and how many queries a copy of a forest takes.

    ./dev bench evaluate privacy                    # all parts: some ten minutes
    ./dev bench evaluate privacy --membership       # or --extraction, --stacking (what shadows cost)
    ./dev bench evaluate privacy --peers=PYTHON     # an interpreter that has ART and torch, instead of an environment of its own

ART runs in an environment of its own (requirements/peers-privacy.txt, under .venv-peers, made on first use). All scores go through
one curve, ours, and all rates have as many non-members as they take. CPU seconds are the processes' own, with one thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import assets
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from stannary.checks.privacy import audit, roc
from stannary.checks.privacy.coarse import Coarse
from stannary.checks.privacy.extraction import extract
from stannary.checks.privacy.membership import AuditOptions
from stannary.checks.privacy.shadows import Plan, TorchFactory, shadow_confidences
from stannary.checks.target.sklearn_model import sklearn_target
from stannary.checks.target.torch_model import TorchTarget

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".venv-peers" / "privacy"
LOCK = ROOT / "requirements" / "peers-privacy.txt"
EPOCHS, RATE, BATCH, GROUP = 60, 1e-3, 64, 8
MEMBERS, TARGETS, SHADOWS, ROUNDS = 1000, 1, 64, 4


def peers() -> Path:
    """Return an interpreter that has ART; its environment is made if it is not there as the file says."""
    for item in sys.argv:
        if item.startswith("--peers="):  # as ./dev passes it on: it takes a word of its own for a part
            return Path(item.partition("=")[2])
    if "--peers" in sys.argv:
        return Path(sys.argv[sys.argv.index("--peers") + 1])
    stamp, wanted, python = HOME / "installed.txt", LOCK.read_text(encoding="utf-8"), HOME / "bin" / "python"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing {LOCK.name} into {HOME.relative_to(ROOT)}", file=sys.stderr, flush=True)
        env = {**os.environ, "PYTHONPATH": ""}
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
        for file in (ROOT / "requirements" / "torch.txt", LOCK):
            subprocess.run([*pip, str(file)], check=True, env=env)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def build() -> torch.nn.Module:
    """Return the reference network; _art_membership.py has the same."""
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def fitted(x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.nn.Module:
    """Train a target by heart."""
    torch.manual_seed(seed)
    net = build()
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    for _ in range(EPOCHS):
        for at in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
            optimizer.step()
    return net.eval()


def beside(net: torch.nn.Module, data: tuple[torch.Tensor, ...], python: Path) -> dict[str, np.ndarray]:
    """Return the scores of ART's attacks."""
    x, y, other_x, other_y = data
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "in.npz", Path(folder) / "out.npz"
        member = (np.arange(len(x)) < MEMBERS).astype(int)
        weights = {f"net.{name}": value.numpy() for name, value in net.state_dict().items()}
        arrays = {"x": x.numpy(), "y": y.numpy(), "other_x": other_x.numpy(), "other_y": other_y.numpy()}
        np.savez(given, member=member, **arrays, **weights)
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        command = [str(python), "-W", "ignore", str(Path(__file__).with_name("_art_membership.py")), str(given), str(found)]
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return dict(np.load(found))


def membership() -> None:
    """Print the table of attacks on membership: the mean over the targets."""
    python = peers()
    x, y = assets.mnist(assets.mnist_files(), "train")
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for number in range(TARGETS):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(number))
        own, other = order[: 2 * MEMBERS], order[2 * MEMBERS : 4 * MEMBERS]
        data = x[own], y[own]
        net = fitted(data[0][:MEMBERS], data[1][:MEMBERS], number)
        with torch.no_grad():
            right = (net(data[0]).argmax(1) == data[1]).double()
        print(
            f"target {number}: right on {right[:MEMBERS].mean():.1%} of members, {right[MEMBERS:].mean():.1%} of others", flush=True
        )
        halves = tuple(tuple(part[at] for part in data) for at in (slice(MEMBERS), slice(MEMBERS, None)))
        factory = TorchFactory(build, epochs=EPOCHS, batch=BATCH, rate=RATE, group=GROUP)
        for shadows, attacks in ((SHADOWS, ("loss", "lira", "lira-offline", "rmia")), (4, ("rmia",))):
            options = AuditOptions(attacks=attacks, shadows=shadows, rates=(0.01,), bootstrap=100)
            found = audit(TorchTarget(net, (1, 28, 28)), *halves, factory, options=options, seed=number)
            for one in found.attacks:
                name = one.attack if one.attack == "loss" else f"{one.attack}, {shadows} shadows"
                rows.setdefault(name, []).append((one.auc.value, one.tpr[0].rate.value, one.cpu_s))
        theirs = beside(net, (*data, x[other], y[other]), python)
        for name, scores in theirs.items():
            if not name.startswith("cpu."):
                mine, rest = (torch.from_numpy(scores[at].astype("float64")) for at in (slice(MEMBERS), slice(MEMBERS, None)))
                area = roc.area(mine, rest, rounds=10).value
                rows.setdefault(name, []).append((area, roc.at_rate(mine, rest, 0.01).rate.value, float(theirs[f"cpu.{name}"])))
    print(f"\n| attack (mean of {TARGETS} targets) | AUC | members found at 1 % | CPU s |\n|---|---|---|---|")
    mean = {name: tuple(np.mean(found, 0)) for name, found in rows.items()}
    for name, (area, hits, seconds) in mean.items():
        print(f"| {name} | {area:.3f} | {hits:.1%} | {seconds:.1f} |")
    best = max((hits, name) for name, (_, hits, _) in mean.items() if name.startswith("ART"))
    lira = mean[f"lira, {SHADOWS} shadows"]
    gain = mean["rmia, 4 shadows"][0] - mean["loss"][0]
    print(f"\nLiRA / best of ART ({best[1]}): {lira[1] / best[0]:.1f}; RMIA 4 - loss, AUC: {gain:.3f}")


def stacking() -> None:
    """Print what a shadow costs in stacks, one by one, and in the plain loop that trained the target: the least of four rounds.

    Of the images as they are, and with 0.1 added to every pixel, so that none is 0 in all of them.
    """
    x, y = assets.mnist(assets.mnist_files(), "train")
    own = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[: 2 * MEMBERS]
    cost: dict[tuple[str, str], float] = {}

    def took(name: tuple[str, str], shadows: int, work: Callable[[], object]) -> None:
        began = time.process_time()
        work()
        cost[name] = min(cost.get(name, float("inf")), (time.process_time() - began) / shadows)

    def loop(plan: Plan, data: tuple[torch.Tensor, torch.Tensor]) -> None:
        for chosen, seed in zip(plan.chosen, plan.seeds, strict=True):
            fitted(data[0][chosen], data[1][chosen], seed % 2**31)(data[0])

    for _ in range(ROUNDS):
        few, many = Plan(len(own), 4, seed=9), Plan(len(own), 16, seed=9)
        for kind, data in (("as they are", (x[own], y[own])), ("no pixel 0", (x[own] + 0.1, y[own]))):
            took((kind, "a plain loop"), 4, partial(loop, few, data))
            for group, plan in ((1, few), (4, many), (GROUP, many), (16, many)):
                factory = TorchFactory(build, epochs=EPOCHS, batch=BATCH, rate=RATE, group=group)
                name = f"stacks of {group}" if group > 1 else "one by one"
                took((kind, name), plan.shadows, partial(shadow_confidences, factory, plan, data))
    print("\n| images | shadows | CPU s each | of a plain loop | of one by one |\n|---|---|---|---|---|")
    for (kind, name), seconds in cost.items():
        loops, ones = cost[kind, "a plain loop"], cost[kind, "one by one"]
        print(f"| {kind} | {name} | {seconds:.3f} | {seconds / loops:.2f} | {seconds / ones:.2f} |")


def extraction() -> None:
    """Print the fidelity of copies of a forest, for exact and for coarse answers."""
    inputs, labels = load_digits(return_X_y=True)
    x = torch.tensor(inputs)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, pool, held = order[:700], order[700:1250], order[1250:]
    forest = RandomForestClassifier(100, random_state=0).fit(inputs[train], labels[train])
    target = sklearn_target(forest, probe=x)
    print(f"\nforest: right on {forest.score(inputs[held], labels[held]):.1%}; {len(pool)} inputs of its kind to ask with")
    print("\n| answers | strategy | queries | fidelity | copy | CPU s |\n|---|---|---|---|---|---|")
    for name, coarse in (
        ("exact", target),
        ("2 decimals", Coarse(target, 2)),
        ("1 decimal", Coarse(target, 1)),
        ("labels", Coarse(target, 0)),
    ):
        found = extract(coarse, x[pool], x[held], strategies=("knockoff", "jbda"))
        for one in found.copies:
            share = one.fidelity
            said = f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"
            print(f"| {name} | {one.strategy} | {one.queries:,} | {said} | {one.surrogate} | {one.cpu_s:.1f} |", flush=True)


def main() -> None:
    """Run the parts that are named, or all."""
    torch.set_num_threads(1)
    parts = {"--membership": membership, "--extraction": extraction, "--stacking": stacking}
    for name in [name for name in parts if name in sys.argv] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
