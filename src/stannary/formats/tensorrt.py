"""TensorRT engines: compiled GPU programs. What can be said is what is embedded in them.

Format: closed. `ftrt` (or `ptrt`) begins a serialized engine; since version 10 a plan can carry plug-in
libraries, which the runtime writes out and loads. CUDA kernels inside are ELF files for a GPU
(machine 190), which the host never executes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from stannary.formats.embedded_text import note_code
from stannary.formats.interface import Sink, View, clip

__all__ = ["host_programs", "read"]

_HOST_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 243: "riscv", 20: "ppc", 21: "ppc64"}
# Class, byte order and version, then the machine: 190 (CUDA) and 224 (AMD) are not among them.
_ELF = re.compile(
    rb"\x7fELF(?:[\x01\x02]\x01\x01.{11}[\x03\x28\x3e\xb7\xf3\x15]\x00|[\x01\x02]\x02\x01.{11}\x00[\x14\x15\x28\xb7])", re.DOTALL
)
_LIBRARY = re.compile(rb"[\w./\\:-]{1,200}\.(?:so(?:\.\d+)*|dll)\b")
_PE = re.compile(rb"PE\x00\x00(?:\x64\x86|\x4c\x01|\x64\xaa)[\x00-\x60]\x00")
_PRINTABLE = re.compile(rb"[\t\x20-\x7e]{8,400}")
_MAX_RUNS = 20_000
_BLOCK = 4 << 20
_TEXTS = 512 << 20  # bytes of an engine that are searched for texts


def read(view: View, sink: Sink) -> None:
    """Report the engine, host executables in it, and the names of plug-ins and libraries it mentions."""
    sink.fact("tensorrt.engine", 0, magic=view.head(4).decode("latin-1"), size=len(view))
    for at, machine in host_programs(view):
        sink.fact("tensorrt.program", at, machine=machine)
        sink.child(f"program@{at}", view.data[at:], offset=at)
    names: dict[tuple[str, str], int] = {}
    seen: set[bytes] = set()
    for start in range(0, min(len(view), _TEXTS), _BLOCK):
        block = bytes(view.data[start : start + _BLOCK + 256])
        for match in itertools.islice(_PRINTABLE.finditer(block), _MAX_RUNS):
            text = match.group()
            if text not in seen and len(seen) < _MAX_RUNS:
                seen.add(text)
                _names(text, start + match.start(), names, sink)
        sink.budget.check_time()
    for (kind, name), at in itertools.islice(names.items(), 500):
        sink.fact(f"tensorrt.{kind}", at, name=clip(name))


def _names(text: bytes, at: int, names: dict[tuple[str, str], int], sink: Sink) -> None:
    """Collect what a printable run names, and report code in it."""
    if b"Plugin" in text or b"_TRT" in text:
        names.setdefault(("plugin", text.decode("ascii")), at)
    if b".so" in text or b".dll" in text:
        for match in _LIBRARY.finditer(text):
            names.setdefault(("library", match.group().decode("ascii")), at)
    note_code(sink, "engine", text.decode("ascii"), at)


def host_programs(view: View, limit: int = 8) -> Iterator[tuple[int, str]]:
    """Yield (offset, machine) of ELF and PE files for a CPU inside a blob; GPU kernels are passed over."""
    for match in itertools.islice(_ELF.finditer(view.data), limit):
        raw = match.group()
        machine = int.from_bytes(raw[18:20], "little" if raw[5] == 1 else "big")
        if machine in _HOST_MACHINES:
            yield match.start(), _HOST_MACHINES[machine]
    for match in itertools.islice(_PE.finditer(view.data), limit):
        start = bytes(view.data[max(0, match.start() - 1024) : match.start()]).rfind(b"MZ")
        if start >= 0:
            yield match.start() - min(1024, match.start()) + start, "Windows"
