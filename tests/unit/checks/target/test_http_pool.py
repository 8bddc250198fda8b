"""Requests to a real server that throttles, dies, talks nonsense, or leads astray."""

import asyncio
import json
import os
import pickle
import sqlite3
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from stannary.checks.target.http_cache import AnswerCache
from stannary.checks.target.http_pool import Limits, Pool
from stannary.core.errors import BackendError, UsageError
from stannary.testing.http_models import Reply, serve_model


def double(body):
    return Reply({"twice": body["n"] * 2})


def read(content):
    found = json.loads(content)
    if "twice" not in found:
        msg = "no `twice`"
        raise ValueError(msg)
    return found["twice"]


def bodies(*numbers):
    return [json.dumps({"n": n}).encode() for n in numbers]


@pytest.fixture
def model():
    with serve_model(double) as found:
        yield found


@pytest.fixture
def pool(model):
    made = []

    def make(limits=None, url=None, **more):
        made.append(Pool(url or model.url, limits=limits or Limits(timeout=30), **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_answers_come_in_the_order_of_the_requests_many_at_a_time(model, pool):
    together = threading.Barrier(4)  # none of four is answered before all of them have come

    def answer(body):
        together.wait(60)
        return Reply({"twice": body["n"] * 2})

    model.answer = answer
    asked = pool(Limits(concurrency=4, timeout=60))
    assert [one.value for one in asked.ask(bodies(*range(12)), read)] == [2 * n for n in range(12)]
    assert asked.costs.sent == len(model.seen) == 12
    assert model.most_open == 4


def test_no_more_requests_a_second_than_allowed(model, pool):
    asked = pool(Limits(rate=20, concurrency=8))
    started = time.monotonic()
    asked.ask(bodies(*range(8)), read)
    assert time.monotonic() - started >= 7 / 20 * 0.99


def test_throttled_requests_wait_as_long_as_they_are_told(model, pool):
    model.ahead = [Reply(status=429, headers={"Retry-After": "1"})]
    asked = pool(Limits(concurrency=1))
    started = time.monotonic()
    assert [one.value for one in asked.ask(bodies(1, 2), read)] == [2, 4]
    assert time.monotonic() - started >= 0.99
    assert (asked.costs.sent, asked.costs.retried) == (3, 1)
    assert asked.costs.waited >= 0.9


def test_a_wait_that_is_too_long_is_cut(model, pool):
    model.ahead = [Reply(status=503, headers={"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"})]
    started = time.monotonic()
    assert pool(Limits(patience=0.2)).ask(bodies(1), read)[0].value == 2
    assert time.monotonic() - started < 60  # and not until 2100


@pytest.mark.parametrize(
    "bad",
    [
        Reply(status=500), Reply(status=502), Reply(status=408), Reply(drop=True), Reply({"twice": 1}, hold=3),
        Reply(b"<html>"), Reply({"other": 1}), Reply(b"[" * 100_000), Reply({"twice": "x" * 5000}),
        Reply({"twice": 1}, headers={"Content-Encoding": "gzip"}),
    ],
    ids=["500", "502", "408", "dropped", "late", "no-json", "other-json", "deep", "long", "compressed"],
)  # fmt: skip
def test_what_may_help_is_tried_again_and_what_does_not_help_is_silence(model, pool, bad):
    asked = pool(Limits(timeout=1.5 if bad.hold else 30, tries=2, answer_bytes=4000 if len(bad.content) < 50_000 else 1 << 20))
    model.ahead = [bad]
    assert asked.ask(bodies(4), read)[0].value == 8
    model.ahead = [bad, bad]
    silent = asked.ask(bodies(5), read)[0]
    assert (silent.value, silent.status) == (None, "silent")
    assert silent.why
    assert asked.costs.silent == 1


def test_a_rejected_request_is_not_tried_again_and_harms_no_other(model, pool):
    model.answer = lambda body: Reply({"detail": "no sevens"}, 422) if body["n"] == 7 else double(body)
    asked = pool()
    found = asked.ask(bodies(6, 7, 8), read)
    assert [one.value for one in found] == [12, None, 16]
    assert found[1].status == "rejected"
    assert "no sevens" in found[1].why
    assert asked.costs.sent == 3


@pytest.mark.parametrize("status", [401, 403, 404, 405, 301, 302, 307, 308])
def test_an_endpoint_that_is_another_is_refused_at_once_and_redirects_are_not_followed(model, pool, status):
    with serve_model(double) as elsewhere:
        model.answer = lambda _: Reply(status=status, headers={"Location": elsewhere.url})
        with pytest.raises(BackendError, match=str(status)):
            pool(Limits(concurrency=1)).ask(bodies(*range(20)), read)
        assert elsewhere.seen == []
    assert len(model.seen) == 1


def test_an_endpoint_that_died_is_gone_after_some_tries_and_asked_once_more_later(model, pool):
    asked = pool(Limits(tries=1, give_up=3, concurrency=1))
    model.answer = lambda _: Reply(drop=True)
    found = asked.ask(bodies(*range(50)), read)
    assert {one.status for one in found[:3]} == {"silent"}
    assert {one.status for one in found[3:]} == {"gone"}
    assert len(model.seen) == 3
    assert asked.ask(bodies(*range(50)), read)[1].status == "gone"
    assert len(model.seen) == 4
    model.answer = double
    assert [one.value for one in asked.ask(bodies(1, 2), read)] == [2, 4]


def test_no_server_is_silence(pool):
    asked = pool(Limits(tries=2), url="http://127.0.0.1:9")
    assert "no connection" in asked.ask(bodies(1), read)[0].why


def test_what_was_answered_is_not_paid_twice_and_counts_in_the_budget(model, pool, tmp_path):
    def price(_):
        return 0.5

    first = pool(Limits(money=2.0, concurrency=1), cache=AnswerCache(tmp_path / "answers.db"))
    found = first.ask(bodies(*range(6)), read, price=price)
    assert [one.status for one in found] == ["answered"] * 4 + ["budget"] * 2
    assert first.costs.money == 2.0
    first.close()
    again = pool(Limits(money=2.5, concurrency=1), cache=AnswerCache(tmp_path / "answers.db"))
    found = again.ask(bodies(*range(6)), read, price=price)
    assert [one.status for one in found] == ["answered"] * 5 + ["budget"]
    assert (again.costs.cached, again.costs.sent, again.costs.money) == (4, 1, 0.5)
    assert len(model.seen) == 5
    assert (tmp_path / "answers.db").stat().st_mode & 0o077 == 0


def test_many_at_a_time_do_not_exceed_the_budget(model, pool):
    model.answer = lambda body: Reply({"twice": body["n"]}, hold=0.02)
    asked = pool(Limits(money=1.0, concurrency=8))
    found = asked.ask(bodies(*range(30)), read, price=lambda _: 0.3, bill=lambda _: 0.1)
    assert sum(one.status == "answered" for one in found) * 0.1 == pytest.approx(asked.costs.money)
    assert asked.costs.money <= 1.0
    assert asked.costs.money >= 0.7  # what was kept free and not billed is free again


def test_throttled_requests_are_not_billed(model, pool):
    model.ahead = [Reply(status=429, headers={"Retry-After": "0"}), Reply(status=503, headers={"Retry-After": "0"})]
    asked = pool()
    asked.ask(bodies(1), read, price=lambda _: 1.0)
    assert asked.costs.money == 1.0


def test_requests_are_bounded_tries_included(model, pool):
    model.ahead = [Reply(status=503, headers={"Retry-After": "0"})] * 3
    found = pool(Limits(requests=5, concurrency=1)).ask(bodies(*range(9)), read)
    assert [one.status for one in found] == ["answered"] * 2 + ["budget"] * 7
    assert len(model.seen) == 5


def test_nonsense_is_not_kept(model, pool, tmp_path):
    model.ahead = [Reply(b"oops")] * 2
    assert pool(cache=AnswerCache(tmp_path / "a.db")).ask(bodies(1), read)[0].status == "silent"
    assert pool(cache=AnswerCache(tmp_path / "a.db")).ask(bodies(1), read)[0].value == 2


def test_the_digest_has_no_secret_and_messages_neither(model, pool, tmp_path):
    model.answer = lambda _: Reply({"you sent": "Bearer s3cr3t-token"}, 422)
    for token in ("s3cr3t-token", "another"):
        headers = {"Authorization": f"Bearer {token}"}
        found = pool(headers=headers, written={"Authorization": "Bearer ${T}"}).ask(bodies(1), read)[0]
        assert token not in found.why
        assert model.seen[-1][2]["Authorization"] == headers["Authorization"]
    model.answer = double
    for token in ("s3cr3t-token", "another"):
        asked = pool(
            headers={"Authorization": token}, written={"Authorization": "${T}"}, cache=AnswerCache(tmp_path / "answers.db")
        )
        assert asked.ask(bodies(3), read)[0].value == 6
    assert asked.costs.cached == 1
    assert b"s3cr3t" not in (tmp_path / "answers.db").read_bytes()


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "notes").write_bytes(b"something else" * 100)
    with pytest.raises(UsageError):
        AnswerCache(tmp_path / "notes")
    assert (tmp_path / "notes").read_bytes() == b"something else" * 100


def test_a_cache_cut_off_while_it_was_written_still_answers(model, pool, tmp_path):
    path = tmp_path / "answers.db"
    asked = pool(cache=AnswerCache(path))
    asked.ask(bodies(1, 2), read)
    with sqlite3.connect(path) as other:  # a second run beside it
        other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT COUNT(*) FROM answers").fetchone()[0] == 2
        other.rollback()
    other.close()


def test_a_pool_belongs_to_one_process_and_to_no_event_loop(pool):
    asked = pool()
    with pytest.raises(UsageError, match="one process"):
        pickle.dumps(asked)

    async def inside():
        with pytest.raises(UsageError, match="event loop"):
            asked.ask(bodies(1), read)

    asyncio.run(inside())


@pytest.fixture
def tls(tmp_path):
    """A server's context and its self-signed certificate's file."""
    import datetime as dt
    import ipaddress

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "model")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (tmp_path / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context, tmp_path / "cert.pem"


def test_certificates_are_verified(tls, pool):
    context, certificate = tls
    with serve_model(double, context=context) as model:
        with pytest.raises(BackendError, match="not trusted"):
            pool(url=model.url).ask(bodies(1), read)
        assert model.seen == []
        assert pool(url=model.url, ca=os.fspath(certificate)).ask(bodies(1), read)[0].value == 2
