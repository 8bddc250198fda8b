"""numpy arrays and files, scipy sparse matrices and distributions."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from benign_out import Out


def arrays() -> dict[str, Any]:
    """Return arrays and scalars of many kinds."""
    rng = np.random.RandomState(0)
    dates = np.array(["2024-01-01", "2024-02-01"], dtype="datetime64[D]")
    record = np.array([(1, 2.0, "a")], dtype=[("x", "i4"), ("y", "f8"), ("z", "U3")])
    return {
        "float64": rng.rand(20, 5),
        "fortran": np.asfortranarray(rng.rand(20, 5)),
        "int8": np.arange(100, dtype="i1"),
        "bigendian": np.arange(10, dtype=">f4"),
        "bool": rng.rand(10) > 0.5,
        "complex": rng.rand(3) + 1j,
        "text": np.array(["a", "bc"]),
        "bytes": np.array([b"a", b"bc"]),
        "object": np.array([1, "a", None, [1, 2]], dtype=object),
        "dates": dates,
        "timedelta": dates[1] - dates[0],
        "record": record,
        "recarray": record.view(np.recarray),
        "scalars": [np.float64(1.5), np.int64(3), np.float32(2), np.bool_(True), np.str_("x"), np.datetime64("2024-01-01")],
        "masked": np.ma.masked_array([1, 2, 3], mask=[0, 1, 0]),
        "matrix": np.matrix([[1, 2], [3, 4]]),
        "empty": np.empty((0, 3)),
        "dtypes": [np.dtype("f8"), np.dtype([("a", "i4")]), np.float32, np.ndarray, np.dtype("M8[ns]")],
        "ufuncs": [np.log1p, np.add, np.expm1, np.sqrt, np.mean, np.sum],
        "random": [rng, rng.get_state()],
        "poly": np.poly1d([1, 2, 3]),
    }


def modern() -> dict[str, Any]:
    """Return the generators of numpy 1.17 and later."""
    kinds = [np.random.MT19937, np.random.PCG64, np.random.Philox, np.random.SFC64]
    return {
        **{"generator-" + k.__name__: np.random.Generator(k(1)) for k in kinds},
        "seed": np.random.SeedSequence(5),
        "polynomial": np.polynomial.Polynomial([1, 2]),
        "chebyshev": np.polynomial.chebyshev.Chebyshev([1, 2, 3]),
    }


def make(out: Out) -> None:
    """Pickle each in every protocol; then .npy, .npz, sparse matrices and distributions."""
    found = arrays()
    found.update(out.tried(modern) or {})
    for name, value in found.items():
        for protocol in [None] if out.small else range(pickle.HIGHEST_PROTOCOL + 1):
            out.pickle(name, value, protocol)
    for name in ("float64", "fortran", "object", "record", "text", "bigendian", "dates", "empty"):
        out.write(f"{name}.npy", lambda path, v=found[name]: np.save(path, v))
    out.write("plain.npz", lambda path: np.savez(path, a=found["float64"], b=found["int8"]))
    out.write("packed.npz", lambda path: np.savez_compressed(path, a=found["float64"], b=found["text"]))
    out.write("object.npz", lambda path: np.savez(path, a=found["object"], b=found["float64"]))
    out.tried(scipy_part, out)


def scipy_part(out: Out) -> None:
    """Write sparse matrices of all layouts, frozen distributions, interpolators and trees."""
    from scipy import interpolate, sparse, spatial, special, stats

    base = sparse.random(10, 8, 0.3, random_state=0)
    for layout in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
            out.pickle(f"sparse-{layout}", base.asformat(layout), protocol)
    if hasattr(sparse, "csr_array"):
        out.pickle("sparse-array", [sparse.csr_array(base), sparse.coo_array(base)])
    out.write("sparse.npz", lambda path: sparse.save_npz(path, base.tocsr()))
    x = np.linspace(0, 1, 10)
    out.pickle("frozen", [stats.norm(1, 2), stats.gamma(2.0), stats.randint(1, 5), stats.uniform(0, 1)])
    out.pickle(
        "distributions", [stats.norm, stats.poisson, stats.loguniform(1, 10) if hasattr(stats, "loguniform") else stats.expon]
    )
    out.pickle("interp1d", interpolate.interp1d(x, x**2))
    out.pickle(
        "spline",
        [
            interpolate.UnivariateSpline(x, x**2),
            interpolate.CubicSpline(x, x**2),
            interpolate.BSpline(*interpolate.splrep(x, x**2)),
        ],
    )
    out.pickle("pchip", [interpolate.PchipInterpolator(x, x**2), interpolate.RegularGridInterpolator((x, x), np.outer(x, x))])
    out.pickle("kde", stats.gaussian_kde(x))
    out.pickle("special", [special.expit, special.logit, special.gamma, special.erf])
    out.pickle("rotation", spatial.transform.Rotation.from_euler("z", 90, degrees=True))
    out.pickle("kdtree", spatial.cKDTree(np.random.RandomState(0).rand(20, 2)))
    out.pickle("kdtree-py", spatial.KDTree(np.random.RandomState(0).rand(20, 2)))
    out.pickle("hull", stats.multivariate_normal([0, 0], np.eye(2)))
    out.pickle("test-result", [stats.describe(x), stats.linregress(x, x**2)])
