"""Replay: examples that fooled one version are the first that the next one is asked about."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from stannary.checks.robustness.rows import Problem, Rows
from stannary.checks.target.interface import Access
from stannary.checks.target.torch_model import labels_of
from stannary.core.errors import InputError, IntegrityError

__all__ = ["Replay", "keep", "kept", "load", "store"]


def store(folder: Path, origin: torch.Tensor, x: torch.Tensor) -> str:
    """Write pairs of samples and examples, both `(n, *shape)`, to `folder` under their digest; return it, `sha256:…`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, origin=origin.cpu().numpy(), x=x.cpu().numpy())
    return keep(folder, buffer.getvalue(), ".npz")


def load(folder: Path, digest: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the samples and the examples that are stored under a digest.

    Raises:
        InputError: they are not there or no such pairs.
        IntegrityError: the content is not that of the digest.
    """
    path, content = kept(folder, digest, ".npz")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            origin, x = torch.from_numpy(stored["origin"]), torch.from_numpy(stored["x"])
    except (ValueError, KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile) as exc:
        msg = f"the file holds no pairs of samples and examples: {exc}"
        raise InputError(msg, where=str(path)) from exc
    if origin.shape != x.shape:
        msg = f"the samples have the shape {tuple(origin.shape)} and the examples {tuple(x.shape)}"
        raise InputError(msg, where=str(path))
    return origin, x


def keep(folder: Path, content: bytes, ending: str) -> str:
    """Write examples to `folder` under their digest, whole or not at all; return it, `sha256:…`."""
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest}{ending}"
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
    return f"sha256:{digest}"


def kept(folder: Path, digest: str, ending: str) -> tuple[Path, bytes]:
    """Return the file and the content that is stored under a digest. Raises as `load`."""
    name = digest.removeprefix("sha256:")
    path = folder / f"{name}{ending}"
    if not path.is_file():
        msg = "no examples are stored under this digest"
        raise InputError(msg, where=str(path))
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != name:
        msg = "the stored examples are not those of the digest"
        raise IntegrityError(msg, where=str(path))
    return path, content


class Replay:
    """Ask about what is stored for a sample, found by the sample's content: one query for each example.

    Args:
        origin: samples `(n, *shape)`, repeated where several examples of one are known.
        x: their examples. They are moved into the radius and the domain of the problem first.
    """

    access: Access = "decision"
    norms: tuple[str, ...] = ("linf", "l2", "l1", "l0", "cost")
    minimal = False
    steps = 1

    def __init__(self, origin: torch.Tensor, x: torch.Tensor) -> None:
        self._known: dict[bytes, list[torch.Tensor]] = {}
        for sample, example in zip(origin.cpu(), x.cpu(), strict=True):
            self._known.setdefault(_key(sample), []).append(example)
        self.rounds = max((len(examples) for examples in self._known.values()), default=1)
        digest = hashlib.sha256(b"".join(key + _key(e) for key, examples in sorted(self._known.items()) for e in examples))
        self.id = f"replay-{digest.hexdigest()[:12]}"

    def init(self, problem: Problem, rows: Rows, generator: torch.Generator) -> None:  # noqa: ARG002 - nothing random here
        """Put each row to its stored example, where there is one."""
        x = rows.x.cpu().clone()
        known = torch.zeros(len(rows), dtype=torch.bool)
        for row, (sample, round_) in enumerate(zip(rows.origin.cpu(), rows.round.tolist(), strict=True)):
            examples = self._known.get(_key(sample), [])
            if round_ < len(examples):
                x[row], known[row] = examples[round_].to(x.dtype), True
        rows.x = problem.ball(x.to(rows.x.device), rows.origin)
        rows.known = known.to(rows.x.device)

    def step(self, problem: Problem, rows: Rows, generator: torch.Generator) -> torch.Tensor:  # noqa: ARG002 - nothing random here
        """Ask once about those that have an example."""
        at = rows.known.nonzero()[:, 0]
        if len(at):
            target, x = problem.target, rows.x[at]
            labels = target.decide(x) if target.access == "decision" else labels_of(target.logits(x))
            rows.keep(x, problem.fooled(labels, rows.label[at]), problem, at)
        return torch.ones_like(rows.found)


def _key(sample: torch.Tensor) -> bytes:
    return hashlib.sha256(sample.contiguous().numpy().tobytes()).digest()
