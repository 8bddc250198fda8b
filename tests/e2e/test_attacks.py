"""A running server as an attacker meets it: over a socket, with and without an account."""

import base64
import json
import re
import select
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.e2e.attacking import FORM, HERE, JSON, asked, place, raw
from tests.e2e.test_serve import WAIT, Served, run

__all__ = ["place"]  # a fixture
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# Who begins and does not end.
BEGUN = {
    "nothing": b"",
    "half a line": b"GET / HT",
    "half a header": b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: b\r\n",
    "a next request": WHOLE + b"GET /healthz HTTP/1.1\r\nHo",
    "a body": (
        b"POST /api/v1/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n"
        b"Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n{"
    ),
}


@pytest.fixture(scope="module")
def served(place):
    server = Served(place[0], "--rate", "0")
    yield server
    assert server.end(signal.SIGTERM) == 0


@pytest.fixture(scope="module", autouse=True)
def begun(place, served):
    """Begin with the first test what is not ended: the server is patient for half a minute, and the others go on meanwhile."""
    with ThreadPoolExecutor(len(BEGUN)) as threads:
        yield {
            name: threads.submit(raw, served, request.replace(b"%s", place[1]["viewer"].encode()), 60)
            for name, request in BEGUN.items()
        }


@pytest.mark.parametrize(
    "path",
    [
        "/static/../manifest.json",
        "/static/..%2f..%2ftemplates%2fbase.html",
        "/static/%2e%2e/%2e%2e/render.py",
        "/static//etc/passwd",
        "/api/v1/models/default/..%2f..%2fetc/versions",
        "/api/v1/models/..%2f..%2fetc/passwd/versions",
        "/api/v1/models/default/claims/versions/1/files/../../../../etc/passwd",
        "/api/v1/models/default/claims/versions/1/files/%2e%2e%2f%2e%2e%2fledger.db",
        "/api/v1/models/default/claims/versions/1/files/%2fetc%2fpasswd",
        "/api/v1/models/default/claims/versions/1/files/weights.bin%00.txt",
        "/api/v1/artifacts/sha256:..%2f..%2fkeys/evidence",
        "/api/v1/jobs/..%2f..%2fkeys",
        "/api/2.0/mlflow-artifacts/artifacts/uploads/default/claims/..%2f..%2f..%2fkeys%2fledger",
        "/api/2.0/mlflow-artifacts/artifacts/versions/default/claims/1/..%2f..%2fledger.db",
        "/models/default/claims/versions/" + "9" * 5000,
        "/ledger/" + "9" * 5000,
        "/api/v1/ledger/entries/" + "9" * 5000 + "/proof",
        "/api/v1/models/default/claims/versions/%D9%A1",
        "/%ff%fe",
        "/models/%F0%9F%A6%8A/x",
    ],
)
def test_no_path_leads_out_nor_breaks_anything(place, served, path):
    for role in ("viewer", "admin"):
        answer = asked(served, "GET", path, Authorization=f"Bearer {place[1][role]}")
        assert answer.status in (400, 403, 404, 422), (answer.status, answer.body[:200])
        assert b"root:" not in answer.body


def test_an_upload_whose_path_leads_out_is_refused_and_leaves_nothing(place, served):
    folder, tokens = place
    before = sorted(path for path in folder.rglob("*") if "mlflow" not in str(path) and "ledger" not in str(path))
    for bad in ("..%2f..%2f..%2fevil", "%2e%2e/%2e%2e/evil", "a%5c..%5cevil", "a%00b", "a//b", "%2fetc%2fevil"):
        path = f"/api/2.0/mlflow-artifacts/artifacts/uploads/default/claims/{bad}"
        assert asked(served, "PUT", path, b"evil", Authorization=f"Bearer {tokens['contributor']}").status in (400, 403, 404)
    assert before == sorted(path for path in folder.rglob("*") if "mlflow" not in str(path) and "ledger" not in str(path))
    assert not list(folder.rglob("*evil*"))


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "a\\..\\evil", "", ".", "a//b", "evil\x00.bin", "\u202eevil"]
)
def test_a_manifest_whose_files_lead_out_is_refused(place, served, name):
    """What a zip slip is for a registry: the path of a file in a manifest, which a pull would write to."""
    files = [{"path": name, "sha256": "0" * 64, "size": 1}]
    text = json.dumps({"files": files, "kind": "model", "schema": "stannary.manifest/1"}, sort_keys=True, separators=(",", ":"))
    body = json.dumps({"manifest": text})
    headers = {"Authorization": f"Bearer {place[1]['contributor']}", **JSON}
    answer = asked(served, "POST", "/api/v1/models/default/claims/versions", body, **headers)
    assert answer.status == 422, answer.body


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "../model",
        "http://example.com/m.bin",
        "ftp://example.com/m.bin",
        "gopher://127.0.0.1:70/_x",
        "mlflow:models/x",
        "https://127.0.0.1/m",
        "https://127.1/m",
        "https://2130706433/m",
        "https://0x7f000001/m",
        "https://017700000001/m",
        "https://0/m",
        "https://localhost./m",
        "https://a.localhost/m",
        "https://metadata.google.internal/computeMetadata/v1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://168.63.129.16/m",
        "https://10.0.0.1/m",
        "https://100.64.0.1/m",
        "https://[::1]/m",
        "https://[::]/m",
        "https://[::ffff:127.0.0.1]/m",
        "https://[::ffff:0:127.0.0.1]/m",
        "https://[::127.0.0.1]/m",
        "https://[64:ff9b::7f00:1]/m",
        "https://[2002:7f00:1::]/m",
        "https://[fe80::1%25eth0]/m",
        "https://[fd00::1]/m",
        "https://user:pass@example.com/m",
        "https://example.com\\@127.0.0.1/m",
        "https://example.com:0/m",
        "https:///m",
        "s3://169.254.169.254/x",
        "s3://a.b/x",
        "oci://127.0.0.1:5000/x",
        "oci://[::1]/x",
        "hf://../../etc/passwd\n",
    ],
)
def test_a_job_is_not_made_to_ask_for_what_only_the_server_can_see(place, served, target):
    tokens = place[1]
    for kind in ("scan", "bom"):
        body = json.dumps({"kind": kind, "target": target})
        answer = asked(served, "POST", "/api/v1/jobs", body, Authorization=f"Bearer {tokens['contributor']}", **JSON)
        assert answer.status in (400, 404, 422), (answer.status, answer.body)


def test_slow_senders_hold_nobody_up(place, served):
    """Who has one right to push opens many uploads and sends next to nothing: everybody else is answered all the same."""
    tokens = place[1]
    head = (
        f"PUT /api/v1/contents/sha256:{'5' * 64}?into=default/claims HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n"
        f"Authorization: Bearer {tokens['contributor']}\r\n\r\nx"
    )
    slow = [socket.create_connection(("127.0.0.1", served.port), timeout=WAIT) for _ in range(60)]
    try:
        for connection in slow:
            connection.sendall(head.encode())
        time.sleep(1)
        for path in ("/api/v1/models", "/api/v1/models/default/claims/versions", "/models"):
            began = time.monotonic()
            assert asked(served, "GET", path, Authorization=f"Bearer {tokens['viewer']}").status == 200
            assert time.monotonic() - began < 30
        refused, waiting, ends = 0, list(slow), time.monotonic() + WAIT
        while refused < 60 - 8 and time.monotonic() < ends:
            answered = select.select(waiting, [], [], 1)[0]
            refused += sum(connection.recv(400).startswith(b"HTTP/1.1 429") for connection in answered)
            waiting = [connection for connection in waiting if connection not in answered]
        assert refused == 60 - 8
        assert not select.select(waiting, [], [], 0.5)[0]
    finally:
        for connection in slow:
            connection.close()


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length: -1"],
        ["X-A: b\x00c"],
        ["X A: b"],
        ["Content-Length : 5"],
    ],
)
def test_a_request_that_a_proxy_may_have_read_otherwise_is_not_answered_twice(place, served, lines):
    smuggled = (
        f"GET /api/v1/whoami HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {place[1]['admin']}\r\nConnection: close\r\n\r\n"
    )
    request = "\r\n".join(["POST /api/v1/nothing HTTP/1.1", "Host: 127.0.0.1", *lines, "", "0", "", ""]) + smuggled
    answer, _ = raw(served, request.encode(), 30)
    assert b"user:admin" not in answer, answer


def test_what_comes_from_elsewhere_changes_nothing(place, served):
    """Each form of the console, and each operation, with the cookie of an admin, as another site would have a browser send it."""
    from stannary.server.api import OPERATIONS
    from stannary.server.console.views import PAGES

    cookie = {"Cookie": f"stannary-token={place[1]['admin']}"}
    begun = asked(served, "GET", "/account", **cookie)
    assert begun.status == 200
    before = len(asked(served, "GET", "/api/v1/ledger/entries?limit=1000", Authorization=f"Bearer {place[1]['admin']}").body)
    fill = {
        "id": "9" * 64, "token": "0", "digest": f"sha256:{'0' * 64}", "namespace": "default", "name": "claims", "number": "1",
        "alias": "production", "account": "user:viewer",
    }  # fmt: skip
    elsewhere = (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    )
    posts = [page.path for page in PAGES if page.method == "POST"]
    assert len(posts) > 10
    for page in (*posts, "/login", "/logout"):
        path = re.sub(r"\{(\w+)(:int)?\}", lambda found: fill[found[1]], page)
        for headers in elsewhere:
            answer = asked(served, "POST", path, "reason=x&form=" + "0" * 64, **FORM, **cookie, **headers)
            assert (answer.status, b"another site" in answer.body) == (403, True), (path, headers, answer.status)
        # From here, with a token of a form that is none: of nobody, of somebody else, or of this one in other letters.
        if path not in ("/login", "/logout"):
            for token in ("", "0" * 64, "x"):
                answer = asked(served, "POST", path, f"reason=x&form={token}", **FORM, **cookie, **HERE)
                assert answer.status == 403, (path, token, answer.status)
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json"):
            answer = asked(served, "POST", path, "form=x", **cookie, **{"Content-Type": kind, "Sec-Fetch-Site": "same-origin"})
            assert answer.status == 415, (path, kind, answer.status)
    session = {"Cookie": "stannary=" + "a" * 40}
    for row in OPERATIONS:
        if row.method != "GET" and not row.open:
            assert asked(served, row.method, f"/api/v1{row.path}", "{}", **session, **JSON).status == 401
    after = len(asked(served, "GET", "/api/v1/ledger/entries?limit=1000", Authorization=f"Bearer {place[1]['admin']}").body)
    assert after >= before


def test_cookies_and_private_pages(place, served):
    tokens = place[1]
    body = f"token={tokens['viewer']}&next=/models"
    planted = {"Cookie": "stannary=planted; stannary-token=planted"}
    answer = asked(served, "POST", "/login", body, **FORM, **planted, **HERE)
    assert answer.status == 303
    kept = [value for name, value in answer.getheaders() if name == "set-cookie"]
    (mine,) = [value for value in kept if tokens["viewer"] in value]
    assert all(word in mine for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert "Domain" not in mine
    assert any(value.startswith('stannary=""') for value in kept), "what was planted is taken away"
    for path in ("/models", "/account", "/account.json", "/api/v1/models", "/api/v1/whoami"):
        shown = asked(served, "GET", path, Cookie=f"stannary-token={tokens['viewer']}", Authorization=f"Bearer {tokens['viewer']}")
        assert shown.status == 200
        assert "no-store" in shown.headers["cache-control"] or shown.headers["cache-control"] == "private, no-cache"
        assert shown.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
        assert shown.headers["x-content-type-options"] == "nosniff"
        tag = shown.headers.get("etag")
        if tag:  # worth nothing to who may not read
            again = asked(served, "GET", path, **{"If-None-Match": tag})
            assert again.status == 401


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "/a%0d%0aSet-Cookie:%20x=y",
    ],
)
def test_a_login_leads_nowhere_else(place, served, where):
    body = f"token={place[1]['viewer']}&next={where}"
    answer = asked(served, "POST", "/login", body, **FORM, **HERE)
    assert (answer.status, answer.headers["location"]) == (303, "/models")
    assert "x=y" not in str(answer.headers)


def test_bodies_that_are_bombs_are_refused_at_once(place, served):
    headers = {"Authorization": f"Bearer {place[1]['admin']}", **JSON}
    digest = f"sha256:{'0' * 64}"
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    bodies = [
        b"[" * 500_000,
        b'{"subject":' * 100_000,
        b"\xff\xfe" * 1000,
        b'{"subject": 1e999999}',
        json.dumps({"subject": digest, "record": False, "policy": laughs}).encode(),
        json.dumps({"subject": digest, "record": False, "policy": "[" * 200_000}).encode(),
    ]
    for body in bodies:
        began = time.monotonic()
        answer = asked(served, "POST", "/api/v1/decisions", body, **headers)
        assert answer.status in (400, 422), (body[:40], answer.status, answer.body[:300])
        assert time.monotonic() - began < 30
    squeezed = asked(served, "POST", "/api/v1/decisions", b"\x1f\x8b\x08\x00", **headers, **{"Content-Encoding": "gzip"})
    assert squeezed.status in (400, 415, 422)


def test_headers_that_are_taken_over_into_answers_carry_nothing(place, served):
    for value in ("a\tb", "x" * 200, "<script>", "a;b=c"):
        answer = asked(served, "GET", "/api/v1/whoami", Authorization=f"Bearer {place[1]['viewer']}", **{"X-Request-Id": value})
        assert value not in str(answer.headers)
    answer = asked(served, "GET", "/login/provider?issuer=x&next=/models", Host="evil.example")
    assert answer.status == 421
    assert "evil.example" not in str(answer.headers)
    assert asked(served, "TRACE", "/api/v1/whoami", Authorization="Bearer secret").status == 405
    assert b"secret" not in asked(served, "TRACE", "/", Authorization="Bearer secret").body


def test_a_cursor_that_somebody_made_up_is_refused_or_finds_what_one_may_see(place, served):
    headers = {"Authorization": f"Bearer {place[1]['viewer']}"}
    forged = [base64.urlsafe_b64encode(text).decode() for text in (b"9999 sha256:" + b"f" * 64, b"' OR 1=1 --", b"\xff", b"x " * 9)]
    for path in ("/api/v1/jobs", "/api/v1/models", "/api/v1/approvals", "/api/v1/search?q=c&group=models", "/jobs"):
        for after in (*forged, "%00", "%27", "../x", "a" * 5000):
            mark = "&" if "?" in path else "?"
            answer = asked(served, "GET", f"{path}{mark}after={after}", **headers)
            assert answer.status in (200, 400, 404, 422), (path, after[:40], answer.status, answer.body[:200])


NOT_OURS = [
    "evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil.example", "evil.example.",
    "127.0.0.1@evil.example", "evil.example#127.0.0.1", "127.0.0.1:{port}, evil.example", "127.0.0.1 evil.example",
    "[::1].evil.example", "[::ffff:203.0.113.9]", "203.0.113.9:{port}", "0.0.0.0:{port}", "192.168.1.1", "xn--lcalhost-n4a",
    "localhost:{port}@evil.example", "notlocalhost", "", ":{port}",
]  # fmt: skip


@pytest.mark.parametrize("name", NOT_OURS)
def test_a_name_that_was_made_to_lead_here_is_not_answered(place, served, name):
    """DNS rebinding: a page of evil.example, whose name leads to this machine now, is the same site to a browser as this server."""
    host, body = name.replace("{port}", str(served.port)), f"token={place[1]['viewer']}&next=/models"
    for method, path, more in (
        ("GET", "/metrics", {}),
        ("GET", "/healthz", {}),
        ("GET", "/models", {}),
        ("GET", "/static/app.css", {}),
        ("GET", "/api/v1/models", {"Authorization": f"Bearer {place[1]['admin']}"}),
        ("GET", "/api/v1/access/me", {"Cookie": f"stannary-token={place[1]['admin']}"}),
        ("GET", "/api/2.0/mlflow/registered-models/search", {"Authorization": f"Bearer {place[1]['admin']}"}),
        ("POST", "/login", FORM | HERE),
        ("POST", "/login", FORM | {"Origin": f"http://{host}"}),
        ("POST", "/api/v1/access/exchange", JSON),
    ):
        answer = asked(served, method, path, body if method == "POST" else None, Host=host, **more)
        assert answer.status == 421, (host, path, answer.status, answer.body[:200])
        assert "set-cookie" not in answer.headers
        assert b"stannary_http" not in answer.body


def test_names_of_this_machine_are_answered(served):
    for host in (
        "127.0.0.1",
        "127.0.0.1:{port}",
        "127.8.9.1",
        "localhost:{port}",
        "LocalHost",
        "localhost.",
        "app.localhost:1",
        "[::1]:{port}",
    ):
        assert asked(served, "GET", "/healthz", Host=host.replace("{port}", str(served.port))).status == 200, host
    for request in (b"GET /healthz HTTP/1.0\r\n\r\n", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"):
        assert raw(served, request)[0].startswith(b"HTTP/1.1 421"), "a name that is not said is not ours"


@pytest.mark.parametrize("name", BEGUN)
def test_who_begins_and_does_not_end_is_hung_up_on(begun, name):
    answer, seconds = begun[name].result(90)
    assert answer != b"still open"
    assert seconds < (45 if name == "a body" else 35)
    if name == "a next request":
        assert answer.startswith(b"HTTP/1.1 200")
    if name == "a body":
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"API015" in answer


def test_none_of_it_broke_anything_nor_put_a_token_in_the_log(place, served):
    text = served.log.read_text()
    assert not [line for line in text.splitlines() if "Traceback" in line or '"exception"' in line]
    assert not [token for token in place[1].values() if token in text]
    assert run(place[0], "ledger", "verify").returncode == 0
