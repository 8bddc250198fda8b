"""Forges of taggers, word vectors, language models and search indexes, alone and with a pickle behind them."""

from __future__ import annotations

import struct
from collections.abc import Callable

from stannary.testing.forges import forge
from stannary.testing.forges.tensors import _ELF as ELF

__all__ = ["KINDS"]

_PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0decho stannary\x85R." + b"." * 30


def _crfsuite() -> bytes:
    body = b"FOMC" + struct.pack("<9I", 100, 0, 1, 1, 48, 48, 48, 48, 48) + b"FEAT" + struct.pack("<2I", 12, 0)
    return b"lCRF" + struct.pack("<I", 8 + len(body)) + body


def _fasttext() -> bytes:
    return struct.pack("<2i", 793712314, 12) + struct.pack("<12i", *[1] * 12) + b"word\0" + bytes(40)


def _word2vec() -> bytes:
    return b"2 2\nking " + struct.pack("<2f", 0.5, 2.0) + b"\nqueen " + struct.pack("<2f", 1.0, 0.25) + b"\n"


def _faiss() -> bytes:
    return b"IxF2" + struct.pack("<i3q", 2, 1, 1 << 20, 1 << 20) + b"\1" + struct.pack("<iq2f", 1, 2, 0.5, 0.25)


def _hnswlib() -> bytes:
    size = 4 + 4 * 4 + 8 + 8
    head = struct.pack("<6QiI3QdQ", 0, 4, 1, size, size - 8, 20, 0, 0, 2, 4, 2, 0.5, 10)
    return head + bytes(size) + bytes(4)


def _annoy() -> bytes:
    return struct.pack("<3i2f", 1, 0, 0, 0.5, 0.5) * 2 + struct.pack("<3i2f", 2, 0, 1, 0.5, 0.5) * 2


def _tesseract() -> bytes:
    return struct.pack("<i2q", 2, 20, -1) + b"unicharset"


def _text(text: bytes) -> Callable[[], bytes]:
    return lambda: text


KINDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "crfsuite": ("tagger.crfsuite", _crfsuite),
    "fasttext": ("lid.ftz", _fasttext),
    "word2vec": ("vectors.bin", _word2vec),
    "kenlm": ("lm.klm", _text(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(80))),
    "openfst": ("HCLr.fst", _text(b"\xd6\xfd\xb2\x7e" + struct.pack("<i", 6) + b"vector" + struct.pack("<i", 8) + b"standard" + bytes(40))),
    "kaldi": ("final.mdl", _text(b"\0B<TransitionModel> <Topology> " + bytes(20))),
    "vowpal": ("model.vw", _text(struct.pack("<I", 7) + b"8.11.0\0" + struct.pack("<I", 1) + b"\0m" + bytes(20))),
    "ctranslate2": ("model.bin", _text(struct.pack("<IH", 6, 16) + b"TransformerSpec\0" + bytes(20))),
    "matlab": ("net.mat", _text(b"MATLAB 5.0 MAT-file, Platform: posix".ljust(124) + b"\0\1IM" + bytes(16))),
    "dlib": ("shape_predictor.dat", _text(b"\x01\x01\x81\x88\x81\x01" + bytes(range(1, 60)))),
    "faiss": ("docs.index", _faiss),
    "hnswlib": ("docs.hnsw", _hnswlib),
    "annoy": ("docs.ann", _annoy),
    "tesseract": ("eng.traineddata", _tesseract),
}  # fmt: skip
for _name, (_file, _make) in KINDS.items():
    forge(f"weights.{_name}", filename=_file, family="taggers, vectors and indexes", malicious=False)(_make)


@forge("weights.crfsuite_then_pickle", filename="tagger.crfsuite", family="taggers, vectors and indexes", malicious=True)
def _() -> bytes:
    return _crfsuite() + _PICKLE


@forge("weights.word2vec_then_pickle", filename="vectors.bin", family="taggers, vectors and indexes", malicious=True)
def _() -> bytes:
    return _word2vec() + _PICKLE


@forge("weights.rknn_program", filename="model.rknn", family="taggers, vectors and indexes", malicious=True)
def _program() -> bytes:
    return b"RKNN" + bytes(60) + ELF


@forge("weights.rknn_plain", filename="model.rknn", family="taggers, vectors and indexes", malicious=False)
def _no_program() -> bytes:
    return b"RKNN" + bytes(60) + bytes(range(256))


@forge("weights.crfsuite_cut", filename="tagger.crfsuite", family="taggers, vectors and indexes", malicious=None)
def _() -> bytes:
    return _crfsuite()[:-6]


@forge("weights.word2vec_cut", filename="vectors.bin", family="taggers, vectors and indexes", malicious=None)
def _() -> bytes:
    return _word2vec().replace(b"2 2\n", b"3 2\n", 1)
