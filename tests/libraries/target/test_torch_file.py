"""Networks that take one number of samples, or none alone: asked as they can be, or refused in a line."""

from __future__ import annotations

import io
import warnings

import pytest
import torch

from stannary.checks.target.counting import Counting
from stannary.checks.target.keras_model import keras_target, use_keras
from stannary.checks.target.onnx_model import open_onnx
from stannary.checks.target.torch_file import network_target, open_script
from stannary.core.errors import InputError

nn = torch.nn
X = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))


class Fixed(nn.Module):
    """A network that was written for batches of one size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.last = size, nn.Linear(16, 3)

    def forward(self, x):
        return self.last(x.reshape(self.size, 16))


class Squeezed(nn.Module):
    """A network whose answer to one sample has lost a dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        return self.last(x.reshape(-1, 16)).squeeze()


def scripted(network):
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript, which people have all the same
        torch.jit.save(torch.jit.script(network), content)
    return open_script(content.getvalue(), "m")


def asked_alone(target, due):
    for x, wanted in ((X, due), (X[:5], due[:5]), (X[7:8], due[7:8])):
        assert torch.allclose(target.logits(x).float(), wanted, atol=1e-5)
        assert target.gradient(x, lambda out: out[:, 0])[2].shape == x.shape


@pytest.mark.parametrize("size", [1, 16])
def test_a_network_of_one_batch_size_is_asked_in_batches_of_it(size) -> None:
    network = Fixed(size)
    target = network_target(scripted(network), X, name="m")
    asked_alone(target, network.last(X.flatten(1)).detach())
    assert ["16 samples at a time" in note for note in target.notes] == [True] * (size > 1)
    counted = Counting(target)
    counted.logits(X[:5])
    assert counted.spend.queries == 5


def test_a_network_that_squeezes_is_asked_one_sample_alone() -> None:
    network = Squeezed()
    asked_alone(network_target(scripted(network), X, name="m"), network(X).detach())


def test_a_network_that_answers_none_alone_is_refused_in_a_line() -> None:
    left = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3))
    for network in (left, scripted(left)):
        with pytest.raises(InputError, match="does not answer one sample alone: Expected more than 1 value") as caught:
            network_target(network, X, name="m")
        assert "\n" not in str(caught.value)
        assert "model.eval()" in caught.value.help


def test_onnx_and_keras_of_one_batch_size_say_so() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter
        torch.onnx.export(network, (X[:16],), content, dynamo=False)
    target = open_onnx(content.getvalue(), X)
    asked_alone(target, network(X).detach())
    assert any("16 samples at a time" in note for note in target.notes)
    keras = use_keras()
    layers = keras.layers
    model = keras.Sequential([layers.Input(batch_shape=(16, 4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    due = model(X.movedim(1, -1)[:16], training=False).detach()
    target = keras_target(model, X)
    assert torch.allclose(target.logits(X[:5]), due[:5], atol=1e-5)
    assert any("16 samples at a time" in note for note in target.notes)
