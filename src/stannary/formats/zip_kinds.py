"""What a ZIP archive is, told from the names of its members, and which members are raw tensor storage."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

__all__ = ["Kind", "recognise"]

# torch.save and TorchScript put every storage into a member named by a number; nothing ever unpickles them.
_TORCH_RAW = re.compile(r"(^|/)((data|constants|tensors)/\d+|\.data/\d+\.storage)$")
_PT2_RAW = re.compile(r"(^|/)data/(weights|constants)/(weight|tensor|param|buffer)[\w.]*$")
_TORCH_SMALL = re.compile(
    r"(^|/)(version|byteorder|\.format_version|\.storage_alignment|\.data/(serialization_id|version|byteorder)|archive_format|archive_version)$"
)
_NATIVE = re.compile(r"\.(so|so\.[\d.]+|dylib|dll|pyd)$", re.IGNORECASE)
_PICKLE_NAME = re.compile(r"\.(pkl|pickle|debug_pkl|dill|cloudpickle)$", re.IGNORECASE)

_TORCH = frozenset({"torch", "torchscript", "torch-package"})


class Kind(msgspec.Struct, frozen=True):
    """A recognised archive. `root` is the folder all of a torch archive's members are in, with its slash."""

    name: str
    root: str = ""

    @property
    def torch(self) -> bool:
        """True for the archives that torch.save, torch.jit.save and torch.package write."""
        return self.name in _TORCH

    def is_raw(self, name: str) -> bool:
        """True for raw tensor storage: bytes that a loader copies into memory and nothing else."""
        if self.torch:
            return _TORCH_RAW.search(name) is not None
        return self.name == "pt2" and _PT2_RAW.search(name) is not None

    def is_small(self, name: str) -> bool:
        """True for the one-word members beside the storages (`version`, `byteorder`, ...)."""
        return (self.torch or self.name == "pt2") and _TORCH_SMALL.search(name) is not None

    def is_torchscript_source(self, name: str) -> bool:
        """True for TorchScript code: Python's grammar, torch's own interpreter."""
        return self.name == "torchscript" and name.startswith(self.root + "code/") and name.endswith(".py")

    def is_pickle(self, name: str) -> bool:
        """True when a loader unpickles the member whatever it begins with."""
        if self.torch and name.startswith(self.root) and name.count("/") <= self.root.count("/"):
            return name.endswith(".pkl")
        return _PICKLE_NAME.search(name) is not None

    def is_native(self, name: str) -> bool:
        """True when the member is a shared library that loading the model maps into the process."""
        return self.name == "pt2" and _NATIVE.search(name) is not None


def recognise(names: Iterable[str]) -> Kind:
    """Return the kind of the archive that has these members."""
    known = set(names)
    roots = sorted({n[: -len("data.pkl")] for n in known if n == "data.pkl" or n.endswith("/data.pkl")}, key=len)
    if roots:
        root = roots[0]
        if any(n.startswith(root + "code/") for n in known) or root + "constants.pkl" in known:
            return Kind("torchscript", root)
        return Kind("torch", root)
    for name, test in _TESTS:
        if test(known):
            return Kind(name)
    roots = sorted(n[: -len(".data/extern_modules")] for n in known if n.endswith(".data/extern_modules"))
    if roots:
        return Kind("torch-package", roots[0])
    return Kind("zip")


def _ends(known: set[str], suffix: str) -> bool:
    return any(n == suffix or n.endswith("/" + suffix) for n in known)


_TESTS: tuple[tuple[str, Callable[[set[str]], bool]], ...] = (
    (
        "pt2",
        lambda k: (
            _ends(k, "archive_format") or "serialized_exported_program.json" in k or any("/data/aotinductor/" in n for n in k)
        ),
    ),
    ("skops", lambda k: "schema.json" in k),
    ("keras", lambda k: "config.json" in k and ("metadata.json" in k or "model.weights.h5" in k)),
    ("mar", lambda k: _ends(k, "MAR-INF/MANIFEST.json")),
    ("npz", lambda k: bool(k) and all(n.endswith(".npy") for n in k)),
    ("wheel", lambda k: any(n.endswith(".dist-info/WHEEL") for n in k)),
    ("jar", lambda k: "META-INF/MANIFEST.MF" in k),
    ("oci", lambda k: "oci-layout" in k),
)
