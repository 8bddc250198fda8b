"""The backdoor suite on poisoned and clean networks, beside ART's activation defence and spectral signatures.

    ./dev bench evaluate backdoor                    # some ten CPU minutes
    ./dev bench evaluate backdoor --peers=PYTHON     # an interpreter that has ART and torch, instead of an environment of its own
    ./dev bench evaluate backdoor --no-peers

Networks are trained on 10,000 images of MNIST: by other seeds than those that the scales were set on, and on fewer images; the
detectors see the first 5,000 of them, and patches are sought on 1,000 test images. Whose rows are poisoned is known: an area under
the ROC compares the scores with that. ART runs in the environment of `privacy.py`. CPU seconds are the processes' own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import assets
import numpy as np
import privacy
import torch
from sklearn.metrics import roc_auc_score

from stannary.checks.poisoning.attacks import BadNets, Blended, CleanLabel
from stannary.checks.poisoning.attacks.triggers import OneTarget
from stannary.checks.poisoning.ensemble import Verdict, detect
from stannary.checks.poisoning.view import View
from stannary.checks.target.torch_model import TorchTarget

TRAINED, SEEN, PATCHED, EPOCHS = 10_000, 5000, 1000, 6
FLOOR = 0.95
Samples = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Case:
    """A network: what it was trained on, which rows were poisoned, what was found."""

    name: str
    kind: str
    net: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor
    mask: torch.Tensor
    found: Verdict
    cpu: float
    right: float
    success: float


def fitted(kind: str, x: torch.Tensor, y: torch.Tensor, seed: int) -> torch.nn.Module:
    """Train a network."""
    torch.manual_seed(seed)
    net = assets.classifier(kind)
    steps = EPOCHS * -(-len(x) // 128)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.3)
    for _ in range(EPOCHS):
        for at in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def case(name: str, kind: str, seed: int, attack: OneTarget | None, train: Samples, test: Samples) -> Case:
    """Poison, train and look."""
    own = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(seed))[:TRAINED]
    x, y = train[0][own], train[1][own]
    mask = torch.zeros(len(x), dtype=torch.bool)
    if attack is not None:
        made = attack.poison(x, y)
        x, y, mask = made.x, made.y, made.mask
    net = fitted(kind, x, y, seed)
    target = TorchTarget(net, (1, 28, 28))
    right = float((target.decide(test[0]) == test[1]).double().mean())
    success = 0.0
    if attack is not None:
        victims = attack.victims(*test)
        success = float((target.decide(attack.trigger(test[0][victims])) == attack.target).double().mean())
    began = time.process_time()
    found = detect(View(target, x[:SEEN], y[:SEEN]), (test[0][:PATCHED], test[1][:PATCHED]))
    cpu = time.process_time() - began
    return Case(name, kind, net, x[:SEEN], y[:SEEN], mask[:SEEN], found, cpu, right, success)


def cases(train: Samples, test: Samples) -> list[Case]:
    """Make all of them."""
    made = []
    clean = [("cnn", seed) for seed in range(100, 105)] + [("mlp", seed) for seed in range(105, 108)]
    for number, (kind, seed) in enumerate(clean):
        made.append(case(f"clean {number + 1}", kind, seed, None, train, test))
    surrogate = TorchTarget(made[0].net, (1, 28, 28))
    attacks: list[tuple[str, str, OneTarget]] = [
        ("BadNets 5 %", "cnn", BadNets(target=7, share=0.05, seed=200)),
        ("BadNets 5 %", "cnn", BadNets(target=4, share=0.05, seed=201, corner="top-left")),
        ("BadNets 5 %", "cnn", BadNets(target=8, share=0.05, seed=202)),
        ("BadNets 5 %", "mlp", BadNets(target=2, share=0.05, seed=203)),
        ("BadNets 1 %", "cnn", BadNets(target=9, share=0.01, seed=204)),
        ("blended 0.2, 5 %", "cnn", Blended(target=1, share=0.05, alpha=0.2, seed=205)),
        ("blended 0.1, 5 %", "cnn", Blended(target=6, share=0.05, alpha=0.1, seed=206)),
        ("blended 0.05, 5 %", "cnn", Blended(target=0, share=0.05, alpha=0.05, seed=207)),
        ("blended 0.02, 5 %", "cnn", Blended(target=3, share=0.05, alpha=0.02, seed=208)),
        ("clean label, 5 %", "cnn", CleanLabel(surrogate, BadNets(target=5, size=4), target=5, share=0.05, eps=0.3, seed=209)),
    ]
    for name, kind, attack in attacks:
        made.append(case(name, kind, attack.seed, attack, train, test))
    return made


def area(mask: torch.Tensor, scores: torch.Tensor | np.ndarray) -> float:
    """Return the area under the ROC; rows without a score lie in the middle."""
    values = torch.as_tensor(scores).double()
    return float(roc_auc_score(mask.numpy(), values.nan_to_num(float(values.nanmedian())).numpy()))


def beside(found: list[Case]) -> dict[str, np.ndarray]:
    """Return what ART's detectors say of the poisoned networks."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "in.pt", Path(folder) / "out.npz"
        torch.save({str(at): (one.kind, one.net.state_dict(), one.x, one.y) for at, one in enumerate(found)}, given)
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        command = [str(privacy.peers()), "-W", "ignore", str(Path(__file__).with_name("_art_backdoor.py")), str(given), str(out)]
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
        return dict(np.load(out))


def main() -> None:
    """Print the tables and the goals."""
    torch.set_num_threads(1)
    files = assets.mnist_files()
    made = cases(assets.mnist(files, "train"), assets.mnist(files, "test"))
    print("| network | right | attack succeeds | verdict | score | patch | rows | CPU s |\n|---|---|---|---|---|---|---|---|")
    for one in made:
        by = " | ".join(f"{float(values.max()):.2f}" for values in (one.found.model, one.found.rows))
        success = f"{one.success:.1%}" if bool(one.mask.any()) else ""
        score = f"{one.found.word} | {one.found.score:.2f}"
        print(f"| {one.name}, {one.kind} | {one.right:.1%} | {success} | {score} | {by} | {one.cpu:.1f} |", flush=True)
    poisoned = [one for one in made if bool(one.mask.any())]
    theirs = {} if "--no-peers" in sys.argv else beside(poisoned)
    names = ("clusters", "spectral", "whitened", "strip", "neighbours")
    head = " | ".join(["ensemble", *names, "ART activation defence", "ART spectral signatures"])
    print(f"\n| AUC over rows | {head} |\n|{'---|' * 9}")
    for at, one in enumerate(poisoned):
        values = [area(one.mask, one.found.suspicion), *(area(one.mask, one.found.scores[name]) for name in names)]
        if theirs:
            values += [area(one.mask, theirs[f"{at}/{name}"]) for name in ("activation defence", "spectral signatures/scores")]
        print(f"| {one.name}, {one.kind} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    if theirs:
        spent = [float(value) for name, value in theirs.items() if name.endswith("/cpu")]
        print(f"\nART: {sum(spent) / len(poisoned):.1f} CPU s a network for both")
    least = min(area(one.mask, one.found.suspicion) for one in poisoned if one.name == "BadNets 5 %")
    alarms = [one.found.word for one in made if not bool(one.mask.any())]
    seen = [one.found.word for one in poisoned]
    print(f"BadNets at 5 %: least AUC {least:.4f} (floor {FLOOR})")
    print(f"clean: {alarms.count('alarm')} alarms of {len(alarms)} (floor 0), {alarms.count('inconclusive')} inconclusive")
    print(f"poisoned: {seen.count('alarm')} alarms of {len(seen)}, {seen.count('inconclusive')} inconclusive")
    sys.exit(int(least < FLOOR or "alarm" in alarms))


if __name__ == "__main__":
    main()
