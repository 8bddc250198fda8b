"""The figures of Madry and of TRADES on MNIST under AutoAttack, 88.50 and 92.76, by networks that `stannary.harden` trains.

    ./dev bench evaluate madry                          # trains both, then measures: some two CPU hours, resumed where stopped
    ./dev bench evaluate madry --nets=trades --samples=100 --drawn=1000

Radius 0.3 in linf. A network of two strided convolutions (32 and 64 channels of 4x4) and two linear layers is trained on the 60,000
images in stages, each one call of the library; TRADES goes on from the network of `madry`, which takes it fewer epochs. Products
are made in bfloat16, without which it takes twice the time. What is judged is the same network in float32, on the first N (500)
test images, by the preset `standard` and by AutoAttack, which shares no code with it (standard.py); and on `--drawn` images of the
10,000 (none), drawn with seed 0, by AutoAttack alone: the first images are not like all. The published figures are those of larger
networks, on all 10,000.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assets
import evasion
import standard

EPS = 0.3
PUBLISHED = {"madry": 88.50, "trades": 92.76}  # Croce and Hein 2020, table 2


@dataclass(frozen=True)
class Stage:
    """One call of the library."""

    epochs: int
    rate: float
    warmup: int = 0
    steps: int = 10


STAGES = {
    "madry": (Stage(4, 1e-3, 4), Stage(4, 1e-3), Stage(4, 7e-4)),
    "trades": (Stage(9, 7e-4), Stage(6, 3e-4)),
}
FROM = {"trades": "madry"}  # what training begins with


def network() -> Any:
    """Return the network, untrained: 436,202 parameters."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 7 * 7, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def quick(net: Any) -> Any:
    """Return the network with its products in bfloat16 and channels last, on the same parameters."""
    import torch

    class Quick(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return self.net(x.contiguous(memory_format=torch.channels_last)).float()

    return Quick()


def train(name: str, home: Path) -> tuple[Any, dict[str, Any]]:
    """Return the trained network and what its training took; each stage is kept as it ends."""
    import torch

    from stannary.harden.adversarial import adversarial_training, trades
    from stannary.harden.interface import Settings

    method = {"madry": adversarial_training, "trades": trades}[name]
    x, y = assets.mnist(assets.mnist_files(), "train")
    torch.manual_seed(0)
    net = network().to(memory_format=torch.channels_last)
    path = home / f"{name}-training.pt"
    said: dict[str, Any] = {"stages": 0, "cpu": 0.0}
    if name in FROM:
        before, took = train(FROM[name], home)
        net.load_state_dict(before.state_dict())
        said["cpu"] = took["cpu"]
    if path.exists():
        said = torch.load(path, weights_only=True)
        net.load_state_dict(said.pop("net"))
    for number, stage in list(enumerate(STAGES[name]))[said["stages"] :]:
        started = time.process_time()
        settings = Settings(
            eps=EPS, steps=stage.steps, epochs=stage.epochs, rate=stage.rate, seed=number, more={"warmup": stage.warmup, "beta": 6}
        )
        method(quick(net), x, y, settings)
        said = {"stages": number + 1, "cpu": said["cpu"] + time.process_time() - started}
        fresh = path.with_suffix(".new")
        torch.save({**said, "net": net.state_dict()}, fresh)
        fresh.replace(path)
        print(f"{name}: stage {number + 1} of {len(STAGES[name])}, {said['cpu']:.0f} CPU s so far", file=sys.stderr, flush=True)
    return net.to(memory_format=torch.contiguous_format).eval(), said


def drawn(bench: evasion.Bench, net: Any, count: int, piece: int) -> int:
    """Return how many of `count` test images, drawn from all, the network stands on against AutoAttack."""
    import torch

    attack = standard.contenders(bench, net, EPS, piece)["AutoAttack"]
    stood = 0
    for rows in torch.randperm(len(bench.x), generator=torch.Generator().manual_seed(0))[:count].split(piece):
        x, y = bench.x[rows], bench.y[rows]
        stood += int(bench.left(net, x, attack(x, y).reshape(x.shape), y, "linf", EPS).sum())
    return stood


def main(names: list[str], samples: int, piece: int, more: int) -> None:
    """Train, attack, and print both."""
    bench, lines = evasion.Bench(()), []
    for name in names:
        net, said = train(name, assets.HOME)
        clean = float((net(bench.x).argmax(1) == bench.y).double().mean())
        kept = standard.measure(bench, name, samples, piece)
        rows = standard.report(name, kept)
        evasion.table(
            name, "network, radius | who | samples | CPU s | of AutoAttack's | stands, with its interval | against it", rows
        )
        whos = ("AutoAttack", *standard.OURS)
        worst = sum(all(stood) for at in kept[whos[0]] for stood in zip(*(kept[who][at][1] for who in whos), strict=True))
        others = f"{drawn(bench, net, more, piece) / more:.1%}" if more else ""
        lines.append(f"{name} | {said['cpu']:.0f} | {clean:.1%} | {worst / samples:.1%} | {others} | {PUBLISHED[name]}")
    evasion.table("Madry and TRADES", f"by | training, CPU s | right | stands against all | of {more} drawn | published", lines)


if __name__ == "__main__":
    standard.inside(__file__)
    sizes = (int(standard.option(name, default)) for name, default in (("samples", "500"), ("piece", "100"), ("drawn", "0")))
    main(standard.option("nets", "madry,trades").split(","), *sizes)
