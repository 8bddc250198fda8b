"""Who a token names, and every way in which it names nobody: algorithm, key, issuer, audience, time, nonce, claims."""

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.crypto.discovery import check_address, discover_keys
from stannary.crypto.jws import read_keys, verify_compact
from stannary.evidence.keyless.ambient import ambient_token
from stannary.evidence.keyless.token import Provider, identity_of, public_kind
from stannary.testing.identity_provider import IdentityProvider, ProviderKey, compact

IDP = IdentityProvider(ProviderKey("ES256", "key-1"))
OTHER = ProviderKey("ES256", "key-1")  # another key by the same name
OURS = Provider(url=IDP.url, audience="stannary")
GITHUB = {
    "iss": "https://token.actions.githubusercontent.com",
    "sub": "repo:acme/models:ref:refs/heads/main",
    "job_workflow_ref": "acme/models/.github/workflows/release.yml@refs/heads/main",
    "job_workflow_sha": "a" * 40,
    "repository": "acme/models",
    "repository_id": "1",
    "repository_owner": "acme",
    "sha": "b" * 40,
    "ref": "refs/heads/main",
    "run_id": "7",
    "run_attempt": "1",
    "event_name": "push",
    "runner_environment": "self-hosted",
}


def named(token, provider=OURS, keys=IDP.jwks, at=0.0, nonce=None):
    return identity_of(token, provider, read_keys(keys), datetime.fromtimestamp(time.time() + at, UTC), nonce=nonce)


def claims_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))


def refusal(token, **more):
    with pytest.raises(IntegrityError) as raised:
        named(token, **more)
    return raised.value.code


def test_a_token_names_somebody():
    who = named(IDP.token())
    assert (who.kind, who.name, who.issuer, who.subject, who.claims) == ("email", "alice@example.com", IDP.url, "alice", {})


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "EdDSA"])
def test_every_algorithm_that_is_taken(algorithm):
    provider = IdentityProvider(ProviderKey(algorithm))
    assert named(provider.token(), keys=provider.jwks).name == "alice@example.com"
    token = provider.token()
    for i in range(0, len(token), 7):  # one character changed, in header, payload or signature
        other = token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :]
        assert refusal(other, keys=provider.jwks) in {"OID001", "OID002", "OID003"}, i


@pytest.mark.parametrize(
    "algorithm, kind, size",
    [("ES256", ECKey, "P-256"), ("ES384", ECKey, "P-384"), ("RS256", RSAKey, 2048), ("Ed25519", OKPKey, "Ed25519")],
)
def test_tokens_that_another_library_signs_are_read(algorithm, kind, size):
    key = kind.generate_key(size, {"kid": "k", "use": "sig"}, private=True)
    keys = json.dumps(KeySet([key]).as_dict(private=False)).encode()
    token = jwt.encode({"alg": algorithm, "kid": "k"}, claims_of(IDP.token()), key, algorithms=[algorithm])
    assert named(token, keys=keys).name == "alice@example.com"


def test_an_unsigned_token_is_refused():
    claims = claims_of(IDP.token())
    for name in ("none", "None", "NONE", "nOnE", ""):
        assert refusal(compact({"alg": name, "kid": "key-1"}, claims, None)) == "OID002"
    assert refusal(compact({"kid": "key-1"}, claims, None)) == "OID002"
    head, payload, _ = IDP.token().split(".")
    assert refusal(f"{head}.{payload}.") == "OID003"


def test_a_public_key_is_no_secret():
    """The attack of 2015: HMAC with the public key as its secret."""
    claims = claims_of(IDP.token())
    for secret in (IDP.jwks, json.dumps(IDP.keys[0].jwk).encode(), base64.urlsafe_b64decode(IDP.keys[0].jwk["x"] + "==")):
        token = jwt.encode({"alg": "HS256", "kid": "key-1"}, claims, OctKey.import_key(secret), algorithms=["HS256"])
        assert refusal(token) == "OID002"


def test_the_key_decides_the_algorithm():
    assert refusal(IDP.token(header={"alg": "RS256"})) == "OID002"
    assert refusal(IDP.token(header={"alg": "ES384"})) == "OID002"


def test_an_unknown_or_wrong_key():
    assert refusal(IDP.token(header={"kid": "other"})) == "OID003"
    assert refusal(IDP.token(key=OTHER)) == "OID003"
    nameless = compact({"alg": "ES256"}, claims_of(IDP.token()), IDP.keys[0])
    assert named(nameless).name == "alice@example.com"


def test_a_key_in_the_header_is_not_used():
    for header in ({"jwk": OTHER.jwk}, {"jku": "http://127.0.0.1:1/jwks"}, {"x5u": "http://127.0.0.1:1/"}, {"x5c": ["AAAA"]}):
        assert refusal(IDP.token(key=OTHER, header=header)) == "OID003"
    assert refusal(IDP.token(header={"crit": ["b64"], "b64": False})) == "OID002"


@pytest.mark.parametrize(
    "claims, code",
    [
        ({"iss": "https://evil.example"}, "OID004"),
        ({"iss": f"{IDP.url}/"}, "OID004"),
        ({"iss": None}, "OID004"),
        ({"exp": 10**400}, "OID006"),
        ({"iat": -(10**400)}, "OID006"),
        ({"nbf": -(10**400)}, "OID006"),
        ({"sub": "alice\x00"}, "OID008"),
        ({"iss": [IDP.url]}, "OID004"),
        ({"aud": "sigstore"}, "OID005"),
        ({"aud": None}, "OID005"),
        ({"aud": []}, "OID005"),
        ({"aud": ["stannary", "another"]}, "OID005"),
        ({"aud": ["stannary", "another"], "azp": "another"}, "OID005"),
        ({"aud": "stannary "}, "OID005"),
        ({"exp": int(time.time()) - 1}, "OID006"),
        ({"exp": None}, "OID006"),
        ({"exp": "2099-01-01"}, "OID006"),
        ({"exp": True}, "OID006"),
        ({"exp": int(time.time()) + 48 * 3600}, "OID006"),
        ({"exp": 1e300}, "OID006"),
        ({"iat": None}, "OID006"),
        ({"iat": int(time.time()) + 3600, "exp": int(time.time()) + 3700}, "OID006"),
        ({"nbf": int(time.time()) + 3600}, "OID006"),
        ({"nbf": "soon"}, "OID006"),
        ({"sub": None}, "OID008"),
        ({"sub": ""}, "OID008"),
        ({"sub": 7}, "OID008"),
        ({"email": None}, "OID008"),
        ({"email_verified": False}, "OID008"),
        ({"email_verified": None}, "OID008"),
        ({"email_verified": "true"}, "OID008"),
        ({"email": "alice@example.com@evil.example"}, "OID008"),
        ({"email": "alice@example.com\n"}, "OID008"),
        ({"email": "alice"}, "OID008"),
        ({"email": "\N{CYRILLIC SMALL LETTER A}lice@example.com"}, "OID008"),
        ({"email": "a" * 2000 + "@example.com"}, "OID008"),
    ],
)
def test_claims_that_name_nobody(claims, code):
    assert refusal(IDP.token(**claims)) == code


def test_an_audience_of_several_needs_to_be_ours():
    assert named(IDP.token(aud=["stannary"])).name == "alice@example.com"
    assert named(IDP.token(aud=["stannary", "another"], azp="stannary")).name == "alice@example.com"


def test_clocks_may_differ_by_a_minute_and_an_end_is_an_end():
    assert named(IDP.token(), at=-55).name == "alice@example.com"
    assert refusal(IDP.token(), at=-70) == "OID006"
    assert named(IDP.token(), at=295).name == "alice@example.com"
    assert refusal(IDP.token(), at=301) == "OID006"


def test_a_nonce_that_was_asked_for():
    assert named(IDP.token(nonce="n-1"), nonce="n-1").name == "alice@example.com"
    assert refusal(IDP.token(nonce="n-2"), nonce="n-1") == "OID007"
    assert refusal(IDP.token(), nonce="n-1") == "OID007"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "a.b.c.d",
        "e30.e30.",
        "W10.e30.AA",
        "\N{SNOWMAN}.b.c",
        "eyJhbGciOiJFUzI1NiJ9.e30=.AA",
        "A" * 70_000,
    ],
)
def test_what_is_no_token(token):
    assert refusal(token) in {"OID001", "OID002", "OID003"}


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b'{"sub": "a", "sub": "b"}', b'{"sub": "\\ud800"}', b"\xff", b"[" * 40_000]
)
def test_a_signed_token_without_claims(payload):
    assert refusal(compact({"alg": "ES256", "kid": "key-1"}, payload, IDP.keys[0])) == "OID001"


def test_a_header_says_each_thing_once():
    head = base64.urlsafe_b64encode(b'{"alg":"ES256","kid":"key-1","alg":"ES256"}').rstrip(b"=").decode()
    payload = IDP.token().split(".")[1]
    signature = base64.urlsafe_b64encode(IDP.keys[0].sign(f"{head}.{payload}".encode())).rstrip(b"=").decode()
    assert refusal(f"{head}.{payload}.{signature}") == "OID001"


def test_another_kind_of_token():
    assert refusal(IDP.token(header={"typ": "at+jwt"})) == "OID001"
    assert named(IDP.token(header={"typ": "jwt"})).name == "alice@example.com"


# What names somebody


def test_users_and_uris():
    assert named(IDP.token(), Provider(url=IDP.url, audience="stannary", kind="user"))[:2] == ("user", "alice!idp.example")
    uri = Provider(url=IDP.url, audience="stannary", kind="uri")
    assert named(IDP.token(sub="spiffe://acme.example/trainer"), uri)[:2] == ("uri", "spiffe://acme.example/trainer")
    assert refusal(IDP.token(sub="no uri"), provider=uri) == "OID008"
    assert refusal(IDP.token(sub="a!b"), provider=Provider(url=IDP.url, audience="stannary", kind="user")) == "OID008"


def test_a_workflow_of_github():
    provider = Provider(url=GITHUB["iss"], audience="stannary", kind="github")
    who = named(IDP.token(**GITHUB), provider)
    assert who.name == "https://github.com/acme/models/.github/workflows/release.yml@refs/heads/main"
    assert (who.claims[3], who.claims[12]) == ("b" * 40, "https://github.com/acme/models")
    assert who.claims[21] == "https://github.com/acme/models/actions/runs/7/attempts/1"
    assert 22 not in who.claims  # its claim is not in the token
    assert refusal(IDP.token(**{**GITHUB, "job_workflow_ref": None}), provider=provider) == "OID008"
    assert refusal(IDP.token(**{**GITHUB, "job_workflow_ref": "a b"}), provider=provider) == "OID008"
    assert public_kind(GITHUB["iss"]) == "github"
    assert public_kind("https://idp.example") == "email"


def test_claims_are_text_and_no_templates():
    provider = Provider(url=GITHUB["iss"], audience="stannary", kind="github")
    who = named(IDP.token(**{**GITHUB, "event_name": "{web.__class__}{sha}"}), provider)
    assert who.claims[2] == "{web.__class__}{sha}"


def test_a_server_of_ones_own_has_its_own_pages():
    provider = Provider(url="https://git.acme.example/_services/token", audience="stannary", kind="github")
    who = named(IDP.token(**{**GITHUB, "iss": provider.url}), provider)
    assert who.name.startswith("https://git.acme.example/acme/models/")


def test_a_pipeline_of_gitlab():
    provider = Provider(url="https://gitlab.com", audience="stannary", kind="gitlab")
    claims = {"iss": provider.url, "ci_config_ref_uri": "gitlab.com/acme/models//.gitlab-ci.yml@refs/heads/main", "sha": "c" * 40}
    who = named(IDP.token(**claims), provider)
    assert (who.kind, who.name) == ("uri", "https://gitlab.com/acme/models//.gitlab-ci.yml@refs/heads/main")
    assert who.claims[13] == "c" * 40


def test_a_service_account_of_kubernetes():
    provider = Provider(url="https://kubernetes.default.svc.cluster.local", audience="stannary", kind="kubernetes")
    inside = {"namespace": "ml", "serviceaccount": {"name": "trainer", "uid": "1"}, "pod": {"name": "p"}}
    claims = {"iss": provider.url, "aud": ["stannary"], "sub": "system:serviceaccount:ml:trainer", "kubernetes.io": inside}
    who = named(IDP.token(**claims), provider)
    assert (who.kind, who.name) == ("uri", "https://kubernetes.io/namespaces/ml/serviceaccounts/trainer")
    for other in (None, {}, {"namespace": "ml"}, {**inside, "namespace": "a b"}, {**inside, "namespace": {}}, "ml"):
        assert refusal(IDP.token(**{**claims, "kubernetes.io": other}), provider=provider) == "OID008"


# Keys


def test_keys_that_are_weak_broken_or_none():
    good = IDP.keys[0].jwk
    weak = {
        "kty": "RSA",
        "kid": "w",
        "n": base64.urlsafe_b64encode((1 << 1023 | 1).to_bytes(128, "big")).decode().rstrip("="),
        "e": "AQAB",
    }
    off = {**good, "y": good["x"]}
    for rows in ([weak], [off], [{**good, "x": "AA"}], [], [{"kty": "oct", "k": "AAAA"}], [{**good, "use": "enc"}], [1], "x"):
        with pytest.raises(InputError) as raised:
            read_keys(json.dumps({"keys": rows}).encode())
        assert raised.value.code == "OID009"
    for content in (b"", b"{}", b"[]", b"\xff", json.dumps({"keys": [good] * 65}).encode()):
        with pytest.raises(InputError):
            read_keys(content)
    assert [key.kid for key in read_keys(json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}, good]}).encode())] == ["key-1"]
    assert verify_compact(IDP.token(), read_keys(IDP.jwks)).header["alg"] == "ES256"


# Over the network


def test_keys_are_discovered_and_a_rotated_key_is_not_known():
    with IdentityProvider() as idp:
        keys = read_keys(discover_keys(idp.url))
        ours = Provider(url=idp.url, audience="stannary")
        now = datetime.now(UTC)
        assert identity_of(idp.token(), ours, keys, now).name == "alice@example.com"
        idp.rotate()
        with pytest.raises(IntegrityError, match="does not have"):
            identity_of(idp.token(), ours, keys, now)
        assert identity_of(idp.token(), ours, read_keys(discover_keys(idp.url)), now).name == "alice@example.com"
        assert idp.requests[:2] == ["/.well-known/openid-configuration", "/jwks"]


def test_a_provider_that_describes_another():
    with IdentityProvider() as idp:
        idp.document = {"issuer": "https://evil.example"}
        with pytest.raises(IntegrityError) as raised:
            discover_keys(idp.url)
        assert raised.value.code == "OID004"
        for address in ("http://idp.example/jwks", "file:///etc/passwd", None, "https://a:b@idp.example/"):
            idp.document = {"jwks_uri": address}
            with pytest.raises(UsageError) as refused:
                discover_keys(idp.url)
            assert refused.value.code == "OID010"
    with pytest.raises(BackendError) as silent:
        discover_keys(idp.url)  # it no longer answers
    assert "--jwks" in silent.value.help


def test_addresses_of_issuers():
    assert check_address("https://idp.example/realm") == "https://idp.example/realm"
    for url in (
        "http://idp.example",
        "ftp://idp.example",
        "idp.example",
        "https://",
        "https://a?b",
        "https://a#b",
        "https://[",
        "",
    ):
        with pytest.raises(UsageError):
            check_address(url)


def test_the_token_of_a_pipeline():
    assert ambient_token({"STANNARY_ID_TOKEN": " a.b.c\n", "SIGSTORE_ID_TOKEN": "d"}, "stannary") == "a.b.c"
    assert ambient_token({"SIGSTORE_ID_TOKEN": "d.e.f"}, "stannary") == "d.e.f"
    with pytest.raises(UsageError) as raised:
        ambient_token({}, "stannary")
    assert raised.value.code == "OID011"
    with IdentityProvider(secret="s3cret") as idp:
        runner = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{idp.url}/token?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "s3cret"}
        ours = Provider(url=idp.url, audience="ours/too")
        token = ambient_token(runner, "ours/too")
        assert identity_of(token, ours, read_keys(idp.jwks), datetime.now(UTC)).name == "alice@example.com"
        assert idp.requests == ["/token?api-version=2&audience=ours%2Ftoo"]
        with pytest.raises(UsageError, match="no socket"):
            ambient_token(runner, "ours/too", offline=True)
        with pytest.raises(BackendError) as refused:
            ambient_token(runner | {"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "wrong"}, "ours/too")
        assert "wrong" not in str(refused.value)
        assert len(idp.requests) == 2
    with pytest.raises(UsageError):
        ambient_token(runner | {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://runner.example/token"}, "x")
