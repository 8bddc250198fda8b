"""A repository folder as one graph: which code runs when a framework loads it, and what leads outside.

Facts besides those of `repository_code` (`file` is relative to the folder):
`repo.document`: files, kinds (what the folder is: transformers, diffusers, mlflow, ...).
`repo.remote`: code that a loader fetches from another repository. Fields: file, trigger, reference.
`repo.outside`: a reference that leaves the folder. Fields: file, trigger, reference, how.
`repo.dotted`: a dotted name that a loader imports from what is installed. Fields: file, trigger, name.
`repo.missing`: a file that an index or a configuration names and that is not here. Fields: file, trigger, what.
`repo.pointer`: a Git LFS pointer in the place of weights. Fields: file, size.
`repo.shadow`: weights in a pickle beside the same in safetensors. Fields: file, safe.
`repo.symlink`: a symbolic link out of the folder. Fields: file, target.
`repo.startup`: a file that Python runs by itself. Fields: file, what, text.
`repo.licence`: declared (whether any licence is declared).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from stannary.formats import repository_loaders as loaders
from stannary.formats.interface import Sink, clip
from stannary.formats.licences import from_card, from_text
from stannary.formats.repository_code import LoadPath
from stannary.formats.repository_files import Folder

__all__ = ["read_repository"]

_LFS = b"version https://git-lfs.github.com/spec/v1"
_WEIGHTS = (
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".h5",
    ".safetensors",
    ".onnx",
    ".gguf",
    ".msgpack",
    ".joblib",
    ".keras",
    ".pb",
    ".npz",
    ".npy",
    ".tflite",
    ".model",
)
_SHADOWS = (
    (r"pytorch_model(.*)\.bin", "model{}.safetensors"),
    (r"adapter_model(.*)\.bin", "adapter_model{}.safetensors"),
    (r"diffusion_pytorch_model(.*)\.bin", "diffusion_pytorch_model{}.safetensors"),
)
_STARTUP = frozenset({"sitecustomize.py", "usercustomize.py"})
_POINTER_SIZE = 1024


def read_repository(root: str, files: Sequence[str], sink: Sink) -> None:
    """Read the folder `root` whose files (relative paths) are `files`; what it does as a whole becomes `repo.*` facts."""
    folder = Folder(root, files, sink)
    code = LoadPath(folder, sink)
    kinds: list[str] = []
    for name in sorted(folder.names):
        sink.budget.check_time()
        base = posixpath.basename(name)
        _file(name, base, folder, code, sink)
        kind = loaders.read(name, base, folder, code, sink)
        if kind and kind not in kinds:
            kinds.append(kind)
    _shadows(folder, sink)
    _licence(folder, sink)
    sink.fact("repo.document", None, files=len(folder.names), kinds=kinds)


def _file(name: str, base: str, folder: Folder, code: LoadPath, sink: Sink) -> None:
    link = folder.link_target(name)
    if link is not None and link[1]:
        sink.fact("repo.symlink", None, file=clip(name), target=clip(link[0]))
        sink.incomplete(f"{clip(name)}: a symbolic link out of the folder was not followed")
        return
    if base in _STARTUP:
        sink.fact("repo.startup", None, file=clip(name), what="module", text="")
        code.file(name, "Python start-up")
    elif base.endswith(".pth"):
        head = folder.head(name, 4096)
        lines = [ln for ln in head.split(b"\n") if re.match(rb"import[ \t]", ln)]
        if lines and b"\0" not in head:
            sink.fact("repo.startup", None, file=clip(name), what="path file", text=clip(lines[0].decode("utf-8", "replace")))
    if base.lower().endswith(_WEIGHTS) and folder.head(name, len(_LFS)) == _LFS:
        size = re.search(rb"\nsize (\d{1,18})", folder.head(name, _POINTER_SIZE))
        sink.fact("repo.pointer", None, file=clip(name), size=int(size[1]) if size else None)
        sink.incomplete(f"{clip(name)}: a Git LFS pointer, the weights are not here")


def _shadows(folder: Folder, sink: Sink) -> None:
    for name in sorted(folder.names):
        directory, base = posixpath.split(name)
        for pattern, safe in _SHADOWS:
            match = re.fullmatch(pattern, base)
            other = posixpath.join(directory, safe.format(match[1])) if match else ""
            if other and (other in folder.names or f"{other}.index.json" in folder.names):
                sink.fact("repo.shadow", None, file=clip(name), safe=clip(other))


def _licence(folder: Folder, sink: Sink) -> None:
    declared = False
    for name in sorted(folder.names):
        base = name.lower()
        if "/" in name:
            continue
        if base.startswith(("license", "licence", "copying")):
            declared = declared or bool(from_text(folder.text(name))) or bool(folder.text(name).strip())
        elif base.startswith("readme"):
            declared = declared or bool(from_card(folder.text(name)))
    sink.fact("repo.licence", None, declared=declared)
