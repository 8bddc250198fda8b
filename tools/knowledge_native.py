"""Names of compiled modules: Cython classes and unpicklers from string tables, and a dump made by importing.

`native_names(cache)` reads the `.names` and `.pyx` files that knowledge_sources.py kept, and every
`native-*.json` beside them. Such a file is written by running this script inside an environment
that has the libraries:

    /path/to/venv/bin/python tools/knowledge_native.py CACHE/native-NAME.json
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

# Compiled packages whose classes hold numbers, trees and tables; role of a class in them.
TRUSTED = {"sklearn": "k", "scipy": "c", "numpy": "k", "pandas._libs": "k", "statsmodels": "k", "spacy": "c", "thinc": "c",
"cymem": "k",
           "preshed": "k", "murmurhash": "c", "gensim": "c", "hdbscan": "k", "implicit": "c", "surprise": "c", "pmdarima": "c",
           "river": "c",
           "econml": "c", "causalml": "c", "imblearn": "c", "hmmlearn": "c", "lightfm": "c", "blis": "c",
           "sksurv": "c", "quantile_forest": "c", "glum": "c", "skimage": "c",
           "tslearn": "c", "sktime": "c", "aeon": "c", "statsforecast": "c"}  # fmt: skip
# pandas' CSV and SAS readers open files; spaCy's and srsly's deserialisers read nested pickles.
LEFT_OUT = re.compile(
    r"^pandas\._libs\.(parsers|json|sas|byteswap)|pandas\.io|\.tests?\.|srsly|spacy\.vocab$|spacy\.tokens\.doc$|cytoolz"
)
# Where whichmodule() finds a ufunc, depending on the version.
UFUNC_HOMES = ("numpy", "numpy.core._multiarray_umath", "numpy._core._multiarray_umath", "numpy.core.umath", "numpy._core.umath",
               "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric",
               "numpy.ma.core")  # fmt: skip
SPECIAL = {"__cinit__", "__init__", "__reduce__", "__reduce_cython__", "__getstate__", "__setstate__", "__setstate_cython__"}
# Functions that read, write, run, or call what they are given: never a mere reference.
NOT_REFERENCED = re.compile(r"(^|[._])(load|save|read|write|open|dump|fetch|download|run|exec|eval|import|apply_|map_"
                            r"|vectorize|piecewise|from_?function|frompyfunc|"
                            r"from_?file|to_?file|fromregex|memmap|genfromtxt|get_include"
                            r"|source|info|who|lookfor|deprecate|savez|DataSource|loader|call|invoke|patch|"
                            r"config|set_|register|getattr|setattr|locate|wrap|decorator|cache|compile|execute|command"
                            r"|process|thread|parallel)\w*", re.IGNORECASE)  # fmt: skip
CLASS = re.compile(rb"^(?:cdef |cpdef )?class\s+(\w+)", re.MULTILINE)


def module_of(path: str) -> str:
    """Return the module of `a/b/_c.cpython-311-darwin.so.names` or `a/b/_c.pyx`."""
    head, _, tail = path.rpartition("/")
    return f"{head.replace('/', '.')}.{tail.partition('.')[0]}".strip(".")


def native_names(cache: Path) -> dict[tuple[str, str], str]:
    """Return {(module, name): role} of the compiled modules in the cache."""
    out: dict[tuple[str, str], str] = {}
    for archive in sorted(cache.glob("*.zip")):
        with zipfile.ZipFile(archive) as box:
            for name in box.namelist():
                if not name.endswith((".names", ".pyx", ".pyx.tp")):
                    continue
                module = module_of(name)
                role = next((r for prefix, r in TRUSTED.items() if module == prefix or module.startswith(prefix + ".")), None)
                if role is None or LEFT_OUT.search(module) or "/tests/" in name:
                    continue
                data = box.read(name)
                found = _from_table(module, data) if name.endswith(".names") else {m.decode() for m in CLASS.findall(data)}
                for qualname in found:
                    out[module, qualname] = "r" if qualname.startswith("__pyx_unpickle_") else role
    for dump in sorted(cache.glob("native-*.json")):
        for kind, names in json.loads(dump.read_text(encoding="utf-8")).items():
            for full in names:
                module, _, name = full.partition(":")
                if not LEFT_OUT.search(module):
                    out.setdefault((module, name), kind)
    return out


def _from_table(module: str, data: bytes) -> set[str]:
    """Return class and unpickler names of one string table."""
    prefix = module + "."
    found: set[str] = set()
    for raw in data.split(b"\n"):
        text = raw.decode("ascii", "replace")
        if text.startswith("__pyx_unpickle_") and not text.endswith("__set_state"):
            found.add(text)
            found.add(text.removeprefix("__pyx_unpickle_"))
        elif text.startswith(prefix):
            parts = text[len(prefix) :].split(".")
            if (
                parts[0][:1].isupper()
                or (parts[0][:1] == "_" and parts[0][1:2].isupper())
                or (len(parts) > 1 and parts[1] in SPECIAL)
            ):
                found.add(parts[0])
    internal = ("__pyx_scope", "__pyx_vtab", "__pyx_type", "__pyx_capi")
    return {n for n in found if not n.startswith(internal) and n.isidentifier() and n != "Enum"}


def dump() -> dict[str, list[str]]:
    """Import what is installed and list compiled classes and universal functions by role."""
    import importlib

    out: dict[str, set[str]] = {"k": set(), "c": set(), "f": set()}
    import numpy as np

    for name in dir(np):
        value = getattr(np, name)
        if isinstance(value, np.ufunc):
            out["f"].update(f"{home}:{name}" for home in UFUNC_HOMES)
        elif isinstance(value, type) and issubclass(value, np.generic):
            out["k"].add(f"numpy:{value.__name__}")
            out["k"].add(f"numpy:{name}")
    for space in (np, np.linalg, np.fft):
        _references(out["f"], space)
    for special in (
        "scipy.special._special_ufuncs",
        "scipy.special._ufuncs_cxx",
        "scipy.special._ufuncs",
        "scipy.special",
        "scipy.special._basic",
        "scipy.special._spfun_stats",
    ):
        try:
            module = importlib.import_module(special)
        except ImportError:
            continue
        out["f"].update(f"{special}:{n}" for n in dir(module) if isinstance(getattr(module, n), np.ufunc))
    _dump_random(out, np)
    try:
        import torch
    except ImportError:
        return {k: sorted(v) for k, v in out.items()}
    for space in (torch, torch.nn.functional, torch.special, torch.linalg, torch.fft, torch._C._nn):  # noqa: SLF001 - where gelu lives
        _references(out["f"], space)
    for name in dir(torch):
        value = getattr(torch, name)
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format | torch.qscheme):
            out["f"].add(f"torch:{name}")
        elif name.endswith("Storage") and isinstance(value, type):
            out["c"].update({f"torch:{name}", f"torch.cuda:{name}"})
    return {k: sorted(v) for k, v in out.items()}


def _references(found: set[str], space: object) -> None:
    """Add the functions of a namespace under the names that a pickle refers to them by."""
    import pickle
    import pickletools

    for name in dir(space):
        value = getattr(space, name, None)
        if name.startswith("_") or isinstance(value, type) or not callable(value) or NOT_REFERENCED.search(name):
            continue
        try:
            ops = [(op.name, arg) for op, arg, _ in pickletools.genops(pickle.dumps(value, 2))]
        except Exception:  # noqa: BLE001, S112 - not everything can be pickled
            continue
        if ops[1][0] == "GLOBAL" and ops[1][1] and len(ops) <= 4:  # noqa: PLR2004 - PROTO, GLOBAL, PUT, STOP: a mere reference
            found.add(ops[1][1].replace(" ", ":"))


def _dump_random(out: dict[str, set[str]], np: object) -> None:
    """List bit generators and distribution methods' owners."""
    random = np.random  # type: ignore[attr-defined]
    for name in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        if hasattr(random, name):
            home = "_" + name.lower().replace("dxsm", "")
            out["k"].add(f"numpy.random.{home}:{name}")
    out["k"].update({"numpy.random.mtrand:RandomState", "numpy.random._generator:Generator",
    "numpy.random.bit_generator:SeedSequence",
                     "numpy.random.bit_generator:BitGenerator"})  # fmt: skip


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(dump(), indent=0), encoding="utf-8")
