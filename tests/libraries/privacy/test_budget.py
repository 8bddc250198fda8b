"""The sum of trainings against Opacus' accountants: never below the tight one, close to the one by Renyi divergences."""

from __future__ import annotations

import pytest

from stannary.policy.privacy_budget import SampledGaussian, Spent, compose

CASES = [(1.1, 0.01, 3000), (0.8, 0.005, 500), (4.0, 0.2, 1000), (1.5, 0.05, 200), (10.0, 1.0, 50), (0.6, 0.001, 10_000)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore")
def test_one_training_is_what_opacus_says(case) -> None:
    from opacus.accountants import PRVAccountant, RDPAccountant

    noise, rate, steps = case
    spent = Spent(epsilon=1e6, delta=1e-5, gaussian=SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps))
    found = compose([spent])[0]
    theirs = {}
    for accountant in (RDPAccountant(), PRVAccountant()):
        accountant.history = [(noise, rate, steps)]
        theirs[type(accountant).__name__] = accountant.get_epsilon(1e-5)
    assert theirs["PRVAccountant"] - 0.02 <= found
    assert theirs["RDPAccountant"] * 0.999 <= found <= theirs["RDPAccountant"] * 1.06  # orders between integers are theirs alone


def test_several_are_what_opacus_says() -> None:
    from opacus.accountants import RDPAccountant

    spends = [
        Spent(epsilon=50, delta=1e-6, gaussian=SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps))
        for noise, rate, steps in CASES[:4]
    ]
    accountant = RDPAccountant()
    accountant.history = CASES[:4]
    theirs = accountant.get_epsilon(4e-6)
    assert theirs * 0.999 <= compose(spends)[0] <= theirs * 1.06


@pytest.mark.filterwarnings("ignore")
def test_dp_sgd_says_what_composition_goes_by() -> None:
    pytest.importorskip("opacus")
    import torch

    from stannary.harden.interface import Settings
    from stannary.harden.private import dp_sgd

    x = torch.rand(500, 8)
    made = dp_sgd(torch.nn.Linear(8, 2), x, (x[:, 0] > 0.5).long(), Settings(epochs=3, batch=64, more={"epsilon": 3.0}))
    privacy = made.privacy
    assert (privacy["rate"], privacy["steps"]) == (0.125, 24)
    gaussian = SampledGaussian(noise_multiplier=privacy["noise"], sampling_rate=privacy["rate"], steps=int(privacy["steps"]))
    renyi = compose([Spent(epsilon=1e6, delta=privacy["delta"], gaussian=gaussian)])[0]
    assert privacy["epsilon"] <= renyi <= 1.3 * privacy["epsilon"]
