"""Models fetched from the reference registry of the OCI (docker-registry of Debian), which asks who one is."""

import base64
import hashlib
import json
import shutil
import subprocess
import time
import urllib.request

import pytest

from stannary.core.errors import BackendError, StannaryError
from stannary.store.sources import resolve

LOGIN = "claims", "of a test"
HTPASSWD = (
    "claims:$2b$05$abcdefghijklmnopqrstuukVMZtEjGAG9chmPkoyer671ltVYBcDG\n"  # the same, by bcrypt: all that this registry takes
)
TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Return the registry's program: the one that is there, or Debian's package unpacked aside, so that nothing is installed."""
    found = shutil.which("docker-registry")
    if found:
        return found
    folder = tmp_path_factory.mktemp("debian")
    apt, unpack = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt and unpack:
        command = [apt, "download", "-qq", "docker-registry"]
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
            subprocess.run([apt, "update", "-qq"], capture_output=True, check=False)  # the lists of a clean machine are empty
            subprocess.run(command, cwd=folder, capture_output=True, check=False)
        for package in folder.glob("docker-registry_*.deb"):
            subprocess.run([unpack, "-x", str(package), str(folder)], check=True, capture_output=True)
    if not (folder / "usr" / "bin" / "docker-registry").is_file():
        pytest.skip("no docker-registry, and apt-get cannot get it: OCI is tested against our simulator alone")
    return str(folder / "usr" / "bin" / "docker-registry")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(program, stored):
    folder = stored
    (folder / "htpasswd").write_text(HTPASSWD)
    (folder / "config.yml").write_text(f"""
version: 0.1
log: {{level: info}}
storage: {{filesystem: {{rootdirectory: {folder / "data"}}}}}
auth: {{htpasswd: {{realm: stannary, path: {folder / "htpasswd"}}}}}
http: {{addr: "127.0.0.1:0"}}
""")
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen([program, "serve", str(folder / "config.yml")], stdout=out, stderr=out)
    try:
        yield f"127.0.0.1:{_port(process, said)}"
    finally:
        process.terminate()
        process.wait(30)


def _port(process, said):
    """Return the port that the registry says it listens on."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        _, found, rest = said.read_text(errors="replace").partition("listening on 127.0.0.1:")
        if found and not rest[:1].isspace() and len(rest.split(",")[0].split('"')[0]) < len(rest):
            return int(rest.split(",")[0].split('"')[0])
        time.sleep(0.05)
    pytest.fail(f"the registry does not listen: {said.read_text(errors='replace')[-500:]}")


def ask(registry, method, path, body=None, kind="application/octet-stream"):
    """Send a request as the specification has it, with the login; return the headers of the answer."""
    basic = base64.b64encode(":".join(LOGIN).encode()).decode()
    url = path if path.startswith("http") else f"http://{registry}/v2/{path}"
    request = urllib.request.Request(url, body, {"Authorization": f"Basic {basic}", "Content-Type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers


def descriptor(content, kind="application/octet-stream", **more):
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content), **more}


def put_blob(registry, repository, content, title=None):
    place = ask(registry, "POST", f"{repository}/blobs/uploads/", b"")["Location"]
    found = descriptor(content)
    ask(registry, "PUT", f"{place}{'&' if '?' in place else '?'}digest={found['digest']}", content)
    return found | ({"annotations": {"org.opencontainers.image.title": title}} if title else {})


def put_manifest(registry, repository, layers, tag=None):
    config = put_blob(registry, repository, b"{}") | {"mediaType": "application/vnd.oci.empty.v1+json"}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": TYPE, "config": config, "layers": layers}).encode()
    found = descriptor(manifest, TYPE)
    ask(registry, "PUT", f"{repository}/manifests/{tag or found['digest']}", manifest, TYPE)
    return found


@pytest.fixture
def logged_in(registry, tmp_path, monkeypatch):
    """Be known to the registry, as `docker login` leaves it."""
    auth = base64.b64encode(":".join(LOGIN).encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    keep_to(tmp_path, monkeypatch)


def keep_to(folder, monkeypatch):
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_artifact_arrives_by_tag_and_by_digest(registry, logged_in, tmp_path):
    files = {"model.safetensors": b"weights" * 300_000, "tokenizer/vocab.txt": b"tin\n"}
    manifest = put_manifest(registry, "team/model", [put_blob(registry, "team/model", c, n) for n, c in files.items()], "v1")
    for number, reference in enumerate((":v1", f"@{manifest['digest']}", f":v1@{manifest['digest']}")):
        found = resolve(f"oci://{registry}/team/model{reference}", offline=False, dest=tmp_path / str(number))
        assert tree(found.path) == files
        assert found.source["digest"] == manifest["digest"]
    with pytest.raises(BackendError, match="404"):
        resolve(f"oci://{registry}/team/model:v2", offline=False, dest=tmp_path / "none")


def test_every_platform_of_an_index_arrives(registry, logged_in, tmp_path):
    """What one machine is given by a tag is not what another is: a payload may be in any of them."""
    shared = put_blob(registry, "team/many", b"shared" * 1000, "vocab.txt")
    own = {arch: put_blob(registry, "team/many", arch.encode() * 1000, "model.bin") for arch in ("amd64", "arm64")}
    entries = [
        put_manifest(registry, "team/many", [shared, own["amd64"]]) | {"platform": {"os": "linux", "architecture": "amd64"}},
        put_manifest(registry, "team/many", [shared, own["arm64"]])
        | {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        put_manifest(registry, "team/many", [put_blob(registry, "team/many", b'{"of": "whence"}', "attestation.json")])
        | {"platform": {"os": "../unknown", "architecture": "unknown"}},
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    ask(registry, "PUT", "team/many/manifests/v1", index, INDEX)
    found = resolve(f"oci://{registry}/team/many:v1", offline=False, dest=tmp_path / "found")
    assert tree(found.path) == {
        "linux-amd64/vocab.txt": b"shared" * 1000,
        "linux-amd64/model.bin": b"amd64" * 1000,
        "linux-arm64-v8/vocab.txt": b"shared" * 1000,
        "linux-arm64-v8/model.bin": b"arm64" * 1000,
        "unknown/attestation.json": b'{"of": "whence"}',
    }
    assert found.source["digest"] == descriptor(index)["digest"]


def test_of_two_layers_with_one_title_both_arrive(registry, logged_in, tmp_path):
    """Clients differ in which of them they keep."""
    layers = [put_blob(registry, "team/twice", content, "model.pkl") for content in (b"one", b"other")]
    put_manifest(registry, "team/twice", [*layers, layers[0]], "latest")
    found = resolve(f"oci://{registry}/team/twice", offline=False, dest=tmp_path / "found")
    assert tree(found.path) == {"model.pkl": b"one", layers[1]["digest"].replace(":", "-"): b"other"}
    put_manifest(registry, "team/twice", [put_blob(registry, "team/twice", b"x", name) for name in ("a", "a/b")], "folder")
    with pytest.raises(BackendError, match="a file and a folder of one name"):
        resolve(f"oci://{registry}/team/twice:folder", offline=False, dest=tmp_path / "none")


@pytest.mark.parametrize("kept", [None, {}, {"auths": {}}, {"auths": {"registry.example": {"auth": "eDp5"}}}])
def test_who_has_not_logged_in_is_told_how(registry, kept, tmp_path, monkeypatch):
    keep_to(tmp_path, monkeypatch)
    if kept is not None:
        (tmp_path / "config.json").write_text(json.dumps(kept))
    with pytest.raises(BackendError, match="asks for a login") as refused:
        resolve(f"oci://{registry}/team/model:v1", offline=False, dest=tmp_path / "none")
    assert f"docker login {registry}" in refused.value.help


def test_a_wrong_password_is_refused(registry, tmp_path, monkeypatch):
    keep_to(tmp_path, monkeypatch)
    auth = base64.b64encode(b"claims:wrong").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    with pytest.raises(BackendError, match="401"):
        resolve(f"oci://{registry}/team/model:v1", offline=False, dest=tmp_path / "none")


def test_what_the_registry_no_longer_holds_as_announced_is_refused(registry, stored, logged_in, tmp_path):
    """Its own folder is changed under it: what arrives is not what the manifest names."""
    layer = put_blob(registry, "team/tampered", b"weights" * 1000, "model.bin")
    put_manifest(registry, "team/tampered", [layer], "v1")
    [kept] = stored.rglob(f"{layer['digest'][7:]}/data")
    kept.write_bytes(b"payload" * 1000)
    with pytest.raises(StannaryError, match=r"announced|gave up"):
        resolve(f"oci://{registry}/team/tampered:v1", offline=False, dest=tmp_path / "none")
    assert not tree(tmp_path / "none")
