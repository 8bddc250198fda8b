"""Whatever a stranger hands in as a bundle, a token, a trusted root or a list of revocations: refused in words, never a crash."""

import contextlib
import copy
import json
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stannary.core.errors import InputError, IntegrityError, UsageError
from stannary.crypto.jws import read_keys, verify_compact
from stannary.evidence.keyless.token import Provider, identity_of
from stannary.evidence.sigstore.bundle import parse_bundle
from stannary.evidence.sigstore.identity import Wanted
from stannary.evidence.sigstore.revocation import open_list
from stannary.evidence.sigstore.trusted_root import PUBLIC_GOOD, parse_root, read_root
from stannary.evidence.sigstore.verify import verify_bundle
from stannary.testing.identity_provider import IdentityProvider, compact

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sigstore"
ROOT = read_root(PUBLIC_GOOD)
WANTED = Wanted("919436158236-compute@developer.gserviceaccount.com", "https://accounts.google.com")
BUNDLE = json.loads((GOLDEN / "google.sigstore.json").read_bytes())
IDP = IdentityProvider()
KEYS = read_keys(IDP.jwks)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def paths_of(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from paths_of(item, (*path, name))


def with_another(value, path, new):
    value = copy.deepcopy(value)
    place = value
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = new
    return value


def test_the_bundle_holds_as_it_is():
    assert verify_bundle(parse_bundle(json.dumps(BUNDLE).encode()), ROOT, WANTED).owner.issuer == WANTED.issuer


@given(st.sampled_from(sorted(paths_of(BUNDLE), key=str)), json_values)
def test_any_value_in_any_place_of_a_bundle(path, new):
    other = with_another(BUNDLE, path, new)
    with pytest.raises(IntegrityError):
        verify_bundle(parse_bundle(json.dumps(other).encode()), ROOT, WANTED)


@given(st.sampled_from(sorted(paths_of(BUNDLE), key=str)), st.data())
def test_any_text_of_a_bundle_spelt_otherwise(path, data):
    old = BUNDLE
    for name in path:
        old = old[name]
    if not isinstance(old, str) or len(old) < 2:
        return
    start = data.draw(st.integers(0, len(old) - 1))
    end = data.draw(st.integers(start, min(len(old), start + 40)))
    new = old[:start] + data.draw(st.text("ABCabc012+/=-_\n .", max_size=6)) + old[end:]
    if new == old:
        return
    # Such serial numbers as a changed certificate may have are said to be on their way out.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(IntegrityError):
            verify_bundle(parse_bundle(json.dumps(with_another(BUNDLE, path, new)).encode()), ROOT, WANTED)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_bundle(content):
    with pytest.raises(IntegrityError):
        parse_bundle(content)


@given(st.text(max_size=200) | st.lists(st.text("abcXYZ019-_=", max_size=30), min_size=1, max_size=4).map(".".join))
def test_texts_that_are_no_token(text):
    with pytest.raises(IntegrityError):
        verify_compact(text, KEYS)


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64", "zip"]), json_values, max_size=4))
def test_headers_of_a_token(header):
    with pytest.raises(IntegrityError):
        verify_compact(compact({"alg": "ES256", "kid": "other"} | header, {"sub": "a"}, IDP.keys[0]) + "A", KEYS)


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "sub", "email", "email_verified", "azp"]), json_values),
    st.sampled_from(["email", "uri", "user", "github", "gitlab", "kubernetes"]),
)
def test_claims_of_a_signed_token(claims, kind):
    token = compact({"alg": "ES256", "kid": "key-1"}, claims, IDP.keys[0])
    with pytest.raises(IntegrityError):
        identity_of(token, Provider(url="https://idp.example", audience="stannary", kind=kind), KEYS, datetime.now(UTC))


@given(
    json_values, json_values, st.sampled_from(["RSA", "EC", "OKP", "oct"]), st.sampled_from(["P-256", "Ed25519", ["P-256"], None])
)
def test_sets_of_keys(value, other, kind, curve):
    row = {"kty": kind, "crv": curve, "n": value, "e": other, "x": value, "y": other, "kid": other, "key_ops": other}
    for content in (value, {"keys": value}, {"keys": [value]}, {"keys": [row]}):
        with pytest.raises(InputError):
            read_keys(json.dumps(content).encode())


TRUSTED = json.loads(Path(__file__).resolve().parents[2].joinpath("src/stannary/evidence/sigstore/public_good.json").read_bytes())


@pytest.mark.tree
@given(st.sampled_from(sorted(paths_of(TRUSTED), key=str)), json_values)
def test_trusted_roots(path, new):
    with contextlib.suppress(InputError):  # some of it is not needed
        found = parse_root(json.dumps(with_another(TRUSTED, path, new)).encode(), "root")
        assert found.authorities
        assert found.logs


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_lists_of_revocations(content):
    with pytest.raises((InputError, IntegrityError, UsageError)):
        open_list(content, ROOT, datetime.now(UTC))
