"""A server as a real process: it starts fast, lets in who has an account, ends gracefully, and logs no secret."""

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import pytest

from stannary.testing.identity_provider import IdentityProvider, ProviderKey
from stannary.testing.oidc_provider import OidcProvider

STANNARY = str(Path(sys.executable).with_name("stannary"))
WAIT = 120


def clean():
    return {name: value for name, value in os.environ.items() if not name.startswith("STANNARY_")}


def run(folder, *line, code=0, stdin=""):
    more = {"cwd": folder, "env": clean(), "input": stdin, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([STANNARY, *line], check=False, **more)
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return done


class Served:
    """`stannary serve` in a workspace."""

    def __init__(self, folder, *options):
        self.log = folder / "server.log"
        self.started = time.perf_counter()
        with self.log.open("w") as log:
            command = [STANNARY, "serve", "--workspace", str(folder), "--port", "0", *options]
            self.process = subprocess.Popen(command, env=clean(), stderr=log, stdin=subprocess.DEVNULL)
        self.port = self._port()

    def _port(self):
        while True:
            found = re.search(r"running on https?://127\.0\.0\.1:(\d+)", self.log.read_text())
            if found:
                return int(found[1])
            assert self.process.poll() is None, self.log.read_text()
            assert time.perf_counter() - self.started < WAIT
            time.sleep(0.005)

    def ask(self, method, path, token="", body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def processor(self):
        """Return the seconds of processor time that it took so far."""
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(WAIT)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a workspace with a few accounts, and their tokens by role."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "model").mkdir()
    (folder / "model" / "weights.bin").write_bytes(b"weights")
    run(folder, "init", "--no-passphrase")
    run(folder, "registry", "push", "model", "claims")
    tokens = {}
    for role in ("viewer", "contributor", "admin"):
        run(folder, "access", "user", "add", role)
        run(folder, "access", "grant", role, role)
        tokens[role] = run(folder, "access", "token", "issue", role).stdout.strip()
    return folder, tokens


@pytest.fixture
def served(place):
    server = Served(place[0], "--rate", "0")
    yield server
    server.end(signal.SIGKILL)


def test_without_an_account_it_does_not_start_and_says_what_to_do(tmp_path):
    run(tmp_path, "init", "--no-passphrase")
    done = run(tmp_path, "serve", "--port", "0", code=2)
    assert "error[SRV004]" in done.stderr
    assert "help: stannary access user add" in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_it_starts_in_a_few_times_what_importing_its_libraries_takes(place):
    """Measured: 1.7 times, half a second of processor time."""
    took, libraries = [], []
    for _ in range(3):  # what others do on this machine makes a start slower, never faster
        server = Served(place[0])
        assert server.ask("GET", "/healthz")[0] == 200
        took.append(server.processor())
        assert server.end() == 0
        code = "import cryptography.x509, sqlalchemy, starlette.applications, uvicorn"
        importing = subprocess.Popen([sys.executable, "-c", code], env=clean())
        _, status, used = os.wait4(importing.pid, 0)
        importing.returncode = os.waitstatus_to_exitcode(status)
        assert importing.returncode == 0
        libraries.append(used.ru_utime + used.ru_stime)
    assert min(took) < 4 * min(libraries), (took, libraries)


def test_who_has_no_credentials_gets_401_and_who_has_is_let_in(place, served):
    tokens = place[1]
    for path in ("/api/v1/models", "/api/v1/whoami", "/api/v1/access/accounts", "/api/v1/ledger/head"):
        assert served.ask("GET", path)[0] == 401
        assert served.ask("GET", path, "stn_" + "a" * 49)[0] == 401
    assert served.ask("GET", "/healthz") == (200, b"ok\n")
    status, content = served.ask("GET", "/api/v1/models", tokens["viewer"])
    assert (status, [row["name"]["name"] for row in json.loads(content)["models"]]) == (200, ["claims"])
    assert served.ask("GET", "/api/v1/access/accounts", tokens["viewer"])[0] == 403
    assert served.ask("GET", "/api/v1/access/accounts", tokens["admin"])[0] == 200
    me = json.loads(served.ask("GET", "/api/v1/access/me", tokens["viewer"])[1])
    assert (me["principal"], [grant["role"] for grant in me["grants"]]) == ("user:viewer", ["viewer"])


def test_a_token_that_another_process_revokes_holds_no_more_within_five_seconds(place, served):
    folder, _ = place
    issued = json.loads(run(folder, "access", "token", "issue", "viewer", "--format", "json").stdout)
    assert served.ask("GET", "/api/v1/models", issued["secret"])[0] == 200
    run(folder, "access", "token", "revoke", issued["token"]["id"])
    time.sleep(4.5)
    assert served.ask("GET", "/api/v1/models", issued["secret"])[0] == 401


def refuses(port):
    """Return whether nothing new is taken, at last."""
    ends = time.monotonic() + WAIT
    while time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=WAIT).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.02)
    return False


def test_sigterm_lets_what_is_under_way_end_and_takes_nothing_new(place, served):
    tokens = place[1]
    content = os.urandom(1 << 20)
    digest = hashlib.sha256(content).hexdigest()
    with socket.create_connection(("127.0.0.1", served.port), timeout=WAIT) as upload:
        head = (
            f"PUT /api/v1/contents/sha256:{digest}?into=claims HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {tokens['contributor']}\r\n"
            f"Content-Length: {len(content)}\r\nExpect: 100-continue\r\n\r\n"
        )
        upload.sendall(head.encode())
        assert upload.recv(4096).split(b" ", 2)[1] == b"100"  # it reads the content: the request is under way
        upload.sendall(content[: 1 << 19])
        served.process.send_signal(signal.SIGTERM)
        assert refuses(served.port)
        assert served.process.poll() is None
        upload.sendall(content[1 << 19 :])
        answer = upload.recv(4096)
    assert answer.split(b" ", 2)[1] == b"201", answer
    assert served.process.wait(WAIT) == 0
    again = Served(place[0])
    stored = place[0] / ".stannary" / "blobs" / "sha256" / digest[:2] / digest[2:]
    assert stored.read_bytes() == content
    assert again.ask("PUT", f"/api/v1/contents/sha256:{digest}?into=claims", tokens["contributor"], content)[0] == 204
    assert again.end() == 0


def test_no_token_and_no_password_is_in_the_log_or_the_ledger(place, served):
    folder, tokens = place
    token = tokens["viewer"]
    password = "five blue paper boats"
    body = json.dumps({"name": "eve", "password": password}).encode()
    json_type = {"Content-Type": "application/json"}
    assert served.ask("POST", "/api/v1/access/accounts", tokens["admin"], body, **json_type)[0] == 201
    broken = body[:-2]
    assert served.ask("POST", "/api/v1/access/accounts", tokens["admin"], broken, **json_type)[0] == 422
    secret = json.loads(served.ask("POST", "/api/v1/access/tokens", token, b'{"hours": 1}', **json_type)[1])["secret"]
    for path in ("/api/v1/models?limit=x", "/api/v1/nothing", "/api/v1/models/default/none/versions", "/api/v1/evidence/sha256:00"):
        served.ask("GET", path, token)
    served.ask("GET", f"/api/v1/models?token={secret}", secret[:-1])
    served.ask("GET", "/api/v1/models", "", None, Cookie=f"stannary={secret}")
    assert served.end() == 0
    log = served.log.read_text()
    assert log.count('"operation"') >= 8
    stored = b"".join(path.read_bytes() for path in (folder / ".stannary").rglob("*") if path.is_file())
    for text in (*tokens.values(), secret, password):
        assert text not in log
        assert text[6:40] not in log
        assert text.encode() not in stored


def test_what_is_no_http_leaves_it_running(served):
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET " + b"x" * 200_000,
        b"\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", served.port), timeout=WAIT) as connection:
            connection.sendall(junk)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(65536)
    assert served.ask("GET", "/healthz")[0] == 200


def called_from(server, sent):
    """Return the addresses that a server says it was called from, by a caller that names another one."""
    before = len(server.log.read_text())
    server.ask("GET", "/api/v1/whoami", **{"X-Forwarded-For": sent, "X-Forwarded-Proto": "https"})
    rows = [json.loads(line) for line in server.log.read_text()[before:].splitlines() if line.startswith("{")]
    return {row["client"] for row in rows if row.get("operation") == "whoami"}


def test_who_calls_is_what_a_named_proxy_says_and_never_what_a_caller_says(place, served):
    assert called_from(served, "203.0.113.9") == {"127.0.0.1"}
    server = Served(place[0], "--rate", "0", "--proxy", "127.0.0.1")
    try:
        assert called_from(server, "203.0.113.9") == {"203.0.113.9"}
        # A proxy adds the address it was called from behind what the caller had sent.
        assert called_from(server, "198.51.100.1, 203.0.113.9") == {"203.0.113.9"}
    finally:
        server.end()


def test_another_address_for_each_attempt_does_not_get_around_the_limit_of_logins(place):
    server = Served(place[0], "--rate", "1")
    try:
        path = "/login/provider?issuer=https://login.example"
        found = [server.ask("GET", path, **{"X-Forwarded-For": f"203.0.113.{n}"})[0] for n in range(20)]
    finally:
        server.end()
    assert found[-1] == 429


@pytest.mark.parametrize("header", ["Host", "Authorization", "Content-Type", "Origin", "Sec-Fetch-Site"])
def test_a_header_that_a_proxy_may_have_read_another_of_is_refused(place, served, header):
    values = {"Host": f"127.0.0.1:{served.port}", "Authorization": f"Bearer {place[1]['viewer']}"}
    lines = [f"{name}: {value}" for name, value in values.items()]
    doubled = [f"{header}: {values.get(header, 'x')}"] * (1 if header in values else 2)
    request = "\r\n".join(["GET /api/v1/whoami HTTP/1.1", *lines, *doubled, "Connection: close", "", ""])
    with socket.create_connection(("127.0.0.1", served.port), timeout=WAIT) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"more than once" in answer


@pytest.mark.parametrize("options, code", [(("--host", "0.0.0.0"), "SRV002"), (("--tls-certificate", "none.pem"), "SRV003")])
def test_it_does_not_start_where_it_would_not_be_safe(place, options, code):
    said = run(place[0], "serve", "--port", "8999", *options, code=2).stderr
    assert f"error[{code}]" in said
    assert "is the console" not in said


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "stannary" / "tokens.json"


def test_somebody_logs_in_at_the_command_line_by_their_provider(place, served, home):
    folder, _ = place
    with OidcProvider(client="stannary-cli") as provider:
        run(folder, "access", "federate", "people", "--issuer", provider.url, "--client", "stannary-cli")
        run(folder, "access", "user", "add", "paula", "--issuer", provider.url, "--subject", provider.user)
        server = f"http://127.0.0.1:{served.port}"
        command = [STANNARY, "access", "login", "--server", server]
        waiting = subprocess.Popen(command, env=clean(), stderr=subprocess.PIPE, text=True)
        address = re.search(r"http://127\.0\.0\.1:\d+/activate\?user_code=[A-Z-]+", waiting.stderr.readline())[0]
        urllib.request.urlopen(address, timeout=WAIT).close()
        said = waiting.communicate(timeout=WAIT)[1]
        assert waiting.returncode == 0, said
        assert "logged in as user:paula" in said
    assert home.stat().st_mode & 0o777 == 0o600
    token = json.loads(home.read_text())[server]["token"]
    assert json.loads(served.ask("GET", "/api/v1/whoami", token)[1]) == {"principal": "user:paula"}

    def lists(code, **more):
        environment = clean() | {"STANNARY_SERVER": server, **more}
        for line in (("registry", "list"), ("jobs", "list")):
            done = subprocess.run([STANNARY, *line], env=environment, capture_output=True, text=True, check=False, timeout=WAIT)
            assert done.returncode == code, done.stderr
        return done.stderr

    run(folder, "access", "grant", "paula", "reviewer")
    lists(0)  # every command that asks the server uses it
    assert "access login" in lists(1, STANNARY_TOKEN="stn_of-another-time")
    run(folder, "access", "logout", "--server", server)
    assert "access login" in lists(1)
    assert served.ask("GET", "/api/v1/whoami", token)[0] == 401
    assert json.loads(home.read_text()) == {}
    home.chmod(0o644)
    assert "error[ACC023]" in run(folder, "access", "logout", "--server", server, code=2).stderr


def test_a_pipeline_is_let_in_by_the_token_of_its_platform(place, served, tmp_path):
    folder, _ = place
    with IdentityProvider() as github:
        run(folder, "access", "service", "add", "ci")
        run(folder, "access", "grant", "service:ci", "contributor", "team/*")
        rule = ("--issuer", github.url, "--claim", "repository=team/models", "--claim", "ref=refs/heads/*", "--as", "ci")
        run(folder, "access", "federate", "add", "main", *rule)
        claims = {"sub": "repo:team/models", "repository": "team/models", "ref": "refs/heads/main"}
        me = json.loads(served.ask("GET", "/api/v1/access/me", github.token(**claims))[1])
        assert (me["principal"], me["credential"]) == ("service:ci", "federation:main")
        for wrong in ({"repository": "evil/models"}, {"ref": "refs/pull/1/merge"}, {"ref": None}, {"aud": "other"}, {"exp": 1}):
            assert served.ask("GET", "/api/v1/access/me", github.token(**{**claims, **wrong}))[0] == 401, wrong
        forged = github.token(ProviderKey("ES256", github.keys[0].kid), **claims)
        assert served.ask("GET", "/api/v1/access/me", forged)[0] == 401
        assert served.ask("GET", "/api/v1/access/me", github.token(header={"alg": "none"}, **claims))[0] == 401
        run(folder, "access", "federate", "remove", "main")
        time.sleep(4.5)
        assert served.ask("GET", "/api/v1/access/me", github.token(**claims))[0] == 401
    open_to_all = run(
        folder, "access", "federate", "add", "all", "--issuer", "github", "--claim", "ref=refs/heads/main", "--as", "ci", code=1
    )
    assert "error[ACC014]" in open_to_all.stderr


def over_tls(port, context, path, token=""):
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=WAIT, context=context)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders())
    answer.read()
    connection.close()
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    run(folder, "keys", "tls", "certs", "--no-passphrase")
    run(folder, "keys", "tls", "certs", "--client", "ci")
    run(folder, "keys", "tls", "others", "--no-passphrase", "--client", "mallory", "--host", "else.example")
    return folder


def trusting(folder, name="certs"):
    return ssl.create_default_context(cafile=folder / name / "ca.pem")


def test_over_tls_the_server_shows_a_certificate_that_its_clients_can_verify(place, certificates):
    files = certificates / "certs"
    server = Served(place[0], "--tls-certificate", str(files / "server.pem"), "--tls-key", str(files / "server.key"))
    status, headers = over_tls(server.port, trusting(certificates), "/api/v1/models", place[1]["viewer"])
    assert status == 200
    assert headers["strict-transport-security"]
    with pytest.raises(ssl.SSLCertVerificationError):
        over_tls(server.port, trusting(certificates, "others"), "/healthz")
    old = trusting(certificates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        over_tls(server.port, old, "/healthz")
    with pytest.raises((http.client.HTTPException, OSError)):
        server.ask("GET", "/healthz")
    assert server.end() == 0


def test_the_command_line_says_what_to_do_about_a_certificate_that_it_does_not_take(place, certificates):
    files = certificates / "certs"
    server = Served(place[0], "--tls-certificate", str(files / "server.pem"), "--tls-key", str(files / "server.key"))

    def listed(host, **more):
        environment = clean() | {"STANNARY_TOKEN": place[1]["viewer"], "STANNARY_SERVER": f"https://{host}:{server.port}", **more}
        command = [STANNARY, "registry", "list"]
        return subprocess.run(command, env=environment, cwd=certificates, capture_output=True, text=True, check=False, timeout=WAIT)

    # It says where it is once it is there, and not before.
    assert f"https://127.0.0.1:{server.port} is the console" in server.log.read_text()
    unknown = listed("127.0.0.1")
    assert (unknown.returncode, "SSL_CERT_FILE=ca.pem" in unknown.stderr) == (2, True)
    assert listed("127.0.0.1", SSL_CERT_FILE=str(files / "ca.pem")).returncode == 0
    assert server.end() == 0
    others = certificates / "others"  # of a server of another name
    server = Served(place[0], "--tls-certificate", str(others / "server.pem"), "--tls-key", str(others / "server.key"))
    named = listed("127.0.0.1", SSL_CERT_FILE=str(others / "ca.pem"))
    assert (named.returncode, "stannary keys tls --host NAME" in named.stderr) == (2, True)
    assert server.end() == 0


def test_half_an_authority_is_told_and_nothing_is_left_of_one_that_could_not_be_made(certificates):
    for half in ("ca.pem", "ca.key"):
        folder = certificates / f"half of {half}"
        folder.mkdir()
        shutil.copy(certificates / "certs" / half, folder)
        assert "the other half of the authority is" in run(certificates, "keys", "tls", folder.name, code=2).stderr
    assert "KEY003" in run(certificates, "keys", "tls", "unprotected", code=2).stderr  # nobody is there to choose a passphrase
    assert not (certificates / "unprotected").exists()


def test_mutual_tls_takes_no_client_without_a_certificate_of_the_authority(place, certificates):
    files = certificates / "certs"
    options = ("--tls-certificate", str(files / "server.pem"), "--tls-key", str(files / "server.key"))
    server = Served(place[0], *options, "--tls-clients", str(files / "ca.pem"))
    known = trusting(certificates)
    known.load_cert_chain(files / "ci.pem", files / "ci.key")
    assert over_tls(server.port, known, "/api/v1/models", place[1]["viewer"])[0] == 200
    assert over_tls(server.port, known, "/api/v1/models")[0] == 401  # a certificate is no account
    stranger = trusting(certificates)
    stranger.load_cert_chain(certificates / "others" / "mallory.pem", certificates / "others" / "mallory.key")
    listener = trusting(certificates)
    listener.load_cert_chain(files / "server.pem", files / "server.key")  # a server's certificate is no client's
    for context in (trusting(certificates), stranger, listener):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            over_tls(server.port, context, "/healthz")
    assert server.end() == 0


def test_certificates_are_for_what_they_say_and_keys_are_their_owners(certificates):
    files = certificates / "certs"
    assert {path.name for path in files.iterdir()} == {f"{name}.{end}" for name in ("ca", "server", "ci") for end in ("pem", "key")}
    assert {path.stat().st_mode & 0o777 for path in files.glob("*.key")} == {0o600}
    verify = ["openssl", "verify", "-CAfile", "ca.pem", "-x509_strict", "-purpose"]
    for purpose, name, code in (
        ("sslserver", "server", 0),
        ("sslclient", "ci", 0),
        ("sslserver", "ci", 2),
        ("sslclient", "server", 2),
    ):
        done = subprocess.run([*verify, purpose, f"{name}.pem"], cwd=files, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
    for line in (
        ("certs",),
        ("certs", "--client", "ci"),
        ("certs", "--client", "../x"),
        ("new", "--host", "a b"),
        ("new", "--client", "ca"),
    ):
        run(certificates, "keys", "tls", *line, "--no-passphrase", code=2)
    assert not (certificates / "new" / "server.pem").exists()
