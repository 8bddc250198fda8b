"""Make the inputs of the scan benchmark. Runs in the environment with numpy, joblib and scikit-learn.

python benchmarks/scan/inputs.py FOLDER [--small]
"""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import sys
import zipfile
from pathlib import Path


def safetensors(path: Path, size: int) -> None:
    """Write a safetensors file of about `size` bytes in 64 MiB tensors of noise."""
    block = noise(64 << 20)
    count = max(1, size // len(block))
    header = {
        f"layer.{i}.weight": {"dtype": "F32", "shape": [len(block) // 4], "data_offsets": [i * len(block), (i + 1) * len(block)]}
        for i in range(count)
    }
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(raw)) + raw)
        for _ in range(count):
            out.write(block)


def torch_zip(path: Path, size: int) -> None:
    """Write a torch zip: data.pkl by opcode, storages stored without compression."""
    block = noise(64 << 20)
    count = max(1, size // len(block))
    body = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01("
    for i in range(count):
        key = f"layer.{i}.weight".encode()
        number = str(i).encode()
        numel = len(block) // 4
        body += b"X" + struct.pack("<I", len(key)) + key
        body += (
            b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX"
            + struct.pack("<I", len(number))
            + number
        )
        body += (
            b"X\x03\x00\x00\x00cpuJ"
            + struct.pack("<i", numel)
            + b"tQK\x00J"
            + struct.pack("<i", numel)
            + b"\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR"
        )
    body += b"u."
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as out:
        out.writestr("archive/data.pkl", body)
        out.writestr("archive/byteorder", "little")
        for i in range(count):
            out.writestr(f"archive/data/{i}", block)
        out.writestr("archive/version", "3\n")


def noise(size: int) -> bytes:
    """Return bytes that do not compress."""
    import random

    return random.Random(7).randbytes(size)


def arrays(path: Path, size: int) -> None:
    """Write a protocol 4 pickle of numpy arrays."""
    import numpy as np

    rng = np.random.default_rng(0)
    part = rng.standard_normal(8 << 20)
    with path.open("wb") as out:
        pickle.dump({f"w{i}": part + i for i in range(max(1, size // part.nbytes))}, out, protocol=4)


def small(folder: Path, count: int, *, named: bool = False) -> None:
    """Write many small fitted models, protocols 2 to 5, that differ in their numbers; `named`: in a text as well."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    folder.mkdir()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 4))
    y = (x[:, 0] > np.median(x[:, 0])).astype(int)
    for i in range(count):
        model = LogisticRegression(C=1 + i, max_iter=3) if i % 2 else StandardScaler()
        if i % 2:
            model.coef_, model.intercept_, model.classes_ = rng.normal(size=(1, 4)), rng.normal(size=1), np.unique(y)
        else:
            model.mean_, model.scale_, model.n_features_in_ = x.mean(0), x.std(0), 4
        if named:
            model.run_ = f"run {i} of {word(i, 12)}"
        (folder / f"m{i:04}.pkl").write_bytes(pickle.dumps(model, protocol=2 + i % 4))


def own(folder: Path, count: int) -> None:
    """Write many small fitted models no two of which have the same opcodes: lists and dicts of other lengths, other texts."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.naive_bayes import GaussianNB
    from sklearn.preprocessing import StandardScaler

    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        model = (LogisticRegression(C=1 + i), StandardScaler(), Ridge(alpha=i), GaussianNB())[i % 4]
        width = int(rng.integers(3, 30))
        for name in ("coef_", "intercept_", "mean_", "scale_")[: int(rng.integers(1, 5))]:
            setattr(model, name, rng.normal(size=width))
        model.notes_ = [word(f"{i} {n}", int(rng.integers(3, 30))) for n in range(int(rng.integers(1, 8)))]
        model.settings_ = {word(f"{i} {n} key", 6): (1, 2.5, "x", None, (1, 2))[n % 5] for n in range(int(rng.integers(1, 9)))}
        (folder / f"m{i:04}.pkl").write_bytes(pickle.dumps(model, protocol=2 + i % 4))


def word(seed: object, length: int) -> str:
    """Return letters and digits that a seed determines."""
    return hashlib.sha256(str(seed).encode()).hexdigest()[:length]


def forest(folder: Path, trees: int) -> None:
    """Write a random forest with joblib, raw and with zlib."""
    import joblib
    import numpy as np
    from sklearn.ensemble import RandomForestRegressor

    rng = np.random.default_rng(0)
    x = rng.normal(size=(12000, 8))
    model = RandomForestRegressor(n_estimators=trees, n_jobs=2, random_state=0).fit(x, x[:, 0] + rng.normal(size=len(x)))
    joblib.dump(model, folder / "rf.joblib")
    joblib.dump(model, folder / "rf_z3.joblib", compress=3)


def main() -> None:
    """Make what is missing."""
    folder = Path(sys.argv[1])
    scale = 64 if "--small" in sys.argv else 1
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {
        "st_2g.safetensors": lambda p: safetensors(p, (2 << 30) // scale),
        "torch_2g.pt": lambda p: torch_zip(p, (2 << 30) // scale),
        "np_1g.pkl": lambda p: arrays(p, (1 << 30) // scale),
        "small5000": lambda p: small(p, 5000 // scale),
        "named5000": lambda p: small(p, 5000 // scale, named=True),
        "own5000": lambda p: own(p, 5000 // scale),
        "rf.joblib": lambda p: forest(p.parent, 120 // min(scale, 20)),
    }
    for name, make in jobs.items():
        if not (folder / name).exists():
            print("making", name, file=sys.stderr)
            make(folder / name)


main()
