"""Whatever wrote a network, its layers are looked into: what the last one sees is compared with a hook on the network itself."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch

from stannary.checks.poisoning.activations import activations, features, layers_of
from stannary.checks.poisoning.ensemble import detect
from stannary.checks.poisoning.view import View
from stannary.checks.poisoning.weights import weight_statistics
from stannary.checks.target.counting import Counting
from stannary.checks.target.keras_model import keras_target, use_keras
from stannary.checks.target.onnx_model import open_onnx
from stannary.checks.target.torch_file import network_target, open_exported, open_pickled, open_script
from stannary.core.errors import UsageError


class Net(torch.nn.Module):
    """A convolution with batch normalisation, a dense layer, and a last one that is no module."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(1, 6, 3), torch.nn.BatchNorm2d(6)
        self.dense = torch.nn.Linear(6 * 36, 16)
        self.weight = torch.nn.Parameter(torch.randn(16, 10))

    def inside(self, x):
        return self.dense(self.norm(self.conv(x)).relu().flatten(1)).relu()

    def forward(self, x):
        return self.inside(x) @ self.weight


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    made = Net()
    made.norm.running_var.uniform_(0.5, 2)
    made.norm.weight.data.uniform_(0.5, 2)
    return made.eval()


def kept(save):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript and of the exporters
        save(file)
    return file.getvalue()


def script(network, x, *, freeze=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = torch.jit.script(network)
        made = torch.jit.freeze(made) if freeze else made
    return network_target(open_script(kept(lambda file: torch.jit.save(made, file)), "m"), x, name="m")


def traced(network, x):
    content = kept(lambda file: torch.jit.save(torch.jit.trace(network, x[:2]), file))
    return network_target(open_script(content, "m"), x, name="m")


def exported(network, x):
    module, batch = open_exported(kept(lambda file: torch.export.save(torch.export.export(network, (x[:4],)), file)), "m")
    return network_target(module, x, name="m", batch=batch)


def pickled(network, x):
    return network_target(open_pickled(kept(lambda file: torch.save(network, file)), "m"), x, name="m")


def onnx(network, x):
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    return open_onnx(kept(lambda file: torch.onnx.export(network, (x[:2],), file, dynamo=False, **names)), x)


MAKERS = {
    "pickled": pickled,
    "scripted": script,
    "frozen": lambda network, x: script(network, x, freeze=True),
    "traced": traced,
    "exported": exported,
    "onnx": onnx,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_activations_are_what_the_last_layer_sees(kind, net, digits):
    x = digits[1][0][:70]
    target = MAKERS[kind](net, x)
    with torch.no_grad():
        due = net.inside(x)
    counted = Counting(target)
    assert torch.allclose(activations(counted, x), due, atol=1e-5)
    assert counted.spend.forward == 70
    at = x[:3].clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(features(target, at).sum(), at)
    wanted = x[:3].clone().requires_grad_(True)
    assert torch.allclose(slope, torch.autograd.grad(net.inside(wanted).sum(), wanted)[0], atol=1e-4)


@pytest.mark.parametrize("kind", MAKERS)
def test_channels_are_the_same_however_the_network_was_kept(kind, net, digits):
    x = digits[1][0][:70]
    first, second = weight_statistics(MAKERS[kind](net, x))
    due = weight_statistics(pickled(net, x))
    assert torch.allclose(first.bounds, due[0].bounds, rtol=1e-4), "with the batch normalisation behind it"
    assert torch.allclose(second.bounds, due[1].bounds, rtol=1e-4)
    assert layers_of(pickled(net, x))[-1].weight.shape == (10, 16), "channels first"


def test_layers_of_keras(digits):
    keras = use_keras()
    x = digits[1][0][:70]
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(),
            layers.Dense(16, activation="relu"), layers.Dense(10, activation="softmax"),
        ]
    )  # fmt: skip
    target = keras_target(model, x)
    with torch.no_grad():
        due = keras.Model(model.inputs, model.layers[-1].input)(x.permute(0, 2, 3, 1), training=False)
    assert torch.allclose(activations(target, x), due, atol=1e-5)
    kernels = [layer.kernel.value.detach().numpy() for layer in model.layers if hasattr(layer, "kernel")]
    first, second = weight_statistics(target)
    spectral = [np.linalg.svd(kernels[0][..., at].transpose(2, 0, 1).reshape(1, -1))[1][0] for at in range(4)]
    assert np.allclose(first.bounds.numpy(), spectral, rtol=1e-4)
    assert np.allclose(second.bounds.numpy(), np.linalg.norm(kernels[1], axis=0), rtol=1e-4)


class Reads(torch.nn.Module):
    """A recurrent network over the rows of a picture."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = torch.nn.LSTM(8, 12, batch_first=True), torch.nn.Linear(12, 10)

    def inside(self, x):
        return self.cell(x[:, 0])[0][:, -1]

    def forward(self, x):
        return self.out(self.inside(x))


@pytest.mark.parametrize("make", [pickled, script, traced])
def test_a_recurrent_network_is_looked_into(make, digits):
    x = digits[1][0][:40]
    network = Reads().eval()
    with torch.no_grad():
        due = network.inside(x)
    target = make(network, x)
    assert torch.allclose(activations(target, x), due, atol=1e-5)
    assert len(layers_of(target)) == 2


class Chooses(torch.nn.Module):
    """A network whose last layer is one of two, by what it sees."""

    def __init__(self, net):
        super().__init__()
        self.net, self.one, self.two = net, torch.nn.Linear(10, 10), torch.nn.Linear(10, 10)
        with torch.no_grad():
            for layer in (self.one, self.two):
                layer.weight.copy_(torch.eye(10))
                layer.bias.zero_()

    def forward(self, x):
        x = self.net(x)
        return self.one(x) if float(x.detach().sum()) > 0 else self.two(x)


def test_what_cannot_be_cut_has_no_activations_and_is_never_called_clean(digits, clean):
    x, y = digits[0]
    target = script(Chooses(clean.module), x)
    with pytest.raises(UsageError, match="behind a condition or in a loop"):
        activations(target, x)
    found = detect(View(target, x, y), digits[1])
    assert set(found.skipped) == {"clusters", "spectral", "whitened"}
    assert found.word == "inconclusive"
    assert "not looked for by spectral and whitened" in found.reasons[0]
    looked = detect(View(pickled(Chooses(clean.module), x), x, y), digits[1])
    assert (looked.word, looked.skipped) == ("no alarm", {})


def test_torchscript_orders_the_rows_as_the_network_does(badnets, digits):
    poisoned = badnets.poisoned
    due = detect(View(badnets.target, poisoned.x, poisoned.y), digits[1])
    found = detect(View(traced(badnets.target.module, poisoned.x), poisoned.x, poisoned.y), digits[1])
    assert (found.word, found.label, found.skipped) == (due.word, due.label, {})
    assert set(found.scores) == set(due.scores)
    assert torch.allclose(found.scores["spectral"], due.scores["spectral"], rtol=1e-3, atol=1e-6, equal_nan=True)
