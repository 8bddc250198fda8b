"""One suite for every place that blobs can be in, as they are and encrypted; S3's protocol is spoken by moto's server."""

import contextlib
import os
import urllib.request
import uuid

import pytest

from stannary.crypto.envelope import Envelopes
from stannary.crypto.wrapping import WrappingKey
from stannary.store.blobs.encrypted import EncryptedBlobs
from stannary.store.blobs.folder import FolderObjects
from stannary.store.blobs.plain import PlainBlobs
from stannary.store.blobs.s3 import S3Objects
from stannary.testing.blob_memory import MemoryObjects
from stannary.testing.blobs import CASES, Place

# moto serves each connection by a thread that ends with the process
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def bucket():
    """Start moto's server on loopback with a bucket, and return the address of the bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    names = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/blobs", method="PUT")
    with contextlib.closing(urllib.request.urlopen(request, timeout=30)):
        yield "s3://blobs"
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})
    server.stop()


@pytest.fixture(params=["memory", "folder", "bucket"])
def objects(request, tmp_path):
    """Return what opens a place, and its address for other processes."""
    if request.param == "memory":
        one = MemoryObjects()
        return (lambda: one), ""
    if request.param == "folder":
        return (lambda: FolderObjects(tmp_path / "blobs")), f"folder:{tmp_path / 'blobs'}"
    address = f"{request.getfixturevalue('bucket')}/some/{uuid.uuid4()}"
    return (lambda: S3Objects(address)), f"bucket:{address}"


@pytest.fixture(params=["plain", "encrypted"])
def place(request, objects, tmp_path):
    opened, address = objects
    once = 8 << 20 if address.startswith("bucket:") else 1 << 62  # longer contents go to S3 in parts
    if request.param == "plain":
        return Place(lambda: PlainBlobs(opened()), opened(), address, once=once)
    key = WrappingKey.generate()
    key.write(tmp_path / "key", None)
    address = address and f"encrypted:{tmp_path / 'key'}:{address}"
    return Place(lambda: EncryptedBlobs(opened(), Envelopes([key])), opened(), address, authentic=True, once=once)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_is_a_blob_store(case, place):
    case(place)
