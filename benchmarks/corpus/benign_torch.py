"""torch: state dictionaries new and old, whole modules, TorchScript, exported programs, checkpoints."""

from __future__ import annotations

import argparse
import collections
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benign_out import Out


class Net(nn.Module):
    """A user's own network."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return two logits an image."""
        return self.head(self.conv(x).mean((2, 3)))


class Tagged(torch.Tensor):
    """A user's own tensor type."""


def networks() -> dict[str, Any]:
    """Return modules of torch.nn only."""
    return {
        "mlp": nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2)),
        "cnn": nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(2)),
        "lstm": nn.ModuleDict({"rnn": nn.LSTM(8, 16, 2, batch_first=True), "head": nn.Linear(16, 3), "emb": nn.Embedding(10, 8)}),
        "transformer": nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2),
        "norms": nn.ModuleList(
            [nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.InstanceNorm1d(8), nn.Softmax(-1), nn.SiLU(), nn.Sigmoid()]
        ),
        "attention": nn.MultiheadAttention(16, 4),
        "parametrized": nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        "spectral": nn.utils.spectral_norm(nn.Linear(3, 3)),
        "losses": nn.ModuleList([nn.CrossEntropyLoss(), nn.MSELoss(), nn.BCEWithLogitsLoss(torch.ones(2))]),
        "parameters": nn.ParameterDict({"a": nn.Parameter(torch.ones(2)), "b": nn.Parameter(torch.zeros(1), requires_grad=False)}),
    }


def tensors() -> dict[str, Any]:
    """Return tensors of many kinds."""
    kinds = [
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int8,
        torch.uint8,
        torch.int64,
        torch.bool,
        torch.complex64,
    ]
    kinds += [getattr(torch, n) for n in ("float8_e4m3fn", "float8_e5m2", "uint16", "uint32") if hasattr(torch, n)]
    base = torch.arange(12.0).reshape(3, 4)
    return {
        "dtypes": {str(k): torch.ones(3).to(k) for k in kinds},
        "views": [base, base[1:], base.t(), base[:, ::2]],
        "quantized": [
            torch.quantize_per_tensor(base, 0.1, 0, torch.quint8),
            torch.quantize_per_channel(base, torch.ones(3), torch.zeros(3), 0, torch.qint8),
        ],
        "sparse": [base.to_sparse(), base.to_sparse_csr()],
        "parameter": nn.Parameter(base),
        "buffers": [torch.nn.parameter.Buffer(base)] if hasattr(torch.nn.parameter, "Buffer") else [],
        "sizes": [base.shape, base.dtype, torch.device("cpu")],
        "nested": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "meta": torch.ones(3, device="meta"),
        "attribute": _with_attribute(),
        "rng": torch.get_rng_state(),
        "conj": torch.ones(2, dtype=torch.complex64).conj(),
        "empty": torch.empty(0),
        "scalar": torch.tensor(3.5),
    }


def _with_attribute() -> torch.Tensor:
    value = torch.ones(2)
    value.note = "kept"  # type: ignore[attr-defined]
    return value


def both(out: Out, name: str, value: Any) -> None:
    """Save by torch.save in the zip layout and in the one before."""
    out.write(f"{name}.pt", lambda path: torch.save(value, path))
    out.write(f"{name}-legacy.pth", lambda path: torch.save(value, path, _use_new_zipfile_serialization=False))


def make(out: Out) -> None:
    """Write everything; a seeded generator makes the weights."""
    torch.manual_seed(0)
    for name, net in networks().items():
        both(out, f"{name}-state", net.state_dict())
        if name != "parametrized":  # its modules are made on the fly and cannot be pickled
            both(out, f"{name}-module", net)
            out.pickle(f"{name}-plain", net)
    for name, value in tensors().items():
        both(out, f"tensor-{name}", value)
    out.pickle("tensor-plain", [torch.ones(3), torch.zeros(2, dtype=torch.bfloat16)])
    out.pickle("state-plain", networks()["mlp"].state_dict())
    both(out, "custom-module", Net())
    both(out, "custom-state", Net().state_dict())
    both(out, "custom-tensor", torch.ones(3).as_subclass(Tagged))
    for protocol in (2, 3, 4, 5):
        out.write(f"protocol{protocol}.pt", lambda path, p=protocol: torch.save(Net().state_dict(), path, pickle_protocol=p))
    checkpoints(out)
    out.tried(programs, out)


def checkpoints(out: Out) -> None:
    """Write training checkpoints of the usual shapes."""
    net = networks()["mlp"]
    optims = {"adam": torch.optim.AdamW(net.parameters(), 1e-3), "sgd": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)}
    for name, optim in optims.items():
        net(torch.ones(2, 8)).sum().backward()
        optim.step()
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optim, 10)
        both(
            out,
            f"{name}-checkpoint",
            {"model": net.state_dict(), "optimizer": optim.state_dict(), "scheduler": schedule.state_dict(), "epoch": 3},
        )
        both(out, f"{name}-optimizer", optim)
        both(out, f"{name}-scheduler", schedule)
    lightning = {
        "epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.5.0", "state_dict": net.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val'}": {"best_model_score": torch.tensor(0.5),
        "best_model_path": "/tmp/x.ckpt"}},
        "optimizer_states": [optims["adam"].state_dict()], "lr_schedulers": [], "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1},
    }  # fmt: skip
    out.write("lightning.ckpt", lambda path: torch.save(lightning, path))
    both(
        out,
        "args",
        {
            "args": argparse.Namespace(lr=0.1, out=Path("runs/1")),
            "state": net.state_dict(),
            "best": collections.defaultdict(float, a=1.0),
        },
    )
    rng = {"python": __import__("random").getstate(), "cpu": torch.get_rng_state()}
    try:
        import numpy as np

        rng["numpy"] = np.random.get_state()  # noqa: NPY002 - what Trainer saves
        both(out, "numpy-mixed", {"loss": np.float64(0.5), "array": np.ones(3), "w": torch.ones(2), "type": np.dtype("f4")})
    except ImportError:
        pass
    out.write("rng_state.pth", lambda path: torch.save(rng, path))


def programs(out: Out) -> None:
    """Write TorchScript, exported programs, fx graphs and packages of pickled bytes."""
    net = Net().eval()
    example = torch.ones(1, 3, 8, 8)
    out.write("traced.pt", lambda path: torch.jit.trace(net, example).save(path))
    out.write("scripted.pt", lambda path: torch.jit.script(networks()["mlp"]).save(path))
    out.write("exported.pt2", lambda path: torch.export.save(torch.export.export(net, (example,)), path))
    out.write("fx.pt", lambda path: torch.save(torch.fx.symbolic_trace(networks()["mlp"]), path))
    quantized = torch.ao.quantization.quantize_dynamic(networks()["mlp"], {nn.Linear}, dtype=torch.qint8)
    out.write("quantized-module.pt", lambda path: torch.save(quantized, path))
    out.write("quantized-state.pt", lambda path: torch.save(quantized.state_dict(), path))
    out.pickle("bytes-in-dict", {"weights": pickle.dumps([1, 2, 3]), "note": "a nested harmless pickle"})
