"""Detectors that look at the model: patches sought for every class, and channels that are too loud."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stannary.checks.poisoning.neural_cleanse import Cleanse, anomaly_indices, apply, neural_cleanse
from stannary.checks.poisoning.weights import channel_bounds, weight_statistics
from stannary.checks.target.callable_model import callable_target
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import UsageError


class _Planted(torch.nn.Module):
    """Four classes, each by the mean of a quarter of the picture; one bright corner pixel decides for class 2."""

    def __init__(self):
        super().__init__()
        weight = torch.zeros(4, 1, 8, 8)
        for k, (row, column) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
            weight[k, 0, row : row + 4, column : column + 4] = 1.0
        self.weight = torch.nn.Parameter(weight.flatten(1))

    def forward(self, x):
        logits = x.flatten(1) @ self.weight.T
        loud = x[:, 0, 7, 7] * 20
        return logits + torch.stack((torch.zeros_like(loud), torch.zeros_like(loud), loud, torch.zeros_like(loud)), 1)


@pytest.fixture(scope="module")
def quarters():
    """Inputs whose brightest quarter is their class; the corner pixel is dark."""
    draw = torch.Generator().manual_seed(3)
    y = torch.randint(4, (200,), generator=draw)
    x = torch.rand(200, 1, 8, 8, generator=draw) * 0.3
    for k, (row, column) in enumerate(((0, 0), (0, 4), (4, 0), (4, 4))):
        x[y == k, :, row : row + 4, column : column + 4] += 0.5
    x[:, 0, 7, 7] = 0.0
    x[0, 0, 0, 0] = 1.0
    return x, y


def test_the_planted_pixel_is_found_and_its_class_stands_out(quarters):
    x, y = quarters
    counted = Counting(TorchTarget(_Planted(), (1, 8, 8)))
    found = neural_cleanse(counted, x, y, Cleanse(steps=300, batch=16))
    assert int(found.indices.argmax()) == 2
    assert float(found.sizes[2]) < 3
    assert float(found.sizes[[0, 1, 3]].min()) > 2 * float(found.sizes[2])
    assert int(found.masks[2].flatten().argmax()) == 63
    assert counted.spend.backward == 300 * 4 * 16
    # what it says of its success is what the patch does, counted here again on all inputs
    others = x[y != 2]
    moved = (counted.inner.decide(apply(others, found.masks[2], found.patterns[2])) == 2).double().mean()
    assert float(moved) > 0.95
    assert float(found.success[2]) > 0.95
    again = neural_cleanse(counted.inner, x, y, Cleanse(steps=300, batch=16))
    assert torch.equal(again.sizes, found.sizes)


def test_where_no_patch_works_none_has_a_size():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    torch.nn.init.zeros_(net[1].weight)
    with torch.no_grad():
        net[1].bias.copy_(torch.tensor([5.0, 0, 0]))
    x, y = torch.rand(64, 1, 8, 8), torch.arange(64) % 3
    found = neural_cleanse(TorchTarget(net, (1, 8, 8)), x, y, Cleanse(steps=30))
    assert found.sizes.isfinite().tolist() == [True, False, False]
    assert found.success.tolist() == [1.0, 0.0, 0.0]


def test_columns_of_a_table_have_ranges_of_their_own():
    x = torch.rand(100, 3, dtype=torch.float64) * torch.tensor([1.0, 1000, 0.01])
    y = (x[:, 0] > 0.5).long()
    torch.manual_seed(0)
    target = TorchTarget(torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).double(), (3,))
    found = neural_cleanse(target, x, y, Cleanse(steps=20))
    assert found.patterns.shape == (2, 3)
    assert bool((found.patterns <= x.amax(0) + 1e-6).all())
    assert bool((found.patterns >= x.amin(0) - 1e-6).all())


def test_what_offers_no_gradient_or_too_few_samples_is_refused(quarters):
    x, y = quarters
    function = callable_target(lambda rows: np.zeros((len(rows), 4)), x)
    with pytest.raises(UsageError, match="no gradient"):
        neural_cleanse(function, x, y)
    with pytest.raises(UsageError, match="15 samples are too few"):
        neural_cleanse(TorchTarget(_Planted(), (1, 8, 8)), x[:15], y[:15])
    with pytest.raises(UsageError, match="do not fit into memory"):
        neural_cleanse(TorchTarget(_Planted(), (1, 8, 8)), x, y, Cleanse(batch=1 << 21))


def test_anomaly_indices_are_deviations_below_the_median():
    sizes = torch.tensor([10.0, 12, 11, 2, 13, 12])
    middle = np.median(sizes.numpy())
    spread = 1.4826 * np.median(np.abs(sizes.numpy() - middle))
    assert np.allclose(anomaly_indices(sizes).numpy(), (middle - sizes.numpy()) / spread)
    assert anomaly_indices(torch.tensor([1.0, 9.0])).tolist() == [0.0, 0.0]
    assert anomaly_indices(torch.full((5,), torch.inf)).tolist() == [0.0] * 5
    assert anomaly_indices(torch.full((5,), 3.0)).tolist() == [0.0] * 5


def test_a_patch_stands_out_where_other_classes_have_none():
    """The deviation is zero there, and it is when a single patch says most."""
    found = anomaly_indices(torch.tensor([torch.inf, torch.inf, torch.inf, 4, torch.inf, 60]), largest=64.0)
    assert found.tolist() == pytest.approx([0, 0, 0, 60 / 6.4, 0, 4 / 6.4])
    assert anomaly_indices(torch.tensor([60.0, 60, 60, 57, 60]))[3] < 1


def test_channel_bounds_are_numpys_spectral_norms():
    weight = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    expected = [np.linalg.svd(channel.reshape(3, -1).numpy().astype(float))[1][0] for channel in weight]
    assert np.allclose(channel_bounds(weight).numpy(), expected)
    assert np.allclose(channel_bounds(weight.flatten(1)).numpy(), np.linalg.norm(weight.flatten(1).numpy().astype(float), axis=1))


def test_a_loud_channel_is_counted_and_batch_normalisation_scales():
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(1, 32, 3), torch.nn.BatchNorm2d(32)
    norm.running_var.uniform_(0.5, 2)
    norm.weight.data.uniform_(0.5, 2)
    net = torch.nn.Sequential(conv, norm, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 36, 4))
    target = TorchTarget(net, (1, 8, 8))
    fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
    (before,) = weight_statistics(target)
    assert torch.allclose(before.bounds, channel_bounds(fused.weight.detach()), rtol=1e-5)
    with torch.no_grad():
        conv.weight[7] *= 30
    (after,) = weight_statistics(target)
    assert int(after.bounds.argmax()) == 7
    assert after.outliers == 1
    assert after.greatest > 3 > before.greatest


def test_without_several_layers_there_are_no_channels_to_compare():
    with pytest.raises(UsageError, match="no network of several layers"):
        weight_statistics(TorchTarget(torch.nn.Linear(4, 3), (4,)))
    with pytest.raises(UsageError, match="no network that can be looked into"):
        weight_statistics(callable_target(lambda rows: np.zeros((len(rows), 3)), torch.rand(8, 4)))


def test_channels_that_are_all_alike_have_no_outlier():
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))
    torch.nn.init.ones_(net[0].weight)
    (layer,) = weight_statistics(TorchTarget(net, (4,)))
    assert (layer.greatest, layer.outliers) == (0.0, 0)
