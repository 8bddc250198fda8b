"""Forged tokens of identity providers, and guesses at tokens, at a running server for which providers are configured.

Two providers of pipelines answer over HTTP, with keys of the same name, and authlib's provider of people beside them. Each
forged token is shown at both doors: as it is, where a pipeline shows one, and to be exchanged, where a person does. The right
token is let in at both, before and after.
"""

import base64
import hashlib
import hmac
import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.e2e.attacking import desk, place
from tests.e2e.test_serve import Served, run

from stannary.access import accounts, federation
from stannary.access.model import Federation, Provider
from stannary.testing.identity_provider import IdentityProvider, ProviderKey, compact
from stannary.testing.oidc_provider import OidcProvider

__all__ = ["place"]  # a fixture


class Fetched(BaseHTTPRequestHandler):
    """A server of the attacker, with keys of the attacker, that keeps who asked for them."""

    asked: ClassVar = []
    keys: ClassVar = b""

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.keys)))
        self.end_headers()
        self.wfile.write(self.keys)

    def log_message(self, *_):
        """Say nothing: a test reads `asked`."""


class Door:
    """Where a kind of token is shown, and what the right one says there."""

    def __init__(self, served, name, issuer, audience, keys, other):
        self.served, self.name, self.issuer, self.audience, self.other = served, name, issuer, audience, other
        self.rsa, self.curve = keys
        self.evil = ""

    def claims(self, **more):
        now = int(time.time())
        said = {"iss": self.issuer, "aud": self.audience, "sub": "248289761001", "iat": now, "exp": now + 300}
        said |= {"repository": "team/models", "ref": "refs/heads/main"} | more
        return {name: value for name, value in said.items() if value is not None}

    def signed(self, header=None, key=None, **claims):
        key = key or self.curve
        return compact({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | (header or {}), self.claims(**claims), key)

    def shown(self, token):
        """Return the status, and what is answered besides the request's own number."""
        if self.name == "pipeline":
            status, said = self.served.ask("GET", "/api/v1/access/me", token)
        else:
            body = json.dumps({"token": token})
            status, said = self.served.ask("POST", "/api/v1/access/exchange", "", body, **{"Content-Type": "application/json"})
        told = json.loads(said)
        told.pop("request", None)
        return status, told


@pytest.fixture(scope="module")
def doors(place):
    folder = place[0]
    Fetched.asked, Fetched.keys = [], json.dumps({"keys": [ATTACKER.jwk]}).encode()
    evil = ThreadingHTTPServer(("127.0.0.1", 0), Fetched)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    with IdentityProvider() as one, IdentityProvider() as other, OidcProvider(client="stannary-cli") as people:
        one.keys = [ProviderKey("RS256", "rsa-1"), ProviderKey("ES256", "key-1")]
        other.keys = [ProviderKey("ES256", "key-1"), ProviderKey("ES256", "only-here")]
        people.keys = [ProviderKey("RS256", "rsa-1"), ProviderKey("ES256", "key-1")]
        with desk(folder) as (access, owner):
            accounts.add(access, owner, "ci", "service")
            for name, provider, whose in (("one", one, "team"), ("other", other, "guest")):
                claims = {"repository": f"{whose}/models", "ref": "refs/heads/*"}
                rule = Federation(name=name, issuer=provider.url, audience="stannary", claims=claims, account="service:ci")
                federation.add_rule(access, owner, rule)
            federation.add_provider(access, owner, Provider(issuer=people.url, client="stannary-cli"))
            accounts.add(access, owner, "paula", known_as=(people.url, "248289761001"))
        served = Served(folder, "--rate", "0")
        made = [
            Door(served, "pipeline", one.url, "stannary", one.keys, other),
            Door(served, "person", people.url, "stannary-cli", people.keys, other),
        ]
        for door in made:
            door.evil = f"http://127.0.0.1:{evil.server_port}"
        yield made
        assert served.end(signal.SIGTERM) == 0
        log = served.log.read_text()
    evil.shutdown()
    evil.server_close()
    assert Fetched.asked == [], "a token led the server to the attacker's keys"
    assert "Traceback" not in log
    assert '"exception"' not in log
    assert run(folder, "ledger", "verify").returncode == 0


ATTACKER = ProviderKey("ES256", "key-1")
ATTACKER_RSA = ProviderKey("RS256", "rsa-1")


def b64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def raw(header, payload, sign):
    text = f"{b64(header if isinstance(header, bytes) else json.dumps(header).encode())}.{b64(payload)}"
    return f"{text}.{b64(sign(text.encode()))}"


def said(door, **more):
    return json.dumps(door.claims(**more)).encode()


def public_as_secret(door):
    """The attack of 2015: an HMAC whose secret is the public key, in each form in which a verifier may hold it."""
    key = door.rsa._key.public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = [
        pem, pem.rstrip(b"\n"), key.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(door.rsa.jwk).encode(), json.dumps({"keys": [door.rsa.jwk, door.curve.jwk]}).encode(),
        door.rsa.jwk["n"].encode(), base64.urlsafe_b64decode(door.rsa.jwk["n"] + "=="), b"",
    ]  # fmt: skip
    for secret in secrets:
        for name, size in (("HS256", "sha256"), ("HS512", "sha512"), ("hs256", "sha256")):
            head = {"alg": name, "kid": door.rsa.kid, "typ": "JWT"}
            yield raw(head, said(door), lambda text, secret=secret, size=size: hmac.digest(secret, text, size))


def unsigned(door):
    for name in ("none", "None", "NONE", "nOnE", "", None, ["none"], {"alg": "none"}, 0):
        for kid in ({}, {"kid": door.curve.kid}):
            yield compact({"alg": name, "typ": "JWT"} | kid, door.claims(), None)
    head, payload, signature = door.signed().split(".")
    yield from (f"{head}.{payload}.", f"{head}.{payload}", f"{head}.{payload}.{signature}.", f"{head}..{signature}")
    other = compact({"alg": "ES256", "kid": door.curve.kid}, door.claims(sub="else"), None)
    yield f"{other}{signature}"


def other_algorithm(door):
    """The right key, by an algorithm that is not its own; signatures that hold for any text where nobody looks."""
    yield door.signed({"alg": "RS256"})
    yield door.signed({"alg": "ES256", "kid": door.rsa.kid}, door.curve)
    yield door.signed({"alg": "ES384"})
    yield door.signed({"alg": ["ES256"]})
    yield door.signed({"alg": "es256"})
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    for name in ("PS256", "RS256"):
        yield raw({"alg": name, "kid": "rsa-1"}, said(door), lambda text: door.rsa._key.sign(text, pss, SHA256()))
    for signature in (bytes(64), bytes(31) + b"\1" + bytes(31) + b"\1", bytes(63) + b"\1"):  # CVE-2022-21449
        yield raw({"alg": "ES256", "kid": door.curve.kid}, said(door), lambda _, s=signature: s)
    for signature in (bytes(256), bytes(255) + b"\1", b"\xff" * 256, b"\1"):
        yield raw({"alg": "RS256", "kid": door.rsa.kid}, said(door), lambda _, s=signature: s)
    yield raw(
        {"alg": "ES256", "kid": door.curve.kid}, said(door), lambda text: door.curve._key.sign(text, ec.ECDSA(SHA256()))
    )  # DER

    def other_half(text):
        r, s = utils.decode_dss_signature(door.curve._key.sign(text, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big") + b"\0"

    yield raw({"alg": "ES256", "kid": door.curve.kid}, said(door), other_half)


def other_key(door):
    """The name of a key leads elsewhere: to another issuer, to a file, into a query, to nothing."""
    same_name, only_there = door.other.keys
    yield door.signed(key=same_name)
    yield door.signed(key=only_there)
    yield door.signed({"kid": only_there.kid}, door.curve)
    yield door.signed(key=ATTACKER)
    yield door.signed(key=ATTACKER_RSA)
    yield door.signed({"kid": None}, ATTACKER)
    for kid in ("../../../../dev/null", "/dev/null", "file:///dev/null", "x' UNION SELECT 'k", "key-1\x00", "KEY-1", " key-1", "",
                0, True, ["key-1"], {"kid": "key-1"}, "k" * 9_000, f"{door.evil}/jwks"):  # fmt: skip
        yield door.signed({"kid": kid}, ATTACKER)
        if kid not in (None, "key-1"):
            yield door.signed({"kid": kid})
    for kid in ("../../../../dev/null", "/dev/null"):
        yield raw({"alg": "HS256", "kid": kid}, said(door), lambda text: hmac.digest(b"", text, hashlib.sha256))


def key_brought_along(door):
    """A key of the attacker in the header, or an address of it."""
    for key in (ATTACKER, ATTACKER_RSA):
        der = key._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for header in (
            {"jwk": key.jwk}, {"jwk": {"keys": [key.jwk]}}, {"jku": f"{door.evil}/jwks"},
            {"jku": f"{door.issuer}@{door.evil[7:]}/jwks"}, {"x5u": f"{door.evil}/cert.pem"},
            {"x5c": [base64.b64encode(der).decode()]}, {"x5t": b64(hashlib.sha1(der).digest())}, {"iss": door.evil},
            {"jku": f"{door.evil}/jwks", "kid": "new"},
        ):  # fmt: skip
            yield door.signed(header, key)
    yield door.signed({"alg": "ES256", "jwk": ATTACKER.jwk, "kid": None}, ATTACKER)
    yield door.signed({"crit": ["b64"], "b64": False})
    yield door.signed({"crit": []})
    yield door.signed({"typ": "at+jwt"})
    yield door.signed({"typ": "dpop+jwt"})


def wrong_time(door):
    now = int(time.time())
    yield from (door.signed(exp=value) for value in (
        None, "", f"{now + 300}", True, [now + 300], {}, 0, -1, now, now - 1, now + 10**7, 2**63, 10**400, -(10**400), 1e300, -1e300
    ))  # fmt: skip
    yield from (door.signed(iat=value) for value in (None, "now", now + 3600, -(10**400), 10**400, now - 10**6, 1e300, -1e300))
    yield from (door.signed(nbf=value) for value in (now + 3600, "now", True, [], 10**400, 1e300))
    for text in (b'"exp":NaN', b'"exp":Infinity', b'"exp":1e999', b'"exp":' + b"9" * 5000, b'"exp":0x7fffffff', b'"exp":+9e9'):
        payload = said(door, exp=None)[:-1] + b"," + text + b"}"
        yield raw({"alg": "ES256", "kid": door.curve.kid}, payload, door.curve.sign)


def wrong_place(door):
    """Issued by somebody else, or for somebody else."""
    for issuer in (
        None, "", "https://evil.example", f"{door.issuer}/", f"{door.issuer}.evil.example", f"{door.issuer}@evil.example",
        door.issuer.replace("http", "HTTP"), f" {door.issuer}", f"{door.issuer}#", f"{door.issuer}\x00", [door.issuer],
        {"a": door.issuer}, door.other.url, "\ud800", f"{door.issuer}\udfff",
    ):  # fmt: skip
        yield door.signed(iss=issuer)
    for key in door.other.keys:  # what the other one may say of itself, it may not say of this one
        yield door.signed(key=key, iss=door.issuer)
    for audience in (
        None, "", "else", [], ["else"], [door.audience, "else"], {"aud": door.audience}, f"{door.audience} ", f"{door.audience}2",
        door.audience.upper(), True, [[door.audience]], "*", door.issuer,
    ):  # fmt: skip
        yield door.signed(aud=audience)
    yield door.signed(aud=[door.audience, "else"], azp="else")
    for subject in (None, "", 7, ["248289761001"], "\ud800", "248289761001\x00"):
        yield door.signed(sub=subject)


def said_twice(door):
    """Two claims of one name, of which one reader takes the first and another the last."""
    good = said(door)
    for name, first in (
        ("sub", "else"),
        ("aud", "else"),
        ("iss", "https://evil.example"),
        ("exp", 1),
        ("repository", "guest/models"),
    ):
        for payload in (
            b'{"%s":%s,' % (name.encode(), json.dumps(first).encode()) + good[1:],
            good[:-1] + b',"%s":%s}' % (name.encode(), json.dumps(first).encode()),
            good[:-1] + b',"\\u%04x%s":%s}' % (ord(name[0]), name[1:].encode(), json.dumps(first).encode()),
            good[:-1] + b',"%s":%s}' % (name.encode(), json.dumps(door.claims().get(name)).encode()),
        ):
            yield raw({"alg": "ES256", "kid": door.curve.kid}, payload, door.curve.sign)
    for header in (b'{"alg":"none","alg":"ES256","kid":"key-1"}', b'{"alg":"ES256","kid":"evil","kid":"key-1"}'):
        yield raw(header, good, door.curve.sign)
    for payload in (
        b"",
        b"[]",
        b"null",
        b'"text"',
        good + good,
        good + b"x",
        b"\xef\xbb\xbf" + good,
        good.decode().encode("utf-16"),
        b"[" * 9000,
    ):
        yield raw({"alg": "ES256", "kid": door.curve.kid}, payload, door.curve.sign)


def written_otherwise(door):
    """The same signature around another text, or another text around the same signature."""
    token = door.signed()
    head, payload, signature = token.split(".")
    yield from (f"{head}=.{payload}.{signature}", f"{head}.{payload}=.{signature}", f"{head}.{payload}.{signature}=")
    yield from (
        f"{head}.{payload}.{signature}A",
        f"{head}.{payload}\t.{signature}",
        f"{head}.{payload}.{signature}.{head}.{payload}",
    )
    yield f"{head}.{payload}.{base64.b64encode(base64.urlsafe_b64decode(signature + '==')).decode()}"
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = last.index(signature[-1])
    yield token[:-1] + last[at ^ 1]  # the bits behind the last byte
    parts = {"payload": payload, "signatures": [{"protected": head, "signature": signature}]}
    yield json.dumps(parts)
    yield json.dumps({"payload": payload, "protected": head, "signature": signature})
    changed = b64(said(door, sub="else"))
    yield f"{head}.{changed}.{signature}"
    encrypted = b64(b'{"alg":"dir","enc":"A128GCM"}')
    yield f"{encrypted}..{head}.{payload}.{signature}"


def other_claims(door):
    """Of the right provider, and not as the rule says (for people: not of somebody who has an account)."""
    for repository in (
        None, "guest/models", "team/models/", "team/models2", "Team/models", "team%2fmodels", "team/models\n", "\nteam/models",
        ["team/models"], {"": "team/models"}, "team/../team/models", "te\u0430m/models", "team/models\x00", "*", "team/*",
    ):  # fmt: skip
        yield door.signed(repository=repository, sub="else")
    for ref in (None, "refs/pull/1/merge", "refs/heads/a/b", "refs/tags/main", "x/refs/heads/main", True, 7, ["refs/heads/main"]):
        yield door.signed(ref=ref, sub="else")


ATTACKS = [
    public_as_secret, unsigned, other_algorithm, other_key, key_brought_along, wrong_time, wrong_place, said_twice,
    written_otherwise, other_claims,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("which", [0, 1], ids=["pipeline", "person"])
def test_a_forged_token_lets_nobody_in_and_tells_nothing(doors, attack, which):
    door = doors[which]
    right = door.signed()
    assert door.shown(right)[0] in (200, 201)
    assert door.shown(door.signed({"kid": "rsa-1"}, door.rsa))[0] in (200, 201)
    answers, count = set(), 0
    for token in attack(door):
        status, told = door.shown(token)
        assert status == 401, (token, status, told)
        answers.add(json.dumps(told, sort_keys=True))
        count += 1
    assert count > 10
    assert len(answers) == 1, "what is wrong with a token is for the ledger, not for whoever shows it"
    assert door.shown(right)[0] in (200, 201)


def test_whoever_a_token_says_that_it_is_of_is_not_asked(doors):
    """Keys are fetched from issuers that a rule names: not to be had by a token of an issuer that serves keys, or of none."""
    for door in doors:
        for issuer in (
            door.evil,
            f"{door.evil}/",
            "http://127.0.0.1:1",
            "file:///etc/passwd",
            f"{door.issuer}/../..@{door.evil[7:]}",
        ):
            assert door.shown(door.signed(key=ATTACKER, iss=issuer))[0] == 401
    assert Fetched.asked == []


def test_what_is_no_token_at_all_lets_nobody_in(doors):
    deep = f"{b64(json.dumps({'alg': 'RS256'}).encode())}.{b64(b'[' * 14_000)}.AA"
    for door in doors:
        for token in (deep, "..", "a.b.c", "....", "x" * 15_000, "e30.e30.", "stn_" + "a" * 49):
            assert door.shown(token)[0] == 401
