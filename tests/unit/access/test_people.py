"""People log in by an identity provider: a real one, over HTTP; and everything that may not let them in."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from datetime import timedelta
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.unit.access.conftest import OWNER

from stannary.access import accounts, code_flow, device_flow, federation
from stannary.access.exchange import exchange
from stannary.access.model import Provider
from stannary.core.errors import BackendError, PolicyDenied, StannaryError, UsageError
from stannary.testing.identity_provider import ProviderKey, compact
from stannary.testing.oidc_provider import OidcProvider

BACK = "http://127.0.0.1:1/back"


class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def browse(address):
    """Follow an address as a browser does that is logged in at the provider; return what it is sent back with."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(Stays()).open(address, timeout=20)
    with caught.value as error:
        assert error.code == 302, error.read()
        where = error.headers["location"]
    assert where.startswith(f"{BACK}?"), where
    return {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}


@pytest.fixture(params=["public", "secret"])
def provider(request, monkeypatch):
    secret = "s/e cr:et" if request.param == "secret" else ""
    monkeypatch.setenv("OIDC_SECRET", secret)
    with OidcProvider(secret=secret) as found:
        yield found


@pytest.fixture
def people(local, provider):
    """Return a desk at which ann may log in by the provider."""
    accounts.add(local.access, OWNER, "ann", known_as=(provider.url, provider.user))
    place = "env:OIDC_SECRET" if provider.secret else ""
    federation.add_provider(local.access, OWNER, Provider(issuer=provider.url, client=provider.client, secret=place))
    return local


def begun(desk, provider, browser="b1"):
    return browse(code_flow.begin(desk.access, provider.url, BACK, browser))


def refused(desk, answer, browser="b1", why=""):
    with pytest.raises(PolicyDenied, match=why or None) as caught:
        code_flow.complete(desk.access, answer, browser)
    assert caught.value.code == "ACC001"
    with desk.database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM access_session").scalar() == 0


def test_somebody_logs_in_by_their_provider(people, provider):
    session = code_flow.complete(people.access, begun(people, provider), "b1")
    assert people.access.authenticate("", session.secret).id == "user:ann"
    assert people.events("login")[0]["by"] == f"issuer:{provider.url}"


def test_who_has_no_account_is_not_let_in_whatever_their_address_is(people, provider):
    provider.user = "somebody-else"
    refused(people, begun(people, provider))


def test_an_answer_counts_once_soon_and_in_the_browser_that_asked(people, provider):
    answer = begun(people, provider)
    refused(people, answer, "b2", "another browser")
    refused(people, answer, "b1", "no login that is under way")
    late = begun(people, provider)
    people.wait(minutes=11)
    refused(people, late, why="no login that is under way")
    people.offset = timedelta()
    for answer in ({}, {"state": "", "code": "x"}, {"state": "guessed", "code": "x"}, {"code": "x"}):
        refused(people, answer, why="no login that is under way")


def test_a_code_is_exchanged_once(people, provider):
    answer = begun(people, provider)
    code_flow.complete(people.access, answer, "b1")
    other = begun(people, provider, "b3")
    with pytest.raises(PolicyDenied, match="refused the code"):
        code_flow.complete(people.access, {**other, "code": answer["code"]}, "b3")


def test_a_code_of_another_login_is_worth_nothing(people, provider):
    """Somebody plants their own code into the login of another: its verifier is not that of the login."""
    mine, theirs = begun(people, provider, "mallory"), begun(people, provider, "b1")
    refused(people, {**theirs, "code": mine["code"]}, "b1", "refused the code")


def test_another_provider_that_answers_is_not_believed(people, provider):
    refused(people, {**begun(people, provider), "iss": "https://evil.example"}, why="another provider")


def test_an_error_of_the_provider_lets_nobody_in(people, provider):
    answer = begun(people, provider)
    refused(people, {"state": answer["state"], "error": "access_denied"}, why="did not let them in")


def test_the_redirect_address_is_sent_word_for_word_and_never_in_the_clear(people, provider):
    asked = parse_qs(urlsplit(code_flow.begin(people.access, provider.url, BACK, "b")).query)
    assert asked["redirect_uri"] == [BACK]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    for redirect in ("http://stannary.example/back", "javascript:alert(1)", "//evil", "ftp://127.0.0.1/"):
        with pytest.raises(UsageError):
            code_flow.begin(people.access, provider.url, redirect, "b")
    address = code_flow.begin(people.access, provider.url, "http://127.0.0.1:1/back/else", "b")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(Stays()).open(address, timeout=20)
    with caught.value as error:
        assert error.code == 400


def b64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def with_hmac(claims, key):
    """Sign with the public key of the provider as the secret of an HMAC: what a confused verifier takes."""
    secret = json.dumps(key.jwk).encode()
    text = f"{b64(json.dumps({'alg': 'HS256', 'kid': key.kid, 'typ': 'JWT'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def signed(claims, key, header=None, **more):
    said = {name: value for name, value in (claims | more).items() if value is not None}
    return compact({"alg": key.algorithm, "kid": key.kid, "typ": "JWT"} | (header or {}), said, key)


NOW = time.time
FORGED = {
    "of another audience": lambda c, k: signed(c, k, aud=["somebody-else"]),
    "of several audiences": lambda c, k: signed(c, k, aud=["stannary-web", "somebody-else"]),
    "of another issuer": lambda c, k: signed(c, k, iss="https://evil.example"),
    "with another nonce": lambda c, k: signed(c, k, nonce="other"),
    "without a nonce": lambda c, k: signed(c, k, nonce=None),
    "expired": lambda c, k: signed(c, k, iat=int(NOW()) - 900, exp=int(NOW()) - 1),
    "not yet valid": lambda c, k: signed(c, k, nbf=int(NOW()) + 900),
    "of the future": lambda c, k: signed(c, k, iat=int(NOW()) + 900, exp=int(NOW()) + 1800),
    "without an end": lambda c, k: signed(c, k, exp=None),
    "good for ever": lambda c, k: signed(c, k, exp=int(NOW()) + 10**7),
    "without a subject": lambda c, k: signed(c, k, sub=None),
    "unsigned": lambda c, _: compact({"alg": "none", "typ": "JWT"}, c, None),
    "unsigned, in capitals": lambda c, k: compact({"alg": "NONE", "kid": k.kid}, c, None),
    "signed with the public key": with_hmac,
    "signed by somebody else": lambda c, k: signed(c, ProviderKey("ES256", k.kid)),
    "with a key of its own": lambda c, _: signed(c, own := ProviderKey("ES256", "own"), {"jwk": own.jwk}),
    "with a key from elsewhere": lambda c, k: signed(c, k, {"jku": "https://evil.example/jwks", "kid": "evil"}),
    "with a path for a key": lambda c, k: signed(c, k, {"kid": "../../../../dev/null"}),
    "with SQL for a key": lambda c, k: signed(c, k, {"kid": "x' UNION SELECT 'k"}),
    "of another algorithm": lambda c, k: signed(c, ProviderKey("RS256", k.kid)),
    "with the wrong algorithm named": lambda c, k: signed(c, k, {"alg": "RS256"}),
    "an access token": lambda c, k: signed(c, k, {"typ": "at+jwt"}),
    "critical": lambda c, k: signed(c, k, {"crit": ["x"], "x": 1}),
    "cut off": lambda c, k: signed(c, k)[:-4],
    "no token": lambda *_: "hello",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_a_token_that_is_wrong_in_one_way_lets_nobody_in(people, provider, forge):
    provider.forge = forge
    refused(people, begun(people, provider))
    provider.forge = signed
    assert code_flow.complete(people.access, begun(people, provider), "b1")


def test_new_keys_of_the_provider_are_fetched_and_old_ones_are_not_believed(people, provider):
    now = [0.0]
    people.access.issuers._clock = lambda: now[0]
    code_flow.complete(people.access, begun(people, provider), "b1")
    old = provider.keys[-1]
    provider.rotate()
    now[0] += 31
    code_flow.complete(people.access, begun(people, provider), "b1")
    assert len(provider.fetched) == 2
    provider.forge = lambda claims, _: signed(claims, old)
    for _ in range(5):
        with pytest.raises(PolicyDenied):
            code_flow.complete(people.access, begun(people, provider), "b1")
    assert len(provider.fetched) == 2  # tokens that are wrong do not make us ask again and again


def test_a_provider_that_describes_another_one_is_not_asked(people, provider):
    provider.document = {"issuer": "https://evil.example"}
    with pytest.raises(StannaryError):
        code_flow.begin(people.access, provider.url, BACK, "b")
    for name in ("authorization_endpoint", "token_endpoint"):
        provider.document = {}
        answer = begun(people, provider)
        provider.document = {name: "http://evil.example/x"}
        again = partial(code_flow.complete, people.access, answer, "b1")
        with pytest.raises(UsageError):
            (again if name == "token_endpoint" else partial(begun, people, provider))()


def test_a_secret_that_is_not_there_is_said(people, provider, monkeypatch):
    answer = begun(people, provider)
    monkeypatch.delenv("OIDC_SECRET")
    if provider.secret:
        with pytest.raises(UsageError, match="secret is not there"):
            code_flow.complete(people.access, answer, "b1")
    else:
        assert code_flow.complete(people.access, answer, "b1")


@pytest.fixture
def device():
    with OidcProvider(client="stannary-cli") as found:
        yield found


def test_somebody_logs_in_at_a_command_line(local, device):
    accounts.add(local.access, OWNER, "ann", known_as=(device.url, device.user))
    federation.add_provider(local.access, OWNER, Provider(issuer=device.url, client="stannary-cli"))
    asked = device_flow.begin(device.url, "stannary-cli")
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            urllib.request.urlopen(asked.complete, timeout=20).close()

    token = device_flow.wait(asked, pause)
    assert len(pauses) == 3
    issued = exchange(local.access, token)
    assert local.access.authenticate(f"Bearer {issued.secret}").id == "user:ann"
    assert token not in str(local.told)
    for wrong in (token[:-2], "x", "a.b.c", f"{token}.x"):
        with pytest.raises(PolicyDenied):
            exchange(local.access, wrong)


def test_a_login_that_nobody_confirms_or_somebody_refuses_is_none(device):
    asked = device_flow.begin(device.url, "stannary-cli")
    with pytest.raises(PolicyDenied, match="nobody confirmed"):
        device_flow.wait(asked._replace(lasts=3), lambda _: None)
    device.confirm(asked.shown, agreed=False)
    with pytest.raises(PolicyDenied, match="access_denied"):
        device_flow.wait(asked, lambda _: None)


def test_a_provider_without_the_device_flow_is_said(device):
    with pytest.raises(BackendError, match="invalid_client"):
        device_flow.begin(device.url, "somebody")
    device.document = {"device_authorization_endpoint": None}
    with pytest.raises(UsageError, match="no device flow"):
        device_flow.begin(device.url, "stannary-cli")


def test_a_token_for_another_client_is_not_exchanged(local, device):
    accounts.add(local.access, OWNER, "ann", known_as=(device.url, device.user))
    federation.add_provider(local.access, OWNER, Provider(issuer=device.url, client="stannary-web"))
    asked = device_flow.begin(device.url, "stannary-cli")
    device.confirm(asked.shown)
    token = device_flow.wait(asked, lambda _: None)
    with pytest.raises(PolicyDenied):
        exchange(local.access, token)
