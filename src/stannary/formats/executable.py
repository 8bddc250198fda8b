"""Programs: ELF, PE, Mach-O, WebAssembly, Java classes, and scripts with an interpreter line.

Formats: the ELF gABI, Microsoft's PE specification, Apple's `mach-o/loader.h`, the WebAssembly core specification. Only
headers and the names of imported libraries are read: what a program does is not for a scanner of this kind.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from stannary.core.errors import FormatError, Truncated
from stannary.formats.interface import Sink, View, clip

__all__ = ["read", "read_script"]

_ELF_TYPES = {1: "object", 2: "program", 3: "library", 4: "core"}
_MACHINES = {
    3: "x86",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    40: "arm",
    62: "x86-64",
    183: "aarch64",
    190: "cuda",
    224: "amdgpu",
    243: "riscv",
    247: "bpf",
}
_PE_MACHINES = {0x14C: "x86", 0x8664: "x86-64", 0x1C0: "arm", 0x1C4: "arm", 0xAA64: "aarch64"}
_MACHO_TYPES = {1: "object", 2: "program", 6: "library", 8: "bundle"}
_LOAD_DYLIB = frozenset({0xC, 0x80000018, 0x8000001F, 0x23})
_MAX_NAMES = 100


class _Program(NamedTuple):
    kind: str  # elf, pe, macho, wasm, java, ape
    form: str  # program, library, object, ...
    machine: str
    libraries: tuple[str, ...]


def read(view: View, sink: Sink) -> None:
    """Report what kind of program this is and the libraries it names.

    A header that does not hold is reported as a program all the same: a loader may be more tolerant than this reader.
    """
    magic = view.head(4)
    try:
        if magic == b"\x7fELF":
            program: _Program | None = _elf(view)
        elif magic[:2] == b"MZ":
            program = _pe(view)
        elif magic == b"\x00asm":
            program = _wasm(view)
        else:
            program = _macho(view)
    except (struct.error, OverflowError, Truncated, FormatError) as exc:  # an offset beyond what a machine can address
        sink.incomplete(f"the header of a program is broken: {exc}")
        program = _Program("unknown", "broken", "", ())
    if program is None:
        return
    sink.fact(
        "executable.program",
        0,
        kind=program.kind,
        form=program.form,
        machine=program.machine,
        libraries=[clip(name, 80) for name in program.libraries[:_MAX_NAMES]],
        embedded=not view.path,
        gpu=program.machine in {"cuda", "amdgpu"},
    )


_WEIGHTS = (
    *(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz", ".h5", ".hdf5", ".keras", ".onnx", ".pb"),
    *(".safetensors", ".gguf", ".tflite", ".model", ".msgpack", ".weights", ".params", ".nemo", ".mar"),
)


def read_script(view: View, sink: Sink) -> None:
    """Report the interpreter of a script."""
    line = view.head(256).split(b"\n", 1)[0].decode("utf-8", "replace")
    if line.startswith("#!["):  # a Rust attribute
        return
    weights = view.name.lower().endswith(_WEIGHTS)
    sink.fact("executable.script", 0, interpreter=clip(line[2:].strip(), 120), embedded=not view.path, weights=weights)


def _text(view: View, at: int) -> str:
    raw = bytes(view.data[at : at + 256])
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _elf(view: View) -> _Program:
    head = view.bytes(0, 20)
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    form, machine = struct.unpack_from(order + "HH", head, 16)
    if wide:
        table, size, count = struct.unpack_from(order + "Q", view.data, 32)[0], *struct.unpack_from(order + "HH", view.data, 54)
    else:
        table, size, count = struct.unpack_from(order + "I", view.data, 28)[0], *struct.unpack_from(order + "HH", view.data, 42)
    segments = []
    for index in range(min(count, 64)):
        at = table + index * size
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", view.data, at)
        else:
            kind, offset, address, _, length = struct.unpack_from(order + "IIIII", view.data, at)
        segments.append((kind, offset, address, length))
    return _Program(
        "elf", _ELF_TYPES.get(form, str(form)), _MACHINES.get(machine, str(machine)), _elf_needed(view, segments, order, wide=wide)
    )


def _elf_needed(view: View, segments: list[tuple[int, int, int, int]], order: str, *, wide: bool) -> tuple[str, ...]:
    """Return the DT_NEEDED names of the dynamic segment."""
    dynamic = next((s for s in segments if s[0] == 2), None)
    if dynamic is None:
        return ()
    code, step = (order + "qQ", 16) if wide else (order + "iI", 8)
    strings, needed = 0, []
    for at in range(dynamic[1], min(dynamic[1] + dynamic[3], len(view) - step), step):
        tag, value = struct.unpack_from(code, view.data, at)
        if tag == 0:
            break
        if tag == 1:
            needed.append(value)
        elif tag == 5:
            strings = value
    base = next(
        (
            offset + strings - address
            for kind, offset, address, length in segments
            if kind == 1 and address <= strings < address + length
        ),
        0,
    )
    return tuple(_text(view, base + n) for n in needed[:_MAX_NAMES]) if base else ()


def _pe(view: View) -> _Program | None:
    if view.head(8) in {b"MZqFpD='", b"jartsr='"}:
        return _Program("ape", "program", "any", ())  # an "actually portable executable": llamafile
    if len(view) < 64:
        return None  # `MZ` and a few bytes: no program
    at = struct.unpack_from("<I", view.data, 60)[0]
    if bytes(view.data[at : at + 4]) != b"PE\0\0":
        # A DOS program has a header of at least two paragraphs that fits the file; other content that begins with MZ has not.
        pages, paragraphs = struct.unpack_from("<H", view.data, 4)[0], struct.unpack_from("<H", view.data, 8)[0]
        plausible = 2 <= paragraphs <= 4096 and pages > 0 and (pages - 1) * 512 <= len(view)
        return _Program("dos", "program", "x86", ()) if plausible else None
    machine, sections, _, _, _, optional, flags = struct.unpack_from("<HHIIIHH", view.data, at + 4)
    header = at + 24
    wide = struct.unpack_from("<H", view.data, header)[0] == 0x20B
    directories = header + (112 if wide else 96)
    names: list[str] = []
    if optional >= (112 if wide else 96) + 16:
        imports = struct.unpack_from("<I", view.data, directories + 8)[0]
        table = header + optional
        spans = [struct.unpack_from("<IIII", view.data, table + 40 * i + 8) for i in range(min(sections, 96))]
        names = _pe_imports(view, imports, spans)
    return _Program("pe", "library" if flags & 0x2000 else "program", _PE_MACHINES.get(machine, hex(machine)), tuple(names))


def _pe_imports(view: View, address: int, spans: list[tuple[int, int, int, int]]) -> list[str]:
    def offset(rva: int) -> int:
        return next((raw + rva - start for size, start, length, raw in spans if start <= rva < start + max(size, length)), 0)

    names: list[str] = []
    at = offset(address) if address else 0
    while at and len(names) < _MAX_NAMES and at + 20 <= len(view):
        name = struct.unpack_from("<I", view.data, at + 12)[0]
        if not name or not offset(name):
            break
        names.append(_text(view, offset(name)))
        at += 20
    return names


def _macho(view: View) -> _Program | None:
    magic = view.head(4)
    if magic == b"\xca\xfe\xba\xbe":
        count = int.from_bytes(view.bytes(4, 4), "big")
        if count > 0x2C:  # as a class file: minor and major version; Java 1.1 is 45
            major = count & 0xFFFF
            return _Program("java", "class", f"version {major}", ()) if 45 <= major < 120 else None
        return _Program("macho", "universal", f"{count} architectures", ())
    wide, order = magic in {b"\xfe\xed\xfa\xcf", b"\xcf\xfa\xed\xfe"}, "<" if magic[0] in {0xCE, 0xCF} else ">"
    processor, _, form, count, _ = struct.unpack_from(order + "iiIII", view.data, 4)
    names: list[str] = []
    at = 32 if wide else 28
    for _ in range(min(count, 1000)):
        command, size = struct.unpack_from(order + "II", view.data, at)
        if command in _LOAD_DYLIB and len(names) < _MAX_NAMES:
            names.append(_text(view, at + struct.unpack_from(order + "I", view.data, at + 8)[0]))
        if size < 8:
            break
        at += size
    machine = {7: "x86", 0x1000007: "x86-64", 12: "arm", 0x100000C: "aarch64"}.get(processor, str(processor))
    return _Program("macho", _MACHO_TYPES.get(form, str(form)), machine, tuple(names))


def _wasm(view: View) -> _Program:
    """Read the modules of the import section."""
    names: set[str] = set()
    pos = 8
    for _ in range(1000):
        if pos >= len(view):
            break
        section, size, pos = view.data[pos], *_leb(view, pos + 1)
        if section == 2:
            content = bytes(view.data[pos : pos + min(size, 1 << 20)])
            names.update(m.decode("ascii") for m in re.findall(rb"(?:env|wasi_\w+|wbg|go)", content))
        pos += size
    return _Program("wasm", "module", "wasm", tuple(sorted(names)))


def _leb(view: View, pos: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = view.bytes(pos, 1)[0]
        pos += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, pos
        shift += 7
        if shift > 35:
            msg = "a section size of more than 32 bits"
            raise FormatError(msg, pos)
