"""What a model file is called, from its bytes alone, where no library of models is installed."""

from __future__ import annotations

import io
import zipfile

import pytest

from stannary.checks.target.file_kind import file_kind, torch_kind


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name in names:
            out.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content, said, kind",
    [
        (archive("net/data.pkl", "net/constants.pkl", "net/code/__torch__.py"), "zip", "torchscript"),
        (archive("net/data.pkl", "net/data/0"), "zip", "torch"),
        (b"\x80\x02\x8a\n" + b"\0" * 40, "pickle", "torch"),
        (archive("archive_format", "models/model.json"), "zip", "torch.export"),
        (archive("data/aotinductor/model/x.so"), "zip", "aotinductor"),
        (archive("schema.json"), "zip", "skops"),
        (archive("config.json", "model.weights.h5"), "zip", "keras"),
        (archive("letter.txt"), "zip", "zip"),
        (b"PK\x03\x04 broken", "zip", "zip"),
        (b"CBM1....", "binary", "catboost"),
        (b'{"learner": {}}', "json", "xgboost"),
        (b"{L\0\0\0learner", "ubjson", "xgboost"),
        (b"tree\nversion=v4", "text", "lightgbm"),
        (b"\x08\x07\x12\x04torch", "protobuf", "onnx"),
        (b"\x0a\x07tensors", "pickle", "pickle"),
        (b"", "empty", "empty"),
    ],
)
def test_files_are_called_what_their_makers_call_them(content: bytes, said: str, kind: str, tmp_path) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    assert file_kind(path, said) == kind


def test_hdf5_is_keras_by_its_name_alone(tmp_path) -> None:
    for name, kind in (("model.h5", "keras"), ("rows.hdf", "hdf5")):
        path = tmp_path / name
        path.write_bytes(b"\x89HDF\r\n\x1a\n")
        assert file_kind(path, "hdf5") == kind


def test_what_is_gone_is_called_what_the_scan_said(tmp_path) -> None:
    assert file_kind(tmp_path / "gone", "zip") == "zip"


def test_a_stream_is_read_from_its_beginning() -> None:
    stream = io.BytesIO(archive("data.pkl"))
    stream.seek(3)
    assert torch_kind(stream) == "pickle"
