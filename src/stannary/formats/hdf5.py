"""HDF5 files (Keras weights and models, pandas and PyTables stores, MATLAB 7.3): metadata, read completely.

Every object reachable from the root, the superblock extension, and the cached root symbol table is
visited. Numbers are skipped by structure; text, opaque bytes and 8-bit arrays of at most one
dimension are looked at, since loaders unpickle or parse them.

Facts (`path` is the object's path in the file):
- `hdf5.file` version, userblock, objects
- `hdf5.external_link` path, file, target: a group member in another file
- `hdf5.user_link` path, number: a link class registered by an application
- `hdf5.external_storage` path, file, offset, size: elements of a dataset stored in another file
- `hdf5.virtual` path, file, target: elements of a dataset taken from another file
- `hdf5.filter` path, number, name: a filter the library loads as a plug-in
- `hdf5.oversized` path, bytes, stored: dimensions that promise far more than is stored
- `hdf5.driver`: the file is one part of a file made of several
- `hdf5.trailing` size: bytes after the end that the superblock gives
- `hdf5.attribute` path, name, value (clipped): text of attributes that Keras and PyTables read
"""

from __future__ import annotations

from stannary.core.errors import FormatError
from stannary.formats.hdf5_file import find_superblock
from stannary.formats.interface import Sink, View

__all__ = ["probe", "read"]


def probe(view: View) -> bool:
    """Tell whether a superblock is anywhere the library looks for one."""
    return find_superblock(view) is not None


def read(view: View, sink: Sink) -> None:
    """Read an HDF5 file. Raises FormatError when even the root cannot be read."""
    from stannary.formats.hdf5_walk import walk_file

    base = find_superblock(view)
    if base is None:
        msg = "no HDF5 superblock"
        raise FormatError(msg, 0)
    walk_file(view, base, sink)
