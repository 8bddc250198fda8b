"""The cheap gradient of convolutions of few channels, against torch's own."""

from __future__ import annotations

import pytest
import torch

from stannary.checks.target import thin_layers
from stannary.checks.target.thin_layers import ThinLayers, has_thin_layers
from stannary.checks.target.torch_model import TorchTarget

conv = torch.nn.Conv2d
LAYERS = {
    "one channel": lambda: conv(1, 8, 4, stride=2, padding=1),
    "three channels": lambda: conv(3, 5, 3, padding=1, bias=False),
    "four, oblong": lambda: conv(4, 6, (3, 2), stride=(1, 2), padding=(2, 0)),
    "holes": lambda: conv(2, 4, 3, dilation=2, padding=1),
    "pixels between windows": lambda: conv(1, 3, 2, stride=3),
    "edges left over": lambda: conv(1, 3, 3, stride=2),
    "around the edge": lambda: conv(3, 4, 3, padding=1, padding_mode="circular"),
    "same": lambda: conv(1, 4, 3, padding="same"),
    "groups": lambda: conv(4, 4, 3, groups=2),
    "many": lambda: conv(6, 4, 3),
}


@pytest.mark.parametrize("held", [1, 5000, 1 << 20], ids=["one by one", "in pieces", "at once"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_is_that_of_torch(name, held, monkeypatch) -> None:
    monkeypatch.setattr(thin_layers, "_HELD", held)
    torch.manual_seed(1)
    first = LAYERS[name]()
    net = torch.nn.Sequential(first, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.LazyLinear(3)).double()
    x = torch.randn(7, first.in_channels, 13, 11, dtype=torch.float64)
    net(x)  # the lazy layer learns its size
    net.requires_grad_(requires_grad=False)

    def gradient():
        at = x.clone().requires_grad_()
        out = net(at)
        return torch.autograd.grad(out.square().sum(), at)[0], out

    plain, out = gradient()
    with ThinLayers():
        made, same = gradient()
    assert torch.equal(out, same)
    assert torch.allclose(made, plain, atol=1e-12)


def test_it_is_used_where_it_is_cheaper_and_nowhere_else(monkeypatch) -> None:
    used = []
    inner = thin_layers._thin
    monkeypatch.setattr(thin_layers, "_thin", lambda *args, **more: used.append(args[1].shape) or inner(*args, **more))
    net = torch.nn.Sequential(conv(1, 4, 3), conv(4, 5, 3), conv(5, 6, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    target = TorchTarget(net, (1, 9, 9))
    x = torch.rand(3, 1, 9, 9)
    target.logits(x)
    assert used == []
    target.gradient(x, lambda out: out.sum(1))
    assert used == [(4, 1, 3, 3), (5, 4, 3, 3)]
    with ThinLayers():  # a training loop's weights need their gradient, which this has not
        net.requires_grad_()(x.clone().requires_grad_()).sum().backward()
    assert len(used) == 2
    assert net[0].weight.grad is not None
    assert not has_thin_layers(torch.nn.Sequential(conv(8, 4, 3), torch.nn.Linear(2, 2)))


def test_no_rows_have_a_gradient_of_no_rows() -> None:
    target = TorchTarget(torch.nn.Sequential(conv(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(4 * 49, 3)), (1, 9, 9))
    _, losses, grad = target.gradient(torch.zeros(0, 1, 9, 9), lambda out: out.sum(1))
    assert losses.shape == (0,)
    assert grad.shape == (0, 1, 9, 9)
