"""ART's detectors of poisoned rows, in ART's own environment: from a file with networks and rows to one with scores.

Called by backdoor.py as `_art_backdoor.py IN.pt OUT.npz`. Defaults, but for the share that spectral signatures are told: the true
one. The activation defence gives a verdict for each row; of spectral signatures the scores are taken as well.
"""

from __future__ import annotations

import sys
import time

import assets
import numpy as np
import torch
from art.defences.detector.poison import ActivationDefence, SpectralSignatureDefense
from art.estimators.classification import PyTorchClassifier


def main() -> None:
    """Run both on every network."""
    torch.set_num_threads(1)
    out: dict[str, np.ndarray] = {}
    for name, (kind, state, x, y) in torch.load(sys.argv[1]).items():
        net = assets.classifier(kind)
        net.load_state_dict(state)
        target = PyTorchClassifier(net.eval(), torch.nn.CrossEntropyLoss(), (1, 28, 28), 10, device_type="cpu")
        rows, labels = x.numpy(), np.eye(10, dtype="float32")[y.numpy()]
        began = time.process_time()
        _, fine = ActivationDefence(target, rows, labels).detect_poison(nb_clusters=2, nb_dims=10, reduce="PCA")
        out[f"{name}/activation defence"] = 1 - np.asarray(fine, dtype=float)
        out[f"{name}/activation defence/cpu"] = np.array(time.process_time() - began)
        began = time.process_time()
        spectral = SpectralSignatureDefense(target, rows, labels, expected_pp_poison=0.05, batch_size=128, eps_multiplier=1.5)
        _, fine = spectral.detect_poison()
        out[f"{name}/spectral signatures/cpu"] = np.array(time.process_time() - began)
        out[f"{name}/spectral signatures"] = 1 - np.asarray(fine, dtype=float)
        features = target.get_activations(rows, layer=len(target.layer_names) - 1, batch_size=128)
        scores = np.zeros(len(rows))
        for label in range(10):
            own = y.numpy() == label
            scores[own] = np.ravel(SpectralSignatureDefense.spectral_signature_scores(features[own]))
        out[f"{name}/spectral signatures/scores"] = scores
    np.savez(sys.argv[2], **out)


main()
