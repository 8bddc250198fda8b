"""Headers of model files: what real layouts say, and that nothing hostile gets through."""

import json
import pickle
import struct
import zipfile

import pytest

from stannary.formats.headers import Port, header_of
from stannary.formats.interface import Budget, Limits, View
from stannary.testing.forges import all_forges, make
from stannary.testing.forges.gguf import Writer
from stannary.testing.forges.safetensors import build


def read(content, name="model.bin"):
    return header_of(View(content, name), Budget(Limits(processor=5)))


def test_safetensors():
    raw = build(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, 24]},
            "b": {"dtype": "F32", "shape": [], "data_offsets": [24, 28]},
        },
        bytes(28),
    )
    found = read(raw, "m.safetensors")
    assert (found.tensors, found.parameters, found.dtypes, found.framework) == (2, 13, {"BF16": 12, "F32": 1}, "PyTorch")


def test_safetensors_with_impossible_dimensions():
    raw = build({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 0]}, "b": {"dtype": 3, "shape": "x"}})
    found = read(raw, "m.safetensors")
    assert found.parameters == 0
    assert found.incomplete


def test_gguf():
    writer = Writer().pair("general.architecture", "llama").pair("general.file_type", struct.pack("<II", 4, 15))
    writer = writer.pair("llama.context_length", struct.pack("<II", 4, 8192)).pair("tokenizer.ggml.tokens", ["a", "b", "c"])
    found = read(writer.tensor("blk.0.attn_q.weight", [256, 4], kind=12).bytes(bytes(576)), "m.gguf")
    assert (found.architecture, found.quantisation, found.parameters) == ("llama", "Q4_K_M", 1024)
    assert found.metadata["llama.context_length"] == 8192
    assert found.metadata["tokenizer.vocabulary"] == 3


def test_torch_state_dict():
    found = read(make("torch.state_dict"))
    assert (found.format, found.framework, found.tensors, found.parameters) == ("torch-zip", "PyTorch", 1, 4)


def test_onnx():
    found = read(make("onnx.plain"), "m.onnx")
    assert found.inputs == (Port("x", "float32", "2"),)
    assert found.outputs == (Port("y", "float32", "2"),)
    assert (found.metadata["opset ai.onnx"], found.parameters) == (17, 2)


def test_keras():
    found = read(make("keras.sequential_plain"), "m.keras")
    assert (found.framework, found.framework_version, found.architecture) == ("Keras", "3.12.0", "Sequential")
    assert found.inputs == (Port("input", "float32", "N x 4"),)
    assert found.parameters == 8


def test_xgboost():
    model = {
        "version": [2, 1, 0],
        "learner": {
            "feature_names": ["age", "income"],
            "feature_types": ["int", "float"],
            "learner_model_param": {"num_class": "0", "num_feature": "2"},
            "objective": {"name": "binary:logistic"},
            "gradient_booster": {"name": "gbtree", "model": {"gbtree_model_param": {"num_trees": "12"}}},
        },
    }
    found = read(json.dumps(model).encode(), "m.json")
    assert (found.framework, found.framework_version) == ("XGBoost", "2.1.0")
    assert found.metadata["num_trees"] == "12"
    assert found.inputs == (Port("age", "int"), Port("income", "float"))


def test_lightgbm():
    text = b"tree\nversion=v4\nnum_class=1\nobjective=binary sigmoid:1\nfeature_names=age income\n\nTree=0\nnum_leaves=2\n"
    found = read(text, "m.txt")
    assert (found.framework, found.metadata["objective"]) == ("LightGBM", "binary sigmoid:1")
    assert [port.name for port in found.inputs] == ["age", "income"]


def test_data_is_no_model():
    assert read(pickle.dumps({"a": [1, 2, 3]}), "m.pkl") is None
    assert read(b"# Title\n\nText.\n", "README.md") is None


def test_a_bomb_in_an_archive_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(200 << 20))
    found = read((tmp_path / "m.pt").read_bytes(), "m.pt")
    assert found.incomplete


@pytest.mark.parametrize("forge", all_forges().values(), ids=list(all_forges()))
def test_no_forge_gets_through(forge):
    content = make(forge.name)
    files = content if isinstance(content, dict) else {forge.filename: content}
    for name, raw in files.items():
        found = read(raw, name.rpartition("/")[2])
        assert found is None or (found.parameters or 0) >= 0


@pytest.mark.parametrize("forge", ["safetensors.plain", "gguf.plain", "onnx.plain", "keras.sequential_plain", "torch.state_dict"])
def test_cut_anywhere_it_ends(forge):
    raw = make(forge)
    for cut in range(1, len(raw), max(1, len(raw) // 60)):
        read(raw[:cut], "model.bin")
