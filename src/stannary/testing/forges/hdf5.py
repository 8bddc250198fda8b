"""HDF5 forges: links, storage and mappings that leave the file, payloads in values, malformed files."""

from __future__ import annotations

import struct

from stannary.testing.forges import forge
from stannary.testing.forges._hdf5_writer import Writer, external_link, soft_link, user_link

__all__ = ["PICKLE"]

FAMILY = "HDF5"
PICKLE = b"\x80\x02cposix\nsystem\nX\x0a\x00\x00\x00echo owned\x85R."
_FLOATS = struct.pack("<8f", *range(8))


def _plain(
    extra: list[tuple[int, bytes]] | None = None, members: dict[str, int] | None = None, writer: Writer | None = None
) -> bytes:
    w = writer or Writer()
    kernel = w.dataset((2, 4), _FLOATS)
    layer = w.group({"kernel": kernel})
    names = w.attribute("layer_names", b"dense\0\0\0")
    return w.finish(w.group({"dense": layer, **(members or {})}, [names, *(extra or [])]))


@forge("hdf5.plain", filename="model.weights.h5", family=FAMILY, malicious=False)
def _() -> bytes:
    return _plain([soft_link("alias", "/dense/kernel")])


@forge("hdf5.external_link_absolute", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _plain([external_link("bias", "/srv/models/other.h5", "/dense/bias")])


@forge("hdf5.external_link_traversal", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _plain([external_link("bias", "../../other/weights.h5", "/dense/bias")])


@forge("hdf5.external_link_relative", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _plain([external_link("bias", "other.h5", "/dense/bias")])


@forge("hdf5.external_storage_passwd", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain(members={"bias": w.external(64, "/etc/passwd")}, writer=w)


@forge("hdf5.external_storage_relative", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain(members={"bias": w.external(64, "bias.raw")}, writer=w)


@forge("hdf5.virtual_absolute", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain(members={"bias": w.virtual((8,), "/srv/models/other.h5", "/bias")}, writer=w)


@forge("hdf5.virtual_relative", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain(members={"bias": w.virtual((8,), "other.h5", "/bias")}, writer=w)


@forge("hdf5.virtual_own_file", filename="model.weights.h5", family=FAMILY, malicious=False)
def _() -> bytes:
    w = Writer()
    return _plain(members={"bias": w.virtual((2, 4), ".", "/dense/kernel")}, writer=w)


@forge("hdf5.user_link", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _plain([user_link("bias", 187, b"somewhere")])


@forge("hdf5.filter_plugin", filename="model.weights.h5", family=FAMILY, malicious=False)
def _() -> bytes:
    w = Writer()
    pipeline = struct.pack("<BB", 2, 1) + struct.pack("<HHHH", 32001, 6, 0, 0) + b"blosc\0"
    return _plain(members={"bias": w.chunked((8,), filters=pipeline)}, writer=w)


@forge("hdf5.oversized", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain(members={"bias": w.dataset((1 << 40, 4), b"")}, writer=w)


@forge("hdf5.trailing", filename="model.weights.h5", family=FAMILY, malicious=None)
def _() -> bytes:
    return _plain() + bytes(range(1, 200))


@forge("hdf5.trailing_pickle", filename="model.weights.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _plain() + PICKLE


@forge("hdf5.userblock_pickle", filename="model.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    return _plain(writer=Writer(PICKLE.ljust(512, b"\0")))


@forge("hdf5.attribute_pickle", filename="store.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain([w.attribute("info", b"cposix\nsystem\n(S'echo owned'\ntR.")], writer=w)


@forge("hdf5.attribute_opaque_pickle", filename="store.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain([w.attribute("scaler", PICKLE, opaque=True)], writer=w)


@forge("hdf5.dataset_pickle", filename="store.h5", family=FAMILY, malicious=True)
def _() -> bytes:
    w = Writer()
    return _plain(members={"estimator": w.opaque(PICKLE)}, writer=w)


@forge("hdf5.truncated", filename="model.weights.h5", family=FAMILY, malicious=None)
def _() -> bytes:
    return _plain()[:-80]


@forge("hdf5.root_outside", filename="model.weights.h5", family=FAMILY, malicious=None)
def _() -> bytes:
    raw = bytearray(_plain())
    raw[64:72] = struct.pack("<Q", 1 << 40)
    return bytes(raw)


@forge("hdf5.superblock_only", filename="model.weights.h5", family=FAMILY, malicious=None)
def _() -> bytes:
    return _plain()[:20]


@forge("hdf5.header_of_four_gigabytes", filename="model.weights.h5", family=FAMILY, malicious=None)
def _() -> bytes:
    w = Writer()
    root = w.put(struct.pack("<BxHII4x", 1, 0xFFFF, 1, 0xFFFFFFF0))
    return w.finish(root)
