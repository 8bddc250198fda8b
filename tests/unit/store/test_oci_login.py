"""Who one is at an OCI registry: what `docker login` and its like keep, and what is asked of their helpers."""

import base64
import json
import re
import stat

import pytest

from stannary.core.errors import BackendError
from stannary.store.sources import resolve
from stannary.store.sources.oci_login import basic
from stannary.testing.simulators import OciSimulator

WHO = base64.b64encode(b"who:secret").decode()
HOST = "registry.example:5000"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Keep logins in a file of Docker's, or another's."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def keep(config, path="config.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(config if isinstance(config, str) else json.dumps(config))
        return tmp_path / path

    return keep


@pytest.mark.parametrize(
    "auths, host, found",
    [
        ({HOST: {"auth": WHO}}, HOST, WHO),
        ({f"https://{HOST}": {"auth": WHO}}, HOST, WHO),
        ({f"https://{HOST}/v1/": {"auth": WHO}}, HOST, WHO),
        ({f"http://{HOST}/v2/": {"auth": WHO}}, HOST, WHO),
        ({HOST: {"username": "who", "password": "secret"}}, HOST, WHO),
        ({f"{HOST}/team": {"auth": WHO}, HOST: {"auth": "eDp5"}}, HOST, WHO),
        ({f"{HOST}/team/model": {"auth": WHO}, f"{HOST}/team": {"auth": "eDp5"}}, HOST, WHO),
        ({f"{HOST}/tea": {"auth": WHO}, f"{HOST}/team/model/x": {"auth": WHO}}, HOST, ""),
        ({"https://index.docker.io/v1/": {"auth": WHO}}, "docker.io", WHO),
        ({"docker.io": {"auth": WHO}}, "registry-1.docker.io", WHO),
        ({"registry.example": {"auth": WHO}, "example:5000": {"auth": WHO}}, HOST, ""),
        ({HOST: {}}, HOST, ""),
        ({HOST: []}, HOST, ""),
        ({}, HOST, ""),
    ],
)
def test_the_login_of_the_nearest_namespace_counts(auths, host, found, kept):
    kept({"auths": auths})
    assert basic(host, "team/model") == ({"Authorization": f"Basic {found}"} if found else {})


def test_the_first_file_that_knows_the_host_counts(kept, monkeypatch, tmp_path):
    assert basic(HOST, "m") == {}  # no file at all
    kept({"auths": {HOST: {"auth": "ZG9ja2VyOng="}}})
    assert "ZG9ja2VyOng=" in basic(HOST, "m")["Authorization"]
    kept({"auths": {HOST: {"auth": "cG9kbWFuOng="}}}, "containers/auth.json")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert "cG9kbWFuOng=" in basic(HOST, "m")["Authorization"]
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(kept({"auths": {HOST: {"auth": "bmFtZWQ6eA=="}}}, "named.json")))
    assert "bmFtZWQ6eA==" in basic(HOST, "m")["Authorization"]
    kept({"auths": {"other.example": {"auth": "bmFtZWQ6eA=="}}}, "named.json")
    assert "cG9kbWFuOng=" in basic(HOST, "m")["Authorization"]
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.delenv("REGISTRY_AUTH_FILE")
    assert basic(HOST, "m") == {}


@pytest.mark.parametrize(
    "config, why",
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "no JSON object"),
        ({"auths": [1]}, "auths is no JSON object"),
        ({"credHelpers": "x"}, "credHelpers is no JSON object"),
        ({"auths": {HOST: {"auth": "who:secret"}}}, "base64"),
        ({"auths": {HOST: {"auth": base64.b64encode(b"no colon").decode()}}}, "base64"),
        ({"auths": {HOST: {"identitytoken": "x"}}}, "identity token"),
        ({"credHelpers": {HOST: "../sh"}}, "no name of a program"),
        ({"credHelpers": {HOST: "not-there-at-all"}}, "gave no answer"),
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error(config, why, kept):
    path = kept(config)
    with pytest.raises(BackendError, match=why) as wrong:
        basic(HOST, "m")
    assert wrong.value.where == str(path)


@pytest.mark.parametrize(
    "script, found",
    [
        ('read server; echo "{\\"ServerURL\\": \\"$server\\", \\"Username\\": \\"who\\", \\"Secret\\": \\"secret\\"}"', WHO),
        ("echo credentials not found in native keychain; exit 1", ""),
        ("echo it is locked >&2; exit 1", re.compile("ended with 1: it is locked")),
        ("echo nothing", re.compile("answered no name and secret")),
        ("echo '[]'", re.compile("answered no name and secret")),
        ('echo \'{"Username": "<token>", "Secret": "x"}\'', re.compile("identity token")),
    ],
)
@pytest.mark.parametrize(
    "config", [{"credHelpers": {HOST: "ours"}}, {"auths": {HOST: {}}, "credsStore": "ours"}], ids=["one", "all"]
)
def test_a_helper_is_asked_as_docker_asks_it(config, script, found, kept, monkeypatch, tmp_path):
    kept(config)
    program = tmp_path / "docker-credential-ours"
    program.write_text(f"#!/bin/sh\n[ $1 = get ] || exit 9\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if isinstance(found, str):
        assert basic(HOST, "m") == ({"Authorization": f"Basic {found}"} if found else {})
        return
    with pytest.raises(BackendError, match=found):
        basic(HOST, "m")


class Private(OciSimulator):
    """A registry whose tokens are for those who logged in, and hold for one request each."""

    given = 0

    def answer(self, request):
        if request.path.startswith("/token"):
            if request.headers.get("Authorization") != f"Basic {WHO}":
                self.send(request, b"{}", 401)
                return
            self.given += 1
            self.send(request, json.dumps({"token": f"t{self.given}", "expires_in": 10}).encode())
            return
        if request.headers.get("Authorization") == f"Bearer t{self.given}":
            request.headers.replace_header("Authorization", "Bearer anonymous")
        super().answer(request)


def test_a_token_is_asked_for_by_who_logged_in_and_again_before_it_ends(kept, tmp_path):
    files = {f"{n}.bin": b"%d" % n for n in range(3)}
    with Private("team/model", files) as registry:
        host = registry.url.removeprefix("http://")
        kept({"auths": {host: {"auth": WHO}}})
        found = resolve(f"oci://{host}/team/model:v1", offline=False, dest=tmp_path / "found")
        assert {path.name: path.read_bytes() for path in found.path.iterdir()} == files
        assert registry.given == 4  # for the manifest, and for each of three layers: it had ten seconds, which is no margin
        kept({})
        with pytest.raises(BackendError, match="401"):
            resolve(f"oci://{host}/team/model:v1", offline=False, dest=tmp_path / "none")
