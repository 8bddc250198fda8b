"""Five ways to hide the gradients of a network, each of which only looks robust, for the report on masked gradients.

Each wraps the plain network of `assets.py` (those that encode their input have a first layer of their own and are trained).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import assets
import torch

__all__ = ["MASKED", "masked"]


class Jpeg(torch.nn.Module):
    """The input goes through the quantised cosine transform of eight by eight blocks, as JPEG's luminance at quality 50 does."""

    TABLE = (
        (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
        (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
        (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
    )  # fmt: skip

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net
        n = torch.arange(8.0)
        basis = torch.cos((2 * n[None] + 1) * n[:, None] * math.pi / 16) * math.sqrt(0.25)
        basis[0] /= math.sqrt(2)
        self.register_buffer("basis", basis)
        self.register_buffer("table", torch.tensor(self.TABLE) / 255)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the image as it is after compression."""
        side = x.shape[2]
        padded = torch.nn.functional.pad(x, (0, -side % 8, 0, -side % 8))
        tiles = padded.unfold(2, 8, 8).unfold(3, 8, 8)
        cosines = self.basis @ tiles @ self.basis.T
        tiles = self.basis.T @ (torch.round(cosines / self.table) * self.table) @ self.basis
        image = tiles.permute(0, 1, 2, 4, 3, 5).reshape(padded.shape)[:, :, :side, :side]
        return self.net((torch.round(image.clamp(0, 1) * 15) / 15).clamp(0, 1))


class Hot(torch.nn.Module):
    """Probabilities of a softmax at a temperature of a thousandth: one-hot, in float32."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities."""
        return (self.net(x) / 1e-3).softmax(1)


class Resized(torch.nn.Module):
    """The image is scaled to a random size and put at a random place, each time anew (Xie et al. 2018)."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of one draw."""
        full = x.shape[2]
        side = int(torch.randint(full - 6, full + 1, ()))
        small = torch.nn.functional.interpolate(x, (side, side), mode="bilinear")
        top, left = (int(torch.randint(0, full - side + 1, ())) for _ in range(2))
        return self.net(torch.nn.functional.pad(small, (left, full - side - left, top, full - side - top)))


class Thermometer(torch.nn.Module):
    """Each pixel becomes ten channels, which say whether it is above 0, 0.1, ... (Buckman et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = assets.cnn()
        self.net[0] = torch.nn.Conv2d(10, 16, 4, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of the encoded image."""
        levels = torch.arange(10, device=x.device).reshape(1, 10, 1, 1) / 10
        return self.net((x > levels).to(x.dtype))


class Through(torch.autograd.Function):
    """A step that lets gradients pass while it is trained."""

    @staticmethod
    def forward(_ctx: object, x: torch.Tensor) -> torch.Tensor:
        """Return 0 or 1."""
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(_ctx: object, grad: torch.Tensor) -> torch.Tensor:
        """Pass the gradient on."""
        return grad


class Steps(torch.nn.Module):
    """The activations of the first layers are steps."""

    def __init__(self) -> None:
        super().__init__()
        self.net = assets.cnn()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        for number, layer in enumerate(self.net):
            step = number in (1, 3)
            x = (Through.apply(x) if self.training else (x > 0).to(x.dtype)) if step else layer(x)
        return x


def _trained(name: str, make: Callable[[], torch.nn.Module], home: Path) -> torch.nn.Module:
    """Return a network of its own, from the cache or trained plainly for two epochs now."""
    path = home / f"{name}.pt"
    net = make()
    if not path.exists():
        torch.manual_seed(0)
        x, y = assets.mnist(assets.mnist_files(home), "train")
        net = make()
        optimizer = torch.optim.Adam(net.parameters(), 1e-3)
        for _ in range(2):
            for at in torch.randperm(len(x)).split(128):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(x[at]), y[at]).backward()
                optimizer.step()
        torch.save(net.state_dict(), path)
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()


MASKED: dict[str, Callable[[Path], torch.nn.Module]] = {
    "jpeg": lambda home: Jpeg(assets.trained("std", home)),
    "temperature": lambda home: Hot(assets.trained("std", home)),
    "random resize": lambda home: Resized(assets.trained("std", home)),
    "thermometer": lambda home: _trained("thermometer", Thermometer, home),
    "step activation": lambda home: _trained("steps", Steps, home),
}


def masked(name: str, home: Path = assets.HOME) -> torch.nn.Module:
    """Return one of the five."""
    return MASKED[name](home).eval()
