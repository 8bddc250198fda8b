"""HDF5 files that the real library wrote, in every file version it writes: read completely, and the same objects as it sees."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest

from stannary.checks.static.walk import read_file
from stannary.testing.forges import make

VERSIONS = ("earliest", "v108", "v110", "latest")


class _Marker:
    """Pickles to a call of a harmless function with a text that is easy to find."""

    def __reduce__(self):
        return print, ("marker",)


PAYLOAD = np.frombuffer(pickle.dumps(_Marker(), 2) + bytes(20_000), dtype="u1").copy()


def facts(path, kind):
    return [fact for fact in read_file(str(path), strict=True).facts if fact.kind == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_is_visited(tmp_path, version):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=version) as file:
        for index in range(400):
            file[f"layer_{index}/vars/0"] = np.zeros(3, "f4")
            file[f"layer_{index}"].attrs["name"] = f"layer {index}"
        many = file.create_group("many", track_order=True)
        for index in range(200):
            many.attrs[f"attribute_{index}"] = "text " * index
        file.create_dataset(
            "packed",
            data=np.random.default_rng(0).random((200, 20)),
            chunks=(20, 20),
            compression="gzip",
            shuffle=True,
            fletcher32=True,
        )
        file.create_dataset("texts", data=["a", "b" * 300], dtype=h5py.string_dtype())
        file["soft"], file["loop"] = h5py.SoftLink("/many"), file["/"]
        seen = set()
        file.visititems(lambda _, item: seen.add(h5py.h5o.get_info(item.id).addr))
    report = read_file(str(path), strict=True)
    assert not report.missed
    (fact,) = [f for f in report.facts if f.kind == "hdf5.file"]
    extension = 1 if version != "earliest" else 0  # later versions may keep one more header for the superblock
    assert 0 <= fact.data["objects"] - len(seen | {0}) <= extension


LAYOUTS = {
    "contiguous": {},
    "chunks": {"chunks": (16,)},
    "one chunk": {"chunks": PAYLOAD.shape},
    "many small chunks": {"chunks": (7,)},
    "resizable": {"chunks": (16,), "maxshape": (None,)},
    "resizable in tiny chunks": {"chunks": (3,), "maxshape": (None,)},
    "deflate": {"chunks": (16,), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "resizable deflate": {"chunks": (16,), "maxshape": (None,), "compression": "gzip"},
    "lzf": {"chunks": (4000,), "compression": "lzf"},
}


@pytest.mark.parametrize("version", ["earliest", "latest"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pickle_is_found_in_every_layout(tmp_path, version, layout):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=version) as file:
        file.create_dataset("x", data=PAYLOAD, **LAYOUTS[layout])
    assert facts(path, "pickle.call")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pickle_is_found_among_many_attributes(tmp_path, version):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=version) as file:
        for index in range(60):
            file.attrs[f"a{index}"] = index
        file.attrs["z"] = np.void(pickle.dumps(_Marker(), 2))
    assert facts(path, "pickle.call")


@pytest.mark.parametrize("version", VERSIONS)
def test_links_and_storage_elsewhere(tmp_path, version):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver=version) as file:
        file["link"] = h5py.ExternalLink("../other.h5", "/a")
        file.create_dataset("stored", (8,), dtype="u1", external=[("/etc/passwd", 0, 8)])
        if version not in {"earliest", "v108"}:
            layout = h5py.VirtualLayout((4, 10), "f4")
            for index in range(4):
                layout[index] = h5py.VirtualSource(f"/srv/{index}.h5", "d", shape=(20,))[0:20:2]
            file.create_virtual_dataset("virtual", layout)
    assert [f.data["file"] for f in facts(path, "hdf5.external_link")] == ["../other.h5"]
    assert [f.data["file"] for f in facts(path, "hdf5.external_storage")] == ["/etc/passwd"]
    if version not in {"earliest", "v108"}:
        assert [f.data["file"] for f in facts(path, "hdf5.virtual")] == [f"/srv/{index}.h5" for index in range(4)]


@pytest.mark.parametrize(
    "name",
    ["hdf5.plain", "hdf5.external_link_absolute", "hdf5.external_storage_passwd", "hdf5.virtual_absolute", "hdf5.attribute_pickle"],
)
def test_forged_files_open_in_the_library(tmp_path, name):
    path = tmp_path / "x.h5"
    path.write_bytes(make(name))
    with h5py.File(path) as file:
        assert file["dense/kernel"].shape == (2, 4)
