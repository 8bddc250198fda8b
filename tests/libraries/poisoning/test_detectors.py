"""Detectors of poisoned rows: each against an oracle that shares no code with it, and on what cannot be looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.spatial.distance import cdist
from scipy.stats import entropy, rankdata
from sklearn.cluster import KMeans
from sklearn.covariance import MinCovDet
from sklearn.neighbors import NearestNeighbors

from stannary.checks.poisoning.clustering import activation_clustering, split
from stannary.checks.poisoning.neighbours import neighbour_labels, neighbours
from stannary.checks.poisoning.spectral import quantum_entropy, robust_covariance, spectral_signatures, whitened_activations
from stannary.checks.poisoning.strip import strip
from stannary.checks.poisoning.view import View, ranks
from stannary.checks.target.callable_model import callable_target
from stannary.checks.target.counting import Counting
from stannary.checks.target.torch_model import TorchTarget
from stannary.core.errors import InputError, UsageError


def through(features, classes=3):
    """Return a network whose last layer's inputs are the features themselves."""
    same = torch.nn.Linear(features, features, bias=False)
    torch.nn.init.eye_(same.weight)
    torch.manual_seed(0)
    return TorchTarget(torch.nn.Sequential(same, torch.nn.Linear(features, classes)), (features,))


def cloud(n, features, seed, scale=1.0):
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.fixture(scope="module")
def planted():
    """Three classes of 100 rows in 6 features; in class 1 a tenth lies far off in one direction."""
    x = torch.cat([cloud(100, 6, seed) + seed for seed in range(3)])
    x[100:110, 4] += 9
    bad = torch.zeros(300, dtype=torch.bool)
    bad[100:110] = True
    return View(through(6), x, torch.arange(3).repeat_interleave(100)), bad


def test_spectral_signatures_are_the_squares_along_numpys_first_singular_vector(planted):
    view, _ = planted
    found = spectral_signatures(view)
    for label in range(3):
        rows = view.x[view.y == label].double().numpy()
        centred = rows - rows.mean(0)
        first = np.linalg.svd(centred, full_matrices=False)[2][0]
        assert np.allclose(found[view.y == label].numpy(), (centred @ first) ** 2, rtol=1e-4, atol=1e-6)


def test_of_layers_wider_than_there_are_rows_the_scores_are_numpys_too():
    x = cloud(30, 200, 8)
    x[:3, 7] += 20
    found = spectral_signatures(View(through(200), x, torch.zeros(30, dtype=torch.int64)))
    centred = x.double().numpy() - x.double().numpy().mean(0)
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    assert np.allclose(found.numpy(), (centred @ first) ** 2, rtol=1e-4, atol=1e-6)


def test_two_groups_are_as_tight_as_those_of_scikit_learn(planted):
    view, bad = planted
    for label in range(3):
        rows = view.x[view.y == label].double()
        groups, centres, inertia = split(rows)
        oracle = KMeans(2, n_init=20, random_state=0).fit(rows.numpy()).inertia_
        assert inertia <= oracle * 1.02
        assert inertia == pytest.approx(float((cdist(rows.numpy(), centres.numpy()).min(1) ** 2).sum()))
        assert 0 < int(groups.sum()) < 100
    found = activation_clustering(view)
    assert torch.equal(found.smaller[100:200], bad[100:200])
    assert found.shares[1] == pytest.approx(0.1)
    assert found.separation[1] > max(found.separation[0], found.separation[2])
    assert float(found.scores[bad].min()) > 0 > float(found.scores[100:200][~bad[100:200]].max())


def test_a_robust_covariance_is_not_moved_by_what_was_put_in():
    truth = torch.tensor([[2.0, 0.6, 0], [0.6, 1, 0], [0, 0, 0.5]], dtype=torch.float64)
    rows = cloud(400, 3, 1).double() @ torch.linalg.cholesky(truth).T
    rows[:80] = cloud(80, 3, 2, 0.1).double() + torch.tensor([0, 8.0, 8])
    centre, covariance = robust_covariance(rows)
    oracle = MinCovDet(random_state=0).fit(rows.numpy())
    assert float(centre.norm()) < 0.3
    assert np.abs(covariance.numpy() - oracle.covariance_).max() < 0.5
    assert float((covariance - truth).abs().max()) < 0.6 < float((torch.cov(rows.T) - truth).abs().max())


def test_quantum_entropy_is_that_of_scipys_exponential():
    rows = cloud(200, 4, 3).double()
    rows[:10, 2] += 6
    moment = rows.T.numpy() @ rows.numpy() / 200
    weight = expm(4.0 * (moment - np.eye(4)) / (np.linalg.norm(moment, 2) - 1))
    expected = np.einsum("ni,ij,nj->n", rows.numpy(), weight / np.trace(weight), rows.numpy())
    assert np.allclose(quantum_entropy(rows).numpy(), expected)


def test_whitened_activations_find_what_hides_in_a_direction_of_small_variance():
    """The first direction is wide by nature: spectral signatures look there, and see nothing."""
    x = cloud(300, 8, 4)
    x[:, 0] *= 20
    x[:15, 7] += 6
    view = View(through(8), x, torch.zeros(300, dtype=torch.int64))
    whitened, spectral = whitened_activations(view), spectral_signatures(view)
    assert float((whitened[:15, None] > whitened[None, 15:]).double().mean()) > 0.98
    assert float((spectral[:15, None] > spectral[None, 15:]).double().mean()) < 0.7


def test_neighbours_are_those_of_scikit_learn(digits):
    x, y = digits[0][0][:400], digits[0][1][:400]
    view = View(TorchTarget(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), (1, 8, 8)), x, y)
    near = NearestNeighbors(n_neighbors=10).fit(x.flatten(1).numpy()).kneighbors(return_distance=False)
    expected = np.stack([np.bincount(y.numpy()[row], minlength=10) / 10 for row in near])
    found = neighbour_labels(view)
    # ties in distance may be broken differently
    assert float((found - torch.from_numpy(expected)).abs().max(1).values.gt(1e-9).double().mean()) < 0.01
    assert torch.allclose(neighbours(view), 1 - found[torch.arange(400), y])


def test_ranks_are_those_of_scipy_and_unknown_scores_lie_in_the_middle():
    scores = torch.tensor([3.0, 1.0, torch.nan, 1.0, 7.0, 3.0, 3.0], dtype=torch.float64)
    known = scores[~scores.isnan()].numpy()
    assert np.allclose(ranks(scores)[~scores.isnan()].numpy(), (rankdata(known) - 0.5) / 6)
    assert float(ranks(scores)[2]) == 0.5
    assert torch.equal(ranks(torch.full((5,), 2.0)), torch.full((5,), 0.5, dtype=torch.float64))


class _Overlaid:
    """Pictures of two classes by their mean; a bright last pixel decides for class 1 whatever the rest."""

    def __call__(self, x):
        flat = x.reshape(len(x), -1)
        second = np.where(flat[:, -1] > 0.9, 0.999, 1 / (1 + np.exp(-(flat[:, :-1].mean(1) - 0.6) * 8)))
        return np.stack([1 - second, second], 1)


def test_strip_gives_the_mean_entropy_under_overlays():
    x = torch.rand(64, 1, 3, 3, generator=torch.Generator().manual_seed(1)) * 0.5
    x[:8, ..., 2, 2] = 1.0
    target = callable_target(_Overlaid(), x)
    found = strip(View(target, x, torch.zeros(64, dtype=torch.int64)))
    assert float(found[:8].min()) > float(found[8:].max()) - 0.05
    # a row under every overlay there is has the mean entropy that these few estimate
    over = (x[:, None] + x[None]).clamp(float(x.min()), float(x.max()))
    exact = np.array([entropy(_Overlaid()(row.double().numpy()).T).mean() for row in over])
    assert np.abs(-found.numpy() - exact).max() < 0.25
    assert np.corrcoef(-found.numpy(), exact)[0, 1] > 0.95


def test_strip_asks_a_model_of_labels_and_says_nothing_of_a_constant_one():
    x = torch.rand(40, 1, 3, 3, generator=torch.Generator().manual_seed(2)) * 0.5
    x[:6, ..., 2, 2] = 1.0
    y = torch.zeros(40, dtype=torch.int64)
    labels = callable_target(lambda rows: _Overlaid()(rows).argmax(1), x, classes=2)
    assert labels.access == "decision"
    found = strip(View(labels, x, y))
    assert torch.equal(found[:6], torch.zeros(6, dtype=torch.float64))
    assert float(found.min()) < -0.3
    constant = callable_target(lambda rows: np.tile([0.3, 0.7], (len(rows), 1)), x)
    assert torch.equal(ranks(strip(View(constant, x, y))), torch.full((40,), 0.5, dtype=torch.float64))


def test_strip_repeats_itself_and_its_queries_are_counted(digits, clean):
    x, y = digits[1][0][:100], digits[1][1][:100]
    counted = Counting(clean)
    first = strip(View(counted, x, y), overlays=5)
    assert counted.spend.queries == 500
    assert torch.equal(first, strip(View(clean, x, y), overlays=5))
    assert not torch.equal(first, strip(View(clean, x, y, seed=1), overlays=5))


def test_passes_that_look_into_the_network_are_counted(digits, clean):
    passed = []
    hook = clean.module.register_forward_hook(lambda _m, args, _o: passed.append(len(args[0])))
    counted = Counting(clean)
    try:
        assert View(counted, *digits[1]).activations.shape == (len(digits[1][0]), 32)
    finally:
        hook.remove()
    assert counted.spend.forward == sum(passed)


BAD = torch.rand(30, 6)
LABELS = torch.arange(30) % 3


@pytest.mark.parametrize(
    "x, y, kind, text",
    [
        (BAD[:0], LABELS[:0], UsageError, "0 inputs"),
        (BAD, LABELS[:29], UsageError, "30 inputs and 29 labels"),
        (BAD[:, :5], LABELS, InputError, "inputs of shape"),
        (BAD, LABELS + 1, InputError, "labels from 1 to 3"),
        (BAD, LABELS - 1, InputError, "labels from -1"),
        (BAD.where(BAD.max() > BAD, torch.nan), LABELS, InputError, "1 of 30 inputs are not finite"),
        (BAD.where(BAD.max() > BAD, torch.inf), LABELS, InputError, "not finite"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(x, y, kind, text):
    with pytest.raises(kind, match=text):
        View(through(6), x, y)


def test_rows_that_are_all_the_same_have_no_groups():
    view = View(through(6), torch.ones(30, 6), LABELS)
    with pytest.raises(UsageError, match="no class has enough different rows"):
        activation_clustering(view)
    assert bool(whitened_activations(view).isnan().all())
    assert torch.equal(ranks(spectral_signatures(view)), torch.full((30,), 0.5, dtype=torch.float64))


def test_of_classes_that_are_too_small_nothing_is_said():
    x, y = cloud(49, 6, 5), torch.tensor([0] * 40 + [1] * 9)
    view = View(through(6), x, y)
    for scores in (activation_clustering(view).scores, spectral_signatures(view), whitened_activations(view)):
        assert bool(scores[40:].isnan().all())
        assert bool(scores[:40].isfinite().all())
    with pytest.raises(UsageError, match="no class"):
        activation_clustering(View(through(6), x[:9], y[:9]))


class _Broken(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(6, 4), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.last(torch.log(self.first(x)))


def test_a_network_that_computes_nothing_usable_is_told():
    view = View(TorchTarget(_Broken(), (6,)), cloud(30, 6, 6), LABELS)
    with pytest.raises(InputError, match="activations are not finite for"):
        activation_clustering(view)
    with pytest.raises(InputError, match="gives no answer for"):
        strip(view)


def test_of_a_single_layer_what_it_sees_are_its_inputs():
    x = cloud(30, 6, 7)
    assert torch.equal(View(TorchTarget(torch.nn.Linear(6, 3), (6,)), x, LABELS).activations, x.double())


def test_without_a_layer_with_weights_there_are_no_activations():
    x = cloud(30, 6, 7)
    with pytest.raises(UsageError, match="no layer with weights"):
        spectral_signatures(View(TorchTarget(torch.nn.Softmax(1), (6,)), x, LABELS))
    function = callable_target(lambda rows: np.zeros((len(rows), 3)), x)
    with pytest.raises(UsageError, match="no network"):
        whitened_activations(View(function, x, LABELS))
