"""Files of a signed model give out verified bytes, and only the ranges that are wanted are read."""

import io
import json
import os
import struct

import pytest

import stannary
from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.keys import generate
from stannary.evidence.oms.key import KeyTrust
from stannary.evidence.oms.ranged import SignedModel
from stannary.evidence.oms.sign import SignOptions

KEY = generate()
SHARD = 4096


def safetensors(**tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, content in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(content)], "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.safetensors").write_bytes(safetensors(first=os.urandom(10_000), second=os.urandom(20_000), third=os.urandom(5)))
    (folder / "config.json").write_text("{}")
    (folder / "empty").write_text("")
    return folder


@pytest.fixture(params=[SHARD, None], ids=["shards", "files"])
def opened(request, model):
    stannary.sign(model, key=KEY, options=SignOptions(shard_size=request.param))
    return stannary.open_signed(model, signature=f"{model}.sig", key=KEY.public)


def test_what_is_read_is_what_is_there(opened, model):
    content = (model / "w.safetensors").read_bytes()
    with opened.open("w.safetensors") as file:
        assert file.pread(100, 12_000) == content[12_000:12_100]
        assert file.pread(100, len(content) - 5) == content[-5:]
        assert io.BufferedReader(file).read() == content
    with opened.open("empty") as file:
        assert file.read() == b""
    assert opened.names == ["config.json", "empty", "w.safetensors"]


def test_seeking_is_that_of_a_file(opened, model):
    content = (model / "w.safetensors").read_bytes()
    with opened.open("w.safetensors") as file:
        file.seek(-3, os.SEEK_END)
        assert (file.tell(), file.read()) == (len(content) - 3, content[-3:])
        file.seek(5)
        file.seek(2, os.SEEK_CUR)
        assert file.read(4) == content[7:11]
        with pytest.raises(ValueError, match="before the start"):
            file.seek(-1)


def test_tensors_are_read_one_by_one(opened):
    with opened.tensors("w.safetensors") as tensors:
        assert list(tensors) == ["first", "second", "third"]
        assert tensors["second"].shape == (20_000,)
        assert len(tensors["third"].data) == 5


def test_with_shards_one_tensor_costs_its_own_ranges(model):
    stannary.sign(model, key=KEY, options=SignOptions(shard_size=SHARD))
    path = model / "w.safetensors"
    with path.open("r+b") as file:
        file.seek(25_000)  # in `second`
        file.write(b"tampered")
    opened = stannary.open_signed(model, signature=f"{model}.sig", key=KEY.public)
    with opened.tensors("w.safetensors") as tensors:
        assert len(tensors["first"].data) == 10_000
        with pytest.raises(IntegrityError, match="changed in the 4,096 bytes from 24,576") as raised:
            tensors["second"]
        assert raised.value.code == "SIG005"


def test_bytes_that_were_verified_stay_what_they_were(opened, model):
    path = model / "w.safetensors"
    content = path.read_bytes()
    with opened.open("w.safetensors") as file:
        assert file.pread(10, 0) == content[:10]
        with path.open("r+b") as other:
            other.write(b"\0" * 10)
        assert file.pread(10, 0) == content[:10]


@pytest.mark.parametrize("change", ["shorter", "longer", "flipped"])
def test_a_file_that_changed_gives_nothing(opened, model, change):
    path = model / "w.safetensors"
    content = bytearray(path.read_bytes())
    if change == "shorter":
        del content[-1]
    elif change == "longer":
        content += b"x"
    else:
        content[3] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(IntegrityError) as raised, opened.open("w.safetensors") as file:
        file.pread(1, 0)
    assert raised.value.code == "SIG005"


def test_files_that_are_not_signed_or_not_there_cannot_be_opened(model):
    stannary.sign(model, key=KEY)
    (model / "later.bin").write_bytes(b"1")
    (model / "config.json").rename(model / "other.json")
    (model / "empty").unlink()
    (model / "empty").symlink_to("later.bin")
    opened = SignedModel(model, f"{model}.sig", KeyTrust(KEY.public))
    for name, kind, code in [
        ("later.bin", UsageError, "SIG004"),
        ("../model.sig", UsageError, "SIG004"),
        ("config.json", IntegrityError, "SIG006"),
        ("empty", IntegrityError, "SIG008"),
    ]:
        with pytest.raises(kind) as raised:
            opened.open(name)
        assert raised.value.code == code


def test_memory_is_bounded(model):
    stannary.sign(model, key=KEY, options=SignOptions(shard_size=SHARD))
    opened = SignedModel(model, f"{model}.sig", KeyTrust(KEY.public), memory=3 * SHARD)
    with opened.open("w.safetensors") as file:
        for offset in range(0, file.size, SHARD):
            file.pread(1, offset)
            assert file.verified <= 3 * SHARD
        assert file.pread(1, 0)
    stannary.sign(model, key=KEY)
    with pytest.raises(UsageError, match="may be kept in memory"):
        SignedModel(model, f"{model}.sig", KeyTrust(KEY.public), memory=SHARD).open("w.safetensors")


def test_a_wrong_key_opens_nothing(model):
    stannary.sign(model, key=KEY)
    with pytest.raises(IntegrityError):
        stannary.open_signed(model, signature=f"{model}.sig", key=generate().public)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 16,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 60) + b'{"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}} ',
        struct.pack("<Q", 22) + b'{"a": 1, "a": 2, "b":3}',
    ],
)
def test_what_is_no_safetensors_file_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    stannary.sign(path, key=KEY)
    with pytest.raises(InputError, match="not a safetensors file"):
        stannary.open_signed(path, signature=f"{path}.sig", key=KEY.public).tensors(".")


def test_a_file_that_was_emptied_is_not_read_as_an_empty_one(model):
    stannary.sign(model, key=KEY)
    (model / "config.json").write_text("")
    opened = stannary.open_signed(model, signature=f"{model}.sig", key=KEY.public)
    with pytest.raises(IntegrityError, match="no content any more"):
        opened.open("config.json")
    assert opened.open("empty").read() == b""
