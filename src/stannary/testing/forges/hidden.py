"""A pickle among bytes that are of no format, or that the readers of a format pass over; and files that only speak of one."""

from __future__ import annotations

import random
import struct
import zlib

from stannary.testing.forges import forge
from stannary.testing.forges._format_writers import flatbuffer
from stannary.testing.forges.pdf import document

__all__: list[str] = []

_FRAMED = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x0decho stannary\x85R."
_LINES = b"cposix\nsystem\n(S'echo stannary'\ntR."
_NOISE = random.Random(7).randbytes(4096)


def _wave(samples: bytes) -> bytes:
    head = b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xac\0\0\x44\xac\0\0\x01\0\x08\0data" + struct.pack("<I", len(samples))
    return b"RIFF" + struct.pack("<I", len(head) + len(samples)) + head + samples


def _flat_stream(content: bytes) -> bytes:
    packed = zlib.compress(content)
    return document(b"<</Type/Catalog>>", b"<</Filter/FlateDecode/Length %d>>stream\n" % len(packed) + packed + b"\nendstream")


_TREES = b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\n\nend of trees\n"
for _name, _file, _content in (
    ("recording", "hello.wav", _wave(_NOISE + _FRAMED + _NOISE)),
    ("recording_lines", "hello.wav", _wave(_LINES + _NOISE)),
    ("behind_executorch", "model.pte", flatbuffer({0: ("I", 0)}, b"ET12") + _FRAMED),
    ("behind_trees", "model.txt", _TREES + _FRAMED),
    ("engine", "model.plan", b"ptrt" + bytes(20) + _FRAMED),
    ("old_weights", "model.ggml", b"lmgg" + bytes(40) + _FRAMED),
    ("page", "card.pdf", _flat_stream(_FRAMED)),
    ("nothing_known", "model.bin", bytes(512) + _FRAMED + bytes(9)),
    ("broken_hdf5", "model.h5", b"\x89HDF\r\n\x1a\n" + bytes(200) + _FRAMED),
):
    forge(f"hidden.{_name}", filename=_file, family="hidden among other bytes", malicious=True)(_content.__bytes__)
for _name, _file, _content in (
    ("recording_plain", "hello.wav", _wave(_NOISE)),
    ("recording_of_words", "hello.wav", _wave(b"posix system os.system subprocess Popen eval exec\n" + _NOISE)),
    ("page_of_words", "card.pdf", _flat_stream(b"BT (cos) Tj (system) Tj (import os; os.system) Tj ET MZ PK #!/")),
    ("executorch_plain", "model.pte", flatbuffer({0: ("I", 0)}, b"ET12") + bytes(16)),
):
    forge(f"hidden.{_name}", filename=_file, family="hidden among other bytes", malicious=False)(_content.__bytes__)
