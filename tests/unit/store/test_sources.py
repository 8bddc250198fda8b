"""Sources against servers on loopback that speak the real protocols."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import free_port

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.store.sources import oci, resolve
from stannary.store.sources.fetch import Fetcher, safe_path
from stannary.testing.simulators import FileSimulator, HubSimulator, OciSimulator

BIG = bytes(range(256)) * 1024
FILES = {"config.json": b"{}", "sub/model.bin": BIG}


def test_hub_downloads_a_pinned_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubSimulator({"org/model": FILES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = resolve("hf://org/model", offline=False, dest=tmp_path)
    assert (found.path / "sub/model.bin").read_bytes() == BIG
    assert found.source["revision"] == HubSimulator.commit
    assert found.source["files"]["sub/model.bin"] == hashlib.sha256(BIG).hexdigest()


@pytest.mark.parametrize("name", ["config.json", "sub/model.bin"])
def test_hub_that_serves_other_bytes_than_announced_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubSimulator({"org/model": FILES}, lie={name: FILES[name][:-1] + b"!"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(IntegrityError, match="announced"):
            resolve("hf://org/model", offline=False, dest=tmp_path)
    assert not (tmp_path / "model" / name).exists()


def test_a_broken_download_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubSimulator({"org/model": FILES}, break_after=100_000) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = resolve("hf://org/model", offline=False, dest=tmp_path)
    assert (found.path / "sub/model.bin").read_bytes() == BIG
    assert any("bytes=100000-" in request for request in hub.requests)


def test_hub_names_that_leave_the_folder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubSimulator({"org/model": {"../evil": b"x"}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(InputError, match="no path below"):
            resolve("hf://org/model", offline=False, dest=tmp_path / "in")
    assert not (tmp_path / "evil").exists()


def test_offline_uses_the_local_cache_and_opens_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", None)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--org--model" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--org--model" / "refs").mkdir()
    (tmp_path / "models--org--model" / "refs" / "main").write_text("a" * 40)
    assert resolve("hf://org/model", offline=True, dest=tmp_path).path == snapshot
    with pytest.raises(BackendError, match="opens no socket"):
        resolve("hf://org/other", offline=True, dest=tmp_path)
    with pytest.raises(BackendError, match="opens no socket"):
        resolve("https://example.invalid/x", offline=True, dest=tmp_path)


def test_https_verifies_a_pin_and_caps(tmp_path: Path) -> None:
    with FileSimulator({"/model.bin": BIG}) as web:
        pin = hashlib.sha256(BIG).hexdigest()
        assert resolve(f"{web.url}/model.bin#sha256={pin}", offline=False, dest=tmp_path).path.read_bytes() == BIG
        with pytest.raises(IntegrityError):
            resolve(f"{web.url}/model.bin#sha256={'0' * 64}", offline=False, dest=tmp_path)
        with pytest.raises(InputError, match="cap"):
            resolve(f"{web.url}/model.bin", offline=False, dest=tmp_path, cap=1000)
        with pytest.raises(BackendError, match="404"):
            resolve(f"{web.url}/nothing", offline=False, dest=tmp_path)
        web.redirects["/file"] = "file:///etc/passwd"
        with pytest.raises(BackendError):
            resolve(f"{web.url}/file", offline=False, dest=tmp_path)


def test_oci_layers_are_verified(tmp_path: Path) -> None:
    with OciSimulator("team/model", {"model.pkl": BIG}) as registry:
        host = registry.url.removeprefix("http://")
        found = resolve(f"oci://{host}/team/model:v1", offline=False, dest=tmp_path)
        assert (found.path / "model.pkl").read_bytes() == BIG
        assert found.source["digest"] == registry.digest
        assert resolve(f"oci://{host}/team/model@{registry.digest}", offline=False, dest=tmp_path / "b").path.is_dir()
    with OciSimulator("team/model", {"model.pkl": BIG}, lie=BIG[:-1] + b"!") as registry:
        host = registry.url.removeprefix("http://")
        with pytest.raises(IntegrityError):
            resolve(f"oci://{host}/team/model:v1", offline=False, dest=tmp_path / "c")


ODD = [
    b"[]",
    b"7",
    b"null",
    b"{",
    b"\xff",
    b'{"a":' * 50_000,
    b'{"sha": 1, "siblings": {}}',
    b'{"siblings": [1]}',
    b'{"files": [null]}',
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("source", ["hf", "oci", "mlflow"])
def test_whatever_a_server_answers_is_an_error_of_the_server(
    source: str, odd: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileSimulator({"/api/models/org/model/revision/main": odd, "/v2/org/model/manifests/latest": odd}) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        server.files |= {
            "/api/2.0/mlflow/model-versions/get-download-uri": b'{"artifact_uri": "mlflow-artifacts:/1"}',
            "/api/2.0/mlflow-artifacts/artifacts": odd,
        }
        targets = {"hf": "hf://org/model", "oci": f"oci://{server.url[7:]}/org/model", "mlflow": "mlflow:models/m/1"}
        if source == "oci" and odd.startswith((b'{"s', b'{"f')):
            server.files["/v2/org/model/manifests/latest"] = b'{"layers": %b}' % odd
        if source == "mlflow" and odd.startswith(b'{"s'):
            server.files["/api/2.0/mlflow-artifacts/artifacts"] = b'{"files": "x"}'
        with pytest.raises(BackendError):
            resolve(targets[source], offline=False, dest=tmp_path)


def test_an_answer_that_breaks_off_is_an_error_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_up() -> None:
        with listener.accept()[0] as connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(BackendError):
            resolve("hf://org/model", offline=False, dest=tmp_path)
        thread.join(60)


def test_an_oci_registry_elsewhere_sends_nobody_to_what_listens_on_this_machine() -> None:
    with FileSimulator({"/token": b'{"token": "of somebody else"}'}) as inner:
        registry = oci._Registry("registry.example", "team/model", Fetcher(1 << 20))
        with pytest.raises(BackendError, match="asks for a login"):
            registry._authorize(f'Bearer realm="{inner.url}/token",service="x"', "https://registry.example")
    assert inner.requests == []


@pytest.mark.parametrize("named", ["latest", "v1", "", None])
def test_an_oci_index_is_followed_by_digest_alone(named: str | None, tmp_path: Path) -> None:
    """What is asked for by a tag may be anything: a pinned index would pin nothing."""
    with OciSimulator("team/model", {"model.pkl": BIG}) as registry:
        index = json.dumps({"manifests": [{"digest": named, "platform": None}]}).encode()
        pin = f"sha256:{hashlib.sha256(index).hexdigest()}"
        registry.files[f"/v2/team/model/manifests/{pin}"] = index
        address = f"oci://{registry.url.removeprefix('http://')}/team/model@{pin}"
        with pytest.raises(BackendError, match="by its digest"):
            resolve(address, offline=False, dest=tmp_path / "a")
        index = json.dumps({"manifests": [{"digest": registry.digest}]}).encode()
        pin = f"sha256:{hashlib.sha256(index).hexdigest()}"
        registry.files[f"/v2/team/model/manifests/{pin}"] = index
        found = resolve(f"{address.partition('@')[0]}@{pin}", offline=False, dest=tmp_path / "b")
        assert (found.path / "model.pkl").read_bytes() == BIG


@pytest.mark.parametrize(
    "target",
    [
        "hf://",
        "hf://a/b/c/d",
        "s3://UPPER/x",
        "oci://host",
        "mlflow:runs/1",
        "http://example.invalid/x",
        "gopher://x",
        "registry:m@prod",
    ],
)
def test_addresses_that_are_none(target: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        resolve(target, offline=False, dest=tmp_path)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../b", "a\x00b", "", "a\\b", "x" * 2000])
def test_hostile_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        safe_path(tmp_path, name, "here")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    for key, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    ends = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=30).close()
            break
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait(60)


def test_s3_objects_and_prefixes(s3: str, tmp_path: Path) -> None:
    import obstore
    from obstore.store import S3Store

    request = urllib.request.Request(
        f"{s3}/models", method="PUT", headers={"Authorization": "AWS4-HMAC-SHA256 Credential=test/x/us-east-1/s3/aws4_request"}
    )
    urllib.request.urlopen(request, timeout=60).close()
    store = S3Store(
        "models",
        config={"endpoint": s3, "region": "us-east-1", "virtual_hosted_style_request": False},
        client_options={"allow_http": True},
    )
    obstore.put(store, "team/net/weights.bin", BIG)
    obstore.put(store, "team/net/config.json", b"{}")
    found = resolve("s3://models/team/net", offline=False, dest=tmp_path)
    assert (found.path / "weights.bin").read_bytes() == BIG
    assert sorted(path.name for path in found.path.iterdir()) == ["config.json", "weights.bin"]
    single = resolve("s3://models/team/net/config.json", offline=False, dest=tmp_path / "one")
    assert single.path.read_bytes() == b"{}"
    with pytest.raises(BackendError):
        resolve("s3://missing-bucket-here/x", offline=False, dest=tmp_path / "two")


def test_mlflow_through_the_artifact_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = "/api/2.0/mlflow"
    listing = {
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 2},
            {"path": "model.pkl", "is_dir": False, "file_size": len(BIG)},
        ]
    }
    served = {
        f"{api}/registered-models/alias": b'{"model_version": {"version": "3"}}',
        f"{api}/model-versions/get-download-uri": b'{"artifact_uri": "mlflow-artifacts:/1/models/m-1/artifacts"}',
        "/api/2.0/mlflow-artifacts/artifacts": json.dumps(listing).encode(),
        "/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts/MLmodel": b"{}",
        "/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts/model.pkl": BIG,
    }
    with FileSimulator(served) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
        found = resolve("mlflow:models/fraud@champion", offline=False, dest=tmp_path)
        assert found.source["version"] == "3"
        assert (found.path / "model.pkl").read_bytes() == BIG
        assert resolve("mlflow:models/fraud/3", offline=False, dest=tmp_path / "b").path.is_dir()
        assert any("version=3" in request for request in server.requests)
