"""ART's attacks on membership, in ART's own environment: from a file with the target and its data to one with scores.

Called by privacy.py as `_art_membership.py IN.npz OUT.npz`. Attacks have their defaults. Those that are given true memberships are
fitted on one half of the samples and asked about the other, and the other way round, so that each sample has a score from a model
that was not told about it.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from art.attacks.inference.membership_inference import (
    MembershipInferenceBlackBox,
    MembershipInferenceBlackBoxRuleBased,
    ShadowModels,
)
from art.estimators.classification import PyTorchClassifier


def build() -> torch.nn.Module:
    """Return the network of privacy.py."""
    nn = torch.nn
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def classifier(net: torch.nn.Module) -> PyTorchClassifier:
    """Return a network as ART takes it."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    return PyTorchClassifier(net, torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, optimizer=optimizer, device_type="cpu")


def main() -> None:
    """Run them all."""
    torch.set_num_threads(1)
    data = np.load(sys.argv[1])
    x, y, member = data["x"], data["y"], data["member"]
    net = build()
    net.load_state_dict({name: torch.tensor(data[f"net.{name}"]) for name in net.state_dict()})
    target = classifier(net.eval())
    rng = np.random.default_rng(0)
    fold = np.zeros(len(x), dtype=int)
    for group in (0, 1):
        at = rng.permutation(np.flatnonzero(member == group))
        fold[at[: len(at) // 2]] = 1
    out: dict[str, np.ndarray] = {}

    def timed(name: str, run) -> None:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 - ART draws from it
        began = time.process_time()
        out[name] = run()
        out[f"cpu.{name}"] = np.array(time.process_time() - began)

    def told(kind: str) -> np.ndarray:
        scores = np.zeros(len(x))
        for side in (0, 1):
            fit, ask = fold == side, fold != side
            attack = MembershipInferenceBlackBox(target, attack_model_type=kind)
            attack.fit(x[fit & (member == 1)], y[fit & (member == 1)], x[fit & (member == 0)], y[fit & (member == 0)])
            scores[ask] = np.ravel(attack.infer(x[ask], y[ask], probabilities=True))
        return scores

    def shadows(kind: str) -> np.ndarray:
        own_x, own_y = data["other_x"], data["other_y"]  # of the same distribution, and no sample of the target's
        made = ShadowModels(classifier(build()), num_shadow_models=4, random_state=0)
        one_hot = np.eye(10, dtype=np.float32)[own_y]
        (m_x, m_y, m_p), (n_x, n_y, n_p) = made.generate_shadow_dataset(own_x, one_hot)
        attack = MembershipInferenceBlackBox(target, attack_model_type=kind)
        attack.fit(m_x, m_y, n_x, n_y, m_p, n_p)
        return np.ravel(attack.infer(x, y, probabilities=True))

    for kind in ("nn", "rf", "gb"):
        timed(f"ART black-box, {kind} (told half the truth)", lambda kind=kind: told(kind))
    timed("ART rule-based", lambda: np.ravel(MembershipInferenceBlackBoxRuleBased(target).infer(x, y)).astype(float))
    for kind in ("nn", "rf"):
        timed(f"ART 4 shadow models, {kind}", lambda kind=kind: shadows(kind))
    np.savez(sys.argv[2], **out)


if __name__ == "__main__":
    main()
