"""Models of libraries that read numbers and names and run nothing: taggers, word vectors, language models, search indexes.

Each kind is told by its magic number and by what its header says of the file; what lies behind the end that a header
gives is handed on. References: CRFsuite `crf1d_model.c`, fastText `fasttext.cc`, KenLM `binary_format.cc`, OpenFst `fst.cc`,
Kaldi `io-funcs.cc`, Vowpal Wabbit `parse_regressor.cc`, word2vec `word2vec.c`, faiss `index_write.cpp`, hnswlib `hnswalg.h`,
Annoy `annoylib.h`, Tesseract `tessdatamanager.cpp`, dlib `serialize.h`, CTranslate2 `model.cc`, MAT-file level 5,
TensorStore's OCDBT (Orbax).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from stannary.core.errors import Truncated
from stannary.formats.interface import Sink, View

__all__ = ["probe", "read"]

_FAISS_DUMMY = struct.pack("<qq", 1 << 20, 1 << 20)
_FOURCC = re.compile(rb"I[xwvHN][A-Za-z0-9]{2}|Ix[A-Z][a-z]")
_OPENFST = b"\xd6\xfd\xb2\x7e"
_KALDI = re.compile(rb"\0B(?:<[A-Za-z0-9]{2,40}>|[FDC]M[23]? |[FD]V |\x04)")
_VOWPAL = re.compile(rb"[\x04-\x18]\0\0\0\d{1,2}\.\d{1,3}(?:\.\d{1,3})?[\w.-]{0,10}\0")
_WORD2VEC = re.compile(rb"(\d{1,9}) (\d{1,5})\n")
_DLIB = re.compile(rb"\x01\x01(?:\x01[\x06-\x40](?:loss|dlib|input|rect|fhog|tag)_|(?:\x81.|\x82..)\x81\x01)", re.DOTALL)
_CTRANSLATE = re.compile(rb"[\x02-\x10]\0\0\0[\x05-\x40]\0\w{2,60}Spec\0")
_MOST_ENTRIES = 64
_LONGEST_WORD = 1 << 12
_LONGEST_NODE = 1 << 16
_LEAST_NODE = 12


def probe(view: View) -> bool:
    """Tell whether the content is one of these kinds."""
    return bool(_kind(view))


def read(view: View, sink: Sink) -> None:
    """Recognise the kind, check the size that it states, and hand on what is behind."""
    kind = _kind(view)
    if not kind:
        return
    sink.fact("inert.weights", 0, magic=kind)
    end = len(view)
    try:
        if kind in _ENDS:
            end = _ENDS[kind](view)
    except (Truncated, ValueError) as exc:
        sink.incomplete(f"{kind}: {exc}")
        return
    sink.inert(f"{kind}: numbers and names only")
    if end < len(view) and bytes(view.data[end : end + (1 << 20)]).strip(b"\0\n"):
        sink.child("behind", view.data[end:], offset=end)


def _kind(view: View) -> str:
    head = view.head(64)
    for kind, told in _TOLD.items():
        if told(view, head):
            return kind
    return ""


def _faiss(_view: View, head: bytes) -> bool:
    return head[16:32] == _FAISS_DUMMY and _FOURCC.match(head) is not None


def _hnswlib(view: View, head: bytes) -> bool:
    if len(head) < 64 or any(head[:8]):
        return False
    most, count, size, label, data = struct.unpack_from("<5Q", head, 8)
    return bool(0 < count <= most < 1 << 40 and label + 8 == size and data < label and 96 + count * size <= len(view))


def _annoy(view: View, _head: bytes) -> bool:
    """Nodes of one size: the first are the items, the last are copies of the roots; both say how many items are below."""
    if not view.name.lower().endswith(".ann"):
        return False
    total = len(view)
    for size in range(_LEAST_NODE, min(total, _LONGEST_NODE), 4):
        if total % size == 0 and view.bytes(0, 4) == b"\1\0\0\0" and (total == size or view.bytes(size, 4) == b"\1\0\0\0"):
            items = int.from_bytes(view.bytes(total - size, 4), "little")
            if 0 < items <= total // size:
                return True
    return False


def _tesseract(view: View, head: bytes) -> bool:
    if not view.name.lower().endswith(".traineddata") or len(head) < 12:
        return False
    count = int.from_bytes(head[:4], "little")
    if not 0 < count <= _MOST_ENTRIES or 4 + 8 * count > len(view):
        return False
    return all(-1 <= offset <= len(view) for offset in struct.unpack(f"<{count}q", view.bytes(4, 8 * count)))


def _openfst(_view: View, head: bytes) -> bool:
    return head[:4] == _OPENFST and 0 < int.from_bytes(head[4:8], "little") < 32


def _word2vec(view: View, head: bytes) -> bool:
    """Two numbers, then words with their vectors: three of them tell it from a text of numbers."""
    match = _WORD2VEC.match(head)
    if match is None or not int(match[2]):
        return False
    pos = match.end()
    for _ in range(min(3, int(match[1]))):
        found = _word_end(view, pos, 4 * int(match[2]))
        if found < 0:
            return False
        pos = found
    return b"\0" in view.bytes(match.end(), min(4096, len(view) - match.end()))


def _word_end(view: View, pos: int, vector: int) -> int:
    """Return where the word that begins at `pos` ends, with its vector; -1 when there is none."""
    blank = bytes(view.data[pos : pos + _LONGEST_WORD]).find(b" ")
    end = pos + blank + 1 + vector
    return end + (bytes(view.data[end : end + 1]) == b"\n") if blank >= 0 and end <= len(view) else -1


def _word2vec_end(view: View) -> int:
    match = _WORD2VEC.match(view.head(64))
    if match is None:
        return 0
    pos = match.end()
    for _ in range(int(match[1])):
        found = _word_end(view, pos, 4 * int(match[2]))
        if found < 0:
            msg = f"ends inside word at {pos}"
            raise ValueError(msg)
        pos = found
    return pos


def _crfsuite_end(view: View) -> int:
    size = int.from_bytes(view.bytes(4, 4), "little")
    if size > len(view):
        msg = f"{size} bytes are stated, {len(view)} are there"
        raise ValueError(msg)
    return size


_TOLD: dict[str, Callable[[View, bytes], bool]] = {
    "OCDBT": lambda _view, head: head[:4] in {b"\x0c\xdb\x3a\x2a", b"\x0c\xdb\x20\xde", b"\x0c\xdb\x1a\x2a"},
    "CRFsuite": lambda _view, head: head[:4] == b"lCRF" and head[8:12] == b"FOMC",
    "fastText": lambda _view, head: head[:4] == b"\xba\x16\x4f\x2f" and head[4:8] in {b"\x0b\0\0\0", b"\x0c\0\0\0"},
    "KenLM": lambda _view, head: head.startswith(b"mmap lm http://kheafield.com/code format version "),
    "OpenFst": _openfst,
    "Kaldi": lambda _view, head: _KALDI.match(head) is not None,
    "Vowpal Wabbit": lambda _view, head: _VOWPAL.match(head) is not None,
    "CTranslate2": lambda _view, head: _CTRANSLATE.match(head) is not None,
    "MAT-file": lambda _view, head: head.startswith(b"MATLAB 5.0 MAT-file"),
    "dlib": lambda view, head: view.name.lower().endswith(".dat") and _DLIB.match(head) is not None,
    "faiss": _faiss,
    "hnswlib": _hnswlib,
    "Annoy": _annoy,
    "Tesseract": _tesseract,
    "word2vec": _word2vec,
}
_ENDS: dict[str, Callable[[View], int]] = {"CRFsuite": _crfsuite_end, "word2vec": _word2vec_end}
