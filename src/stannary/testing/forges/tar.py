"""Tar tricks, the legacy torch tar, NeMo archives and layers of images."""

from __future__ import annotations

import gzip
import hashlib
import json

from stannary.testing.forges.pickle import ECHO, PAYLOAD, register
from stannary.testing.forges.pickle_streams import benign
from stannary.testing.forges.torch import state_dict, torch_zip
from stannary.testing.forges.zip_writer import Item, build_zip
from stannary.testing.pickle_assembler import Assembler

__all__ = ["build_tar", "entry", "pax"]

_PATHS = "traversal/symlink/bomb"
_NESTED = "nested tar/zip/7z/OCI"
_LEGACY = "torch legacy magic / tar"
_NEMO = "NeMo/MAR/ptl/pt2"
_BENIGN = "benign tar"


def entry(name: str, content: bytes = b"", *, kind: bytes = b"0", link: str = "", mode: int = 0o644, size: int | None = None, magic: bytes = b"ustar\x0000") -> bytes:
    """Return one header and its content, padded."""
    block = bytearray(512)
    block[0 : min(100, len(name.encode()))] = name.encode()[:100]
    block[100:108] = b"%07o\x00" % mode
    block[108:116] = block[116:124] = b"0000000\x00"
    block[124:136] = b"%011o\x00" % (len(content) if size is None else size)
    block[136:148] = b"00000000000\x00"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157 : 157 + len(link.encode())] = link.encode()[:100]
    block[257:265] = magic
    block[148:156] = b"%06o\x00 " % sum(block)
    return bytes(block) + content + bytes(-len(content) % 512)


def _zip_across() -> bytes:
    first = build_zip([Item("archive/data.pkl", PAYLOAD)])
    cut = first.index(b"PK\x01\x02")
    body = build_tar(entry("a.bin", b"\x00" * 8 + first[:cut]))[:-1024]
    # Readers add what stands in front of the archive to every offset; written for that, the entry points into a.bin.
    tail = bytearray(first[cut:])
    at = len(body) + 512
    record = tail.index(b"PK\x05\x06")
    tail[42:46] = (520).to_bytes(4, "little")
    tail[record + 16 : record + 20] = at.to_bytes(4, "little")
    return body + build_tar(entry("b.bin", bytes(tail)))


def spoiled(member: bytes) -> bytes:
    """Return an entry with a wrong checksum."""
    return member[:148] + b"000001\x00 " + member[156:]


def pax(**records: str) -> bytes:
    """Return a pax extended header for the next member."""
    body = b""
    for key, value in records.items():
        text = f" {key.replace('__', '.')}={value}\n".encode()
        size = len(text) + 1
        while len(str(size)) + len(text) != size:
            size = len(str(size)) + len(text)
        body += str(size).encode() + text
    return entry("PaxHeaders/x", body, kind=b"x")


def build_tar(*parts: bytes, end: bool = True) -> bytes:
    """Return an archive of entries."""
    return b"".join(parts) + (bytes(1024) if end else b"")


def _path(name: str, build: object, *, filename: str = "model.tar") -> None:
    register(f"tar.{name}", _PATHS, build, filename=filename)  # type: ignore[arg-type]


_path("traversal", lambda: build_tar(entry("../../../../tmp/stannary.txt", b"stannary")))
_path("absolute", lambda: build_tar(entry("/tmp/stannary.txt", b"stannary")))
_path("traversal_pax", lambda: build_tar(pax(path="../stannary.txt"), entry("a.txt", b"stannary")))
_path("traversal_gnu_long", lambda: build_tar(entry("././@LongLink", b"../" * 50 + b"x\x00", kind=b"L"), entry("a.txt", b"stannary")))
_path("symlink_absolute", lambda: build_tar(entry("link", kind=b"2", link="/etc/passwd")))
_path("symlink_out", lambda: build_tar(entry("a/link", kind=b"2", link="../../outside")))
_path("hardlink_out", lambda: build_tar(entry("link", kind=b"1", link="../outside")))
_path("write_through_link", lambda: build_tar(entry("dir", kind=b"2", link="/tmp"), entry("dir/stannary.txt", b"stannary")))
_path("write_through_inner_link", lambda: build_tar(entry("a", kind=b"2", link="b"), entry("a/x.txt", b"stannary")))
_path("name_control", lambda: build_tar(entry("model\n.pkl", b"x")))
_path("device", lambda: build_tar(entry("null", kind=b"3")))
_path("fifo", lambda: build_tar(entry("pipe", kind=b"6")))
_path("setuid", lambda: build_tar(entry("tool", b"\x7fELF" + bytes(60), mode=0o4755)))
_path("pax_size_differs", lambda: build_tar(pax(size="0"), entry("a.txt", build_tar(entry("model.pkl", PAYLOAD)))))
_path("duplicate", lambda: build_tar(entry("model.pkl", benign()), entry("model.pkl", PAYLOAD)))

register("tar.behind_end", _NESTED, lambda: build_tar(entry("a.txt", b"a")) + build_tar(entry("model.pkl", PAYLOAD)), filename="model.tar")
register("tar.trailing_pickle", _NESTED, lambda: build_tar(entry("a.txt", b"a")) + PAYLOAD, filename="model.tar")
register("tar.pickle_inside", _NESTED, lambda: build_tar(entry("m/model.pkl", PAYLOAD)), filename="model.tar")
register("tar.gz_pickle", _NESTED, lambda: gzip.compress(build_tar(entry("m/model.pkl", PAYLOAD)), mtime=0), filename="model.tar.gz")
register("tar.gz_zip_tar", _NESTED, lambda: gzip.compress(build_tar(entry("a.zip", build_zip([Item("b.tar", build_tar(entry("c/model.bin", PAYLOAD)), method=8)]))), mtime=0), filename="models.tgz")
register("tar.v7_pickle", _NESTED, lambda: build_tar(entry("model.pkl", PAYLOAD, magic=bytes(8))), filename="model.bin")
register("tar.sparse_pickle", _NESTED, lambda: build_tar(pax(GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__name="model.pkl", GNU__sparse__realsize=str(len(PAYLOAD))), entry("x", b"1\n0\n%d\n" % len(PAYLOAD) + bytes(512 - len(b"1\n0\n%d\n" % len(PAYLOAD))) + PAYLOAD)), filename="model.tar")
register("tar.bad_checksum", _NESTED, lambda: build_tar(entry("a.txt", b"a"), spoiled(entry("model.pkl", PAYLOAD))), filename="model.tar")
register("tar.unknown_type", _NESTED, lambda: build_tar(entry("model.pkl", PAYLOAD, kind=b"Z")), filename="model.tar")
register("tar.no_end", _NESTED, lambda: build_tar(entry("model.pkl", PAYLOAD), end=False), filename="model.tar")


def _legacy(*, pickle: bytes, tensors: bytes | None = None, storages: bytes | None = None, system: bytes | None = None) -> bytes:
    one = Assembler(2).push(1).stop()
    key = Assembler(2).push(("0", "cpu", Assembler(2).name("torch", "FloatStorage"))).stop()
    stored = one + key + (4).to_bytes(8, "little") + bytes(16)
    return build_tar(
        entry("sys_info", system or Assembler(2).push({"protocol_version": 1000, "little_endian": True}).stop()),
        entry("pickle", pickle),
        entry("tensors", tensors or Assembler(2).push(0).stop()),
        entry("storages", storages or stored),
    )


register("torch.tar_legacy", "benign torch", lambda: _legacy(pickle=Assembler(2).push({"w": 1}).stop()), filename="model.pth", malicious=False)
register("torch.tar_pickle", _LEGACY, lambda: _legacy(pickle=PAYLOAD), filename="model.pth")
register("torch.tar_tensors", _LEGACY, lambda: _legacy(pickle=benign(2), tensors=PAYLOAD), filename="model.pth")
register("torch.tar_storages", _LEGACY, lambda: _legacy(pickle=benign(2), storages=Assembler(2).push(1).stop() + Assembler(2).push(("0", Assembler(2).call("os", "system", ECHO), "x")).stop() + bytes(24)), filename="model.pth")
register("torch.tar_system", _LEGACY, lambda: _legacy(pickle=benign(2), system=PAYLOAD), filename="model.pth")

_YAML = b"target: nemo.collections.asr.models.EncDecCTCModel\nsample_rate: 16000\n"
register("nemo.plain", _BENIGN, lambda: build_tar(entry("./", kind=b"5"), entry("./model_config.yaml", _YAML), entry("./model_weights.ckpt", torch_zip(state_dict()))), filename="model.nemo", malicious=False)
register("nemo.weights", _NEMO, lambda: build_tar(entry("./model_config.yaml", _YAML), entry("./model_weights.ckpt", torch_zip(PAYLOAD))), filename="model.nemo")
register("nemo.weights_gz", _NEMO, lambda: gzip.compress(build_tar(entry("./model_config.yaml", _YAML), entry("./model_weights.ckpt", torch_zip(PAYLOAD))), mtime=0), filename="model.nemo")
register("nemo.target", _NEMO, lambda: build_tar(entry("./model_config.yaml", _YAML + b"preprocessor:\n  _target_: os.system\n  _args_: ['echo stannary']\n"), entry("./model_weights.ckpt", torch_zip(state_dict()))), filename="model.nemo")


def _oci(layer: bytes) -> bytes:
    digest = hashlib.sha256(layer).hexdigest()
    manifest = json.dumps({"schemaVersion": 2, "layers": [{"digest": "sha256:" + digest, "size": len(layer)}]}).encode()
    return build_tar(entry("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), entry("manifest.json", manifest), entry(f"blobs/sha256/{digest}", layer))


register("oci.layer_pickle", _NESTED, lambda: _oci(gzip.compress(build_tar(entry("models/model.pkl", PAYLOAD)), mtime=0)), filename="image.tar")
register("oci.layer_torch", _NESTED, lambda: _oci(build_tar(entry("models/pytorch_model.bin", torch_zip(PAYLOAD)))), filename="image.tar")

register("tar.plain", _BENIGN, lambda: build_tar(entry("./", kind=b"5"), entry("./a.txt", b"hello\n"), entry("./model.pkl", benign())), filename="model.tar", malicious=False)
register("tar.plain_gz", _BENIGN, lambda: gzip.compress(build_tar(entry("a.txt", b"hello\n"), entry("model.pkl", benign())), mtime=0), filename="model.tar.gz", malicious=False)
register("tar.plain_pax", _BENIGN, lambda: build_tar(pax(path="long/" * 40 + "a.txt", mtime="1.5"), entry("a.txt", b"hello\n")), filename="model.tar", malicious=False)
register("tar.plain_link", _BENIGN, lambda: build_tar(entry("a/b.txt", b"hello\n"), entry("a/link", kind=b"2", link="b.txt"), entry("a/hard", kind=b"1", link="a/b.txt")), filename="model.tar", malicious=False)
register("tar.plain_padded", _BENIGN, lambda: build_tar(entry("a.txt", b"hello\n")) + bytes(10240 - 2048), filename="model.tar", malicious=False)
register("tar.plain_torch", _BENIGN, lambda: build_tar(entry("pytorch_model.bin", torch_zip(state_dict()))), filename="model.tar", malicious=False)
# Both have an `archive/data.pkl`: two models of one folder, and no duplicate.
register("tar.plain_two_torch", _BENIGN, lambda: build_tar(*(entry(f"{n}.pt", torch_zip(state_dict(), storage=bytes([n]) * 16)) for n in (1, 2))), filename="models.tar", malicious=False)
# The directory that a zip reader finds from the end leads into another member, and what lies there runs.
register("tar.zip_across", _NESTED, _zip_across, filename="models.tar")
register("tar.cut", "malformed", lambda: build_tar(entry("model.pkl", benign() * 20))[:700], filename="model.tar", malicious=None)
register("tar.huge_size", "malformed", lambda: build_tar(entry("model.pkl", b"abc", size=0o77777777777)), filename="model.tar", malicious=None)
