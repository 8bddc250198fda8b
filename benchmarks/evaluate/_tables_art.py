"""HopSkipJump of ART on one model, sample by sample, each held to a limit of CPU time: run in the environment of the peers.

    python _tables_art.py CASE.npz MODEL.joblib OUT.npz LIMIT

ART works in standard deviations: the model is put behind a scaler, so that both libraries mean the same distance.
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from types import FrameType

import joblib
import numpy as np


class OverError(Exception):
    """A sample took more than its time."""


def main(case: str, model: str, out: str, limit: float) -> None:
    """Attack the samples of a case and keep what came of it."""
    warnings.simplefilter("ignore")
    from art.attacks.evasion import HopSkipJump
    from art.estimators.classification import SklearnClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = np.load(case)
    mean, scale = data["mean"], data["scale"]
    back = StandardScaler()  # from standard deviations to what the model knows
    back.mean_, back.scale_, back.var_ = -mean / scale, 1 / scale, scale**-2
    back.n_features_in_, back.n_samples_seen_ = len(mean), 1
    whole = make_pipeline(back, joblib.load(model))
    bounds = tuple(((data[name] - mean) / scale).astype(np.float32) for name in ("low", "high"))
    asked = 0
    classifier = SklearnClassifier(whole, clip_values=bounds)
    inner = classifier.predict

    def predict(x: np.ndarray, *args: object, **kwargs: object) -> np.ndarray:
        nonlocal asked
        asked += len(x)
        return inner(x, *args, **kwargs)

    classifier.predict = predict
    np.random.seed(0)  # noqa: NPY002 - ART draws from it
    attack = HopSkipJump(classifier, norm=2, max_iter=int(data["steps"]), verbose=False)
    exact = (data["x"] - mean) / scale
    z = exact.astype(np.float32)
    found, queries, cpu = z.copy(), np.zeros(len(z)), np.zeros(len(z))
    over = np.zeros(len(z), dtype=bool)

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise OverError

    signal.signal(signal.SIGVTALRM, stop)
    for at in range(len(z)):
        asked, started = 0, time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, limit)
        try:
            found[at] = attack.generate(z[at : at + 1])[0]
        except OverError:
            over[at] = True
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        queries[at], cpu[at] = asked, time.process_time() - started
    decided = whole.predict(found.astype(np.float64))
    again = whole.predict(found)  # as ART asks: in float32
    size = np.linalg.norm(found.astype(np.float64) - exact, axis=1)
    inside = ((found >= bounds[0]) & (found <= bounds[1])).all(1) & np.isfinite(found).all(1)
    good = (decided != data["y"]) & (again != data["y"]) & inside & ~over
    np.savez(
        out,
        x=back.transform(found.astype(np.float64)),
        changed=(found != z).sum(1),
        good=good,
        size=size,
        queries=queries,
        cpu=cpu,
        over=over,
    )


if __name__ == "__main__":
    main(*sys.argv[1:4], float(sys.argv[4]))
