"""Which formats a piece of content can be read as: by content first, names only ever add readings.

A loader is chosen by its caller, not by the file, so every reading a loader could make is
returned: a zip with a pickle in front is both. The table is data and imports no reader; a
reader's module is imported when a view first needs it.
"""

from __future__ import annotations

import fnmatch
import importlib
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stannary.formats.interface import Sink, View
from stannary.formats.package_magic import PACKAGES

__all__ = ["FORMATS", "Format", "identify", "is_text", "load_probe", "load_reader"]

Magic = tuple[int, bytes]


class Format(NamedTuple):
    """A row: how content is recognised and which `module:function` reads it.

    `magic`: any of (offset, bytes) matches. `names`: file name patterns under which a loader
    reads this format whatever the content (lower case; an added reading for text formats).
    `probe`: name of a function in the reader's module, `probe(view) -> bool`, tried when
    `first` (a set of first bytes, empty = any) admits the view and no magic matched.
    """

    name: str
    reader: str
    magic: tuple[Magic, ...] = ()
    names: tuple[str, ...] = ()
    probe: str = ""
    first: bytes = b""
    text: bool = False  # names apply only to text content


_F = "stannary.formats."
_MEDIA = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"%PDF-", b"OggS", b"fLaC", b"ID3", b"wOF2", b"wOFF", b"RIFF",
          b"\x00\x01\x00\x00\x00",
          # TIFF, icons of macOS and Windows, and tables of Stata
          b"II*\0", b"MM\0*", b"icns\0", *(bytes((0, 0, 1, 0, n, 0)) for n in range(1, 17)), b"<stata_dta><header><release>11",
          *(bytes((version, order, 1, 0)) for version in (0x71, 0x72, 0x73) for order in (1, 2)))  # fmt: skip
_PROTOBUF_FIRST = bytes((0x08, 0x0A, 0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x42, 0x4A))

FORMATS: tuple[Format, ...] = (
    # Containers and compression
    Format("zip", _F + "zip:read", ((0, b"PK\x03\x04"), (0, b"PK\x05\x06"), (0, b"PK\x07\x08")), probe="probe"),
    Format("tar", _F + "tar:read", ((257, b"ustar"),), probe="probe"),
    Format("7z", _F + "sevenzip:read", ((0, b"7z\xbc\xaf\x27\x1c"),)),
    Format("gzip", _F + "compressed:read_gzip", ((0, b"\x1f\x8b"),)),
    Format("bz2", _F + "compressed:read_bz2", ((0, b"BZh"),)),
    Format("xz", _F + "compressed:read_xz", ((0, b"\xfd7zXZ\x00"),)),
    # The third byte belongs to the dictionary's size, which liblzma takes as 2^n or 2^n + 2^(n-1) only.
    Format("lzma", _F + "compressed:read_lzma", tuple((0, bytes((0x5D, 0, n))) for n in (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192))),
    Format("zlib", _F + "compressed:read_zlib", ((0, b"\x78\x01"), (0, b"\x78\x5e"), (0, b"\x78\x9c"), (0, b"\x78\xda"))),
    Format("zstd", _F + "compressed:read_zstd", ((0, b"\x28\xb5\x2f\xfd"), *((0, bytes((0x50 + n,)) + b"\x2a\x4d\x18") for n in range(16)))),
    Format("lz4", _F + "compressed:read_lz4", ((0, b"\x04\x22\x4d\x18"),)),
    Format("joblib-z", _F + "compressed:read_zfile", ((0, b"ZF"),)),
    Format("rar", _F + "inert:read_unsupported", ((0, b"Rar!\x1a\x07"),)),
    # Model formats with a magic number
    Format("numpy", _F + "numpy_array:read", ((0, b"\x93NUMPY"),)),
    Format("hdf5", _F + "hdf5:read", tuple((o, b"\x89HDF\r\n\x1a\n") for o in (0, 512, 1024, 2048, 4096, 8192)), probe="probe"),
    Format("gguf", _F + "gguf:read", ((0, b"GGUF"), (0, b"FUGG"))),
    Format("ggml", _F + "gguf:read_ggml", ((0, b"lmgg"), (0, b"fmgg"), (0, b"tjgg"), (0, b"algg"))),
    Format("safetensors", _F + "safetensors:read", names=("*.safetensors",), probe="probe"),
    Format("parquet", _F + "parquet:read", ((0, b"PAR1"), (0, b"PARE"))),
    Format("arrow", _F + "arrow:read", ((0, b"ARROW1"), (0, b"FEA1"), (0, b"\xff\xff\xff\xff"))),
    Format("tflite", _F + "tflite:read", ((4, b"TFL3"),)),
    Format("executorch", _F + "executorch:read", ((4, b"ET12"), (4, b"ET11"), (4, b"ET13"))),
    Format("tensorrt", _F + "tensorrt:read", ((0, b"ftrt"), (0, b"ptrt")), names=("*.engine", "*.plan", "*.trt")),
    Format("mxnet", _F + "mxnet:read_params", ((0, b"\x12\x01\x00\x00\x00\x00\x00\x00"),)),
    Format("catboost", _F + "catboost:read", ((0, b"CBM1"),)),
    Format("xgboost-binary", _F + "xgboost_binary:read", ((0, b"binf"), (0, b"bs64")), names=("*.deprecated",)),
    Format("ubjson", _F + "xgboost:read_ubjson", probe="probe_ubjson", first=b"{"),
    Format("xgboost-json", _F + "xgboost:read_json", probe="probe_json", first=b"{\xef \n\r\t"),
    Format("mxnet-symbol", _F + "mxnet:read_symbol", probe="probe_symbol", first=b"{\xef \n\r\t"),
    Format("skops", _F + "skops:read", probe="probe", first=b"{\xef \n\r\t"),
    Format("lightgbm", _F + "lightgbm:read", ((0, b"tree\n"), (0, b"tree\r\n"))),
    Format("rdata", _F + "rdata:read", ((0, b"RDX2\n"), (0, b"RDX3\n"), (0, b"RDA2\n"), (0, b"RDA3\n"), (0, b"X\n\x00\x00\x00"), (0, b"A\n2\n"), (0, b"A\n3\n"))),
    Format("matlab", _F + "matlab:read", ((0, b"MATLAB 5.0 MAT-file"),)),
    Format("torch7", _F + "torch7:read", names=("*.t7", "*.th7"), probe="probe", first=b"\x01\x02\x03\x04"),
    Format("protobuf", _F + "protobuf_models:read", probe="probe", first=_PROTOBUF_FIRST,
           names=("*.onnx", "saved_model.pb", "*.pb", "*.pbtxt", "*.meta", "*.mlmodel", "*.pdmodel", "*.pdiparams", "keras_metadata.pb")),
    Format("tf-checkpoint", _F + "tf_checkpoint:read", names=("*.index", "variables.data-*", "*.data-?????-of-?????")),
    Format("tfrecord", _F + "tf_checkpoint:read_tfrecord", names=("*.tfrecord", "*.tfrecords", "*.tfrecord-*", "*.tfrecords-*")),
    Format("msgpack", _F + "flax_msgpack:read", names=("*.msgpack", "checkpoint", "*.flax", "lookups.bin", "key2row"), probe="probe",
           first=bytes((*range(0x81, 0x90), 0xDE, 0xDF))),
    Format("onnx-ort", _F + "ort_flatbuffer:read", ((4, b"ORTM"),)),
    Format("rknn", _F + "inert:read_weights", ((0, b"RKNN"),)),
    Format("ncnn", _F + "inert:read_weights", ((0, b"7767517"),)),
    Format("openvino", _F + "openvino:read", probe="probe", first=b"<\xef \n\r\t\xff\xfe", text=True),
    Format("pmml", _F + "pmml:read", names=("*.pmml",), probe="probe", first=b"<\xef \n\r\t\xff\xfe", text=True),
    Format("xml", _F + "xml_text:read", names=("*.xml", "*.rels", "*.??proj", "*.proj", "*.???proj", "*.targets", "*.props", "*.msc", "*.library-ms", "*.settingcontent-ms",
                                                           "*.jnlp", "*.xsl", "*.xslt", "*.xaml", "*.plist", "*.webloc", "*.ows", "*.rmp", "nuget.config"),
           probe="probe", first=b"<\xef \n\r\t\xff\xfe", text=True),
    # Code and executables
    Format("elf", _F + "executable:read", ((0, b"\x7fELF"),)),
    Format("pe", _F + "executable:read", ((0, b"MZ"),)),
    Format("macho", _F + "executable:read", tuple((0, m) for m in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"))),
    Format("wasm", _F + "executable:read", ((0, b"\x00asm"),)),
    Format("package", _F + "packages:read", tuple((at, magic) for at, magic, _ in PACKAGES), probe="probe"),
    Format("ar", _F + "packages:read_ar", ((0, b"!<arch>\n"),)),
    Format("blend", _F + "packages:read_blend", ((0, b"BLENDER"),)),
    Format("java-objects", _F + "foreign_serial:read_java", ((0, b"\xac\xed\x00\x05"),)),
    Format("net-objects", _F + "foreign_serial:read_net", ((0, b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x00\x00\x00"),)),
    Format("ruby-objects", _F + "foreign_serial:read_ruby", tuple((0, b"\x04\x08" + kind) for kind in (b"o:", b"[", b"{", b"c", b"I", b"U:", b"e:", b"u:"))),
    Format("julia-objects", _F + "julia_objects:read_jls", ((0, b"7JL"),)),
    Format("bson", _F + "julia_objects:read_bson", names=("*.bson",), probe="probe_bson"),
    Format("jld2", _F + "julia_objects:read_jld", ((0, b"HDF5-based Julia Data Format"),)),
    Format("avro", _F + "avro:read", ((0, b"Obj\x01"),)),
    Format("php-objects", _F + "foreign_serial:read_php", probe="probe_php", first=b"OCa"),
    Format("phar", _F + "foreign_serial:read_phar", ((0, b"<?php __HALT_COMPILER();"),)),
    Format("script", _F + "executable:read_script", ((0, b"#!"),)),
    Format("pyc", _F + "python_bytecode:read", names=("*.pyc", "*.pyo"), probe="probe"),
    Format("marshal", _F + "python_bytecode:read_marshalled", probe="probe_marshalled", first=b"\xe3c"),
    # Text
    Format("python", _F + "python_source:read", names=("*.py", "*.pyw", "*.pyi", "sconstruct", "sconscript", "snakefile")),  # in whatever encoding its cookie names
    Format("notebook", _F + "notebook:read", names=("*.ipynb",), text=True),
    Format("jinja", _F + "jinja_template:read", names=("*.jinja", "*.jinja2", "*.j2", "chat_template*"), text=True),
    Format("keras-config", _F + "keras_config:read", probe="probe", first=b"{\xef\xff\xfe\x00 \n\r\t"),
    Format("json", _F + "json_text:read", names=("*.json", "*.jsonl", "*.webmanifest"), probe="probe", first=b'{[\xef \n\r\t"', text=True),
    Format("yaml", _F + "yaml_text:read", names=("*.yaml", "*.yml", "mlmodel", "mlproject", "*.dvc"), text=True),
    Format("toml", _F + "config_text:read_toml", names=("*.toml",), text=True),
    Format("ini", _F + "config_text:read_ini", names=("*.cfg", "*.ini", "*.conf", ".coveragerc"), text=True),
    Format("requirements", _F + "requirements_text:read", names=("requirements*.txt", "*requirements*.in", "*environment*.y*ml", "env*.y*ml", "conda*.y*ml", "pyproject.toml", "setup.cfg", "pipfile", "pip.conf", "pip.ini", "uv.toml", ".condarc", ".npmrc"), text=True),
    Format("rtf", _F + "rtf:read", ((0, b"{\\rt"), (0, b"{\\*\\rt"))),
    Format("text", _F + "plain_text:read", probe="probe"),
    # Recognised, nothing in them a model loader runs
    Format("compound", _F + "compound:read", ((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),)),
    Format("sqlite", _F + "sqlite:read", ((0, b"SQLite format 3\x00"),)),
    Format("media", _F + "inert:read_media", (*((0, m) for m in _MEDIA), (4, b"ftyp"))),
    Format("learned-weights", _F + "weight_files:read", probe="probe", first=b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18IMl\xba\xd6m0123456789"),
    # Last: opcodes have no magic, so anything may be one; and files that are numbers only when their model is beside them
    Format("pickle", _F + "pickle_reader:read", probe="probe"),
    Format("raw-weights", _F + "raw_weights:read", names=("*.bin", "*-shard*", "?" * 32, "*.onnx_data*", "*.onnx.data*", "*_data", "*.data", "*.weights", "*.weight", "*.bias",
                                                          "onnx__*_*")),
)  # fmt: skip

_BY_NAME = {row.name: row for row in FORMATS}
_LOADED: dict[str, Callable[[View, Sink], None]] = {}
_PROBES: dict[tuple[str, str], Callable[[View], bool]] = {}
_HIGH = bytes(range(128, 256))
_FEWEST, _APART = 24, 8  # bytes of a text in an older encoding, and one ASCII character in how many at least
_CONTROL = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 27})
_HEAD = 32
# What the kinds of `weight_files` that are not told by a name begin with.
_LEARNED = re.compile(
    rb"lCRF|\x0c\xdb|\xba\x16\x4f\x2f|mmap lm |\xd6\xfd\xb2\x7e|\0B|[\x02-\x18]\0\0\0[\d\x05-\x40]|MATLAB 5|I[A-Za-z]..|\0{8}|\d{1,9} \d{1,5}\n",
    re.DOTALL,
)

# Which rows a first byte can belong to at all, so that 5,000 small files cost little.
_NEAR: dict[tuple[int, int], dict[bytes, list[int]]] = {}  # by where a magic stands, begin and end
_FAR = sorted((o, i, m) for i, row in enumerate(FORMATS) for o, m in row.magic if o > _HEAD - len(m))
_OPENING: list[list[tuple[int, bytes]]] = [[] for _ in range(256)]
_PROBED: list[list[int]] = [[] for _ in range(256)]
for _i, _row in enumerate(FORMATS):
    for _o, _m in _row.magic:
        if not _o:
            _OPENING[_m[0]].append((_i, _m))
        elif _o <= _HEAD - len(_m):
            _NEAR.setdefault((_o, _o + len(_m)), {}).setdefault(_m, []).append(_i)
    if _row.probe:
        for _b in _row.first or range(256):
            _PROBED[_b].append(_i)


_SUFFIXES: dict[str, list[int]] = {}
_EXACT: dict[str, list[int]] = {}
_GLOBS: list[tuple[int, str, str]] = []  # row, pattern, and the longest part that stands for itself
for _i, _row in enumerate(FORMATS):
    for _name in _row.names:
        if _name[:2] == "*." and not set(_name[1:]) & set("*?["):
            _SUFFIXES.setdefault(_name[1:], []).append(_i)
        elif set(_name) & set("*?["):
            _GLOBS.append((_i, _name, max(re.split(r"[*?]", _name), key=len)))
        else:
            _EXACT.setdefault(_name, []).append(_i)


_PARTS = re.compile("|".join(re.escape(part) for _, _, part in _GLOBS if part))  # one search for all that have one
_LENGTHS = frozenset(len(pattern) for _, pattern, part in _GLOBS if not part)  # the others are of question marks alone


def _named(base: str) -> set[int]:
    """Return the rows whose names match a lower-case file name."""
    found = set(_EXACT.get(base, ()))
    at = base.find(".")
    while at >= 0:
        found.update(_SUFFIXES.get(base[at:], ()))
        at = base.find(".", at + 1)
    if len(base) in _LENGTHS or _PARTS.search(base):
        found.update(i for i, pattern, part in _GLOBS if part in base and fnmatch.fnmatchcase(base, pattern))
    return found


def _doubled(start: int, end: int) -> Iterator[int]:
    while start < end:
        yield start
        start *= 2


def is_text(view: View) -> bool:
    """Tell whether the first 8 KiB look like text: UTF-8, UTF-16, or an older encoding that keeps ASCII."""
    head = view.head(8192)
    if not head:
        return False
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    if 0x80 <= head[0] < 0xC2:  # nothing in UTF-8 begins so
        return False
    if head.translate(None, _CONTROL) != head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        return (exc.start >= len(head) - 3 and len(head) == 8192) or _is_older(head)
    return True


def _is_older(head: bytes) -> bool:
    """Tell whether text without control characters is in an encoding of before (Latin-1, CP1251, GBK, Shift JIS): lines, and words apart."""
    plain = len(head.translate(None, _HIGH))
    return head[0] < 0x80 and b"\n" in head and len(head) >= _FEWEST and plain * _APART >= len(head)


# What a probe needs to be there at all: checked here, so that its module is imported only then.
# They are given the view and its first bytes.
_GATES: dict[str, Callable[[View, bytes], bool]] = {
    "zip": lambda view, _: b"PK" in (tail := view.tail(65_557)) and (b"PK\x05\x06" in tail or b"PK\x06\x06" in tail),
    "tar": lambda view, _: len(view) >= 512 and not view.bytes(148, 8).strip(b"01234567 \x00"),
    "hdf5": lambda view, _: len(view) > 16384 and any(bytes(view.data[o : o + 8]) == b"\x89HDF\r\n\x1a\n" for o in _doubled(16384, len(view))),
    "safetensors": lambda view, head: head[8:9] == b"{" or view.name.endswith(".safetensors"),
    "pyc": lambda _, head: head[2:4] == b"\r\n",
    "text": lambda view, head: not 0x80 <= head[0] < 0xC2 and is_text(view),
    "package": lambda view, _: view.tail(512)[:4] in (b"koly", b"cone"),
    "learned-weights": lambda view, head: _LEARNED.match(head) is not None or view.name.lower().endswith((".ann", ".dat", ".traineddata")),
}  # fmt: skip
# For each first byte: the rows that are probed, with their gates.
_TRIED = [[(i, FORMATS[i], _GATES.get(FORMATS[i].name)) for i in rows] for rows in _PROBED]


def identify(view: View, hint: str = "", plugged: tuple[Format, ...] = ()) -> list[Format]:
    """Return every format the view can be read as, in the order of the table; empty when none is known.

    `plugged` are rows beside the table, of plug-ins: they can add readings, and take none away.
    """
    head = view.head(_HEAD)
    if not head:
        return []
    first = head[0]
    found = {i for i, magic in _OPENING[first] if head.startswith(magic)}
    for (start, stop), magics in _NEAR.items():
        near = magics.get(head[start:stop])
        if near:
            found.update(near)
    data, size = view.data, len(view.data)
    for offset, i, magic in _FAR:
        if offset >= size:
            break
        if data[offset : offset + len(magic)] == magic:
            found.add(i)
    base = view.name.replace("\\", "/").rpartition("/")[2].lower()
    named = _named(base)
    if named:
        text = is_text(view)
        found.update(i for i in named if text or not FORMATS[i].text)
    if hint in _BY_NAME:
        found.add(FORMATS.index(_BY_NAME[hint]))
    for i, row, gate in _TRIED[first]:
        if i not in found and (gate is None or gate(view, head)) and load_probe(row)(view):
            found.add(i)
    rows = [FORMATS[i] for i in sorted(found)]
    return [*rows, *(row for row in plugged if row.name == hint or _admits(row, view, base))] if plugged else rows


def _admits(row: Format, view: View, base: str) -> bool:
    """Tell by the row alone whether a view is of its format; for rows that are not in the indexes above."""
    if any(view.data[offset : offset + len(magic)] == magic for offset, magic in row.magic):
        return True
    if any(fnmatch.fnmatchcase(base, pattern) for pattern in row.names) and (not row.text or is_text(view)):
        return True
    return bool(row.probe) and (not row.first or view.head(1) in row.first) and load_probe(row)(view)


def load_reader(row: Format) -> Callable[[View, Sink], None]:
    """Import and return the reader of a row."""
    if row.reader not in _LOADED:
        module, _, function = row.reader.partition(":")
        _LOADED[row.reader] = getattr(importlib.import_module(module), function)
    return _LOADED[row.reader]


def load_probe(row: Format) -> Callable[[View], bool]:
    """Import and return the probe of a row."""
    key = (row.reader, row.probe)
    if key not in _PROBES:
        module = row.reader.partition(":")[0]
        _PROBES[key] = getattr(importlib.import_module(module), row.probe)
    return _PROBES[key]
