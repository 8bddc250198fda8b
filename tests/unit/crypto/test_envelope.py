"""Wrapping keys, and envelopes around data keys: who opens them, who does not, and what a header may be."""

import base64
import hmac
import os

import keyring
import msgspec
import pytest
from keyrings.alt.file import PlaintextKeyring

from stannary.core.errors import BackendError, InputError, IntegrityError, UsageError
from stannary.crypto.envelope import Envelopes, Header, WrappedKey, namespace_key, new_namespace, rewrap_namespace
from stannary.crypto.interface import Wrapper
from stannary.crypto.providers.keyring import store
from stannary.crypto.providers.opening import SCHEMES, open_wrapper
from stannary.crypto.wrapping import WrappingKey, read_wrapping

KEY, OTHER = WrappingKey(b"\1" * 32), WrappingKey(b"\2" * 32)
DATA = bytes(range(32))


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch):
    monkeypatch.delenv("STANNARY_PASSPHRASE", raising=False)


# Wrapping keys


def test_what_a_key_wraps_it_opens_for_that_and_nothing_else():
    wrapped = KEY.wrap(DATA, b"one")
    assert KEY.unwrap(wrapped, b"one") == DATA
    assert DATA not in wrapped
    for key, context in ((KEY, b"two"), (KEY, b""), (OTHER, b"one")):
        with pytest.raises(IntegrityError):
            key.unwrap(wrapped, context)
    for bit in range(8 * len(wrapped)):
        changed = bytearray(wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError):
            KEY.unwrap(bytes(changed), b"one")
    for odd in (b"", b"x" * 7, wrapped[:-8], wrapped + b"\0" * 8):
        with pytest.raises(IntegrityError):
            KEY.unwrap(odd, b"one")


def test_the_name_of_a_key_is_always_the_same_and_says_nothing_of_it():
    # Kept: headers of years ago name their key so.
    assert (KEY.provider, KEY.key_id) == ("local", "8a4e3a3400e5b5801ecb8a479ce1caa1")
    assert hmac.digest(b"\1" * 32, b"stannary wrapping key 1\0name\0\1", "sha512")[:16].hex() == KEY.key_id
    assert KEY.key_id != OTHER.key_id
    assert "01010101" not in repr(KEY)


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_key_in_a_file(tmp_path, passphrase):
    path = tmp_path / "key"
    KEY.write(path, passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_wrapping(path, passphrase).key_id == KEY.key_id
    with pytest.raises(UsageError, match="never overwritten"):
        OTHER.write(path, None)
    if passphrase:
        assert b"\1" * 8 not in path.read_bytes()
        for wrong, code in ((b"wrong", "KEY004"), (None, "KEY003")):
            with pytest.raises(UsageError) as raised:
                read_wrapping(path, wrong)
            assert raised.value.code == code
    with pytest.raises(UsageError, match="no such key file"):
        read_wrapping(tmp_path / "other")


def test_files_that_hold_no_wrapping_key(tmp_path):
    plain, locked = KEY.pem(None), KEY.pem(b"secret")
    frame = b"-----BEGIN STANNARY ENCRYPTED WRAPPING KEY-----\n%s\n-----END STANNARY ENCRYPTED WRAPPING KEY-----\n"
    body = base64.b64decode(b"".join(locked.splitlines()[1:-1]))
    assert WrappingKey.of_pem(frame % base64.b64encode(body), b"secret").key_id == KEY.key_id
    for content in (
        b"",
        b"hello",
        plain[:-1] + b"x",
        plain.replace(b"WRAPPING KEY", b"PRIVATE KEY"),
        plain.replace(b"BEGIN STANNARY ", b"BEGIN STANNARY ENCRYPTED "),
        locked.replace(b"ENCRYPTED ", b""),
        plain + plain,
        b"\n" * 5000 + plain,
        frame % base64.b64encode(body[:1] + b"\xff" + body[2:]),  # 2^255 of scrypt: a file decides it
        frame % base64.b64encode(b"\2" + body[1:]),
        frame % base64.b64encode(body[:-1]),
        frame % base64.b64encode(body)[:-1],
    ):
        with pytest.raises(InputError) as raised:
            WrappingKey.of_pem(content, b"secret")
        assert raised.value.code == "KEY031"
    with pytest.raises(UsageError):
        WrappingKey(b"short")


def test_addresses_of_wrapping_keys(tmp_path, monkeypatch):
    KEY.write(tmp_path / "plain", None)
    KEY.write(tmp_path / "locked", b"secret")
    monkeypatch.setenv("PLAIN", KEY.pem(None).decode().replace("\n", "\\n"))
    monkeypatch.setenv("LOCKED", KEY.pem(b"secret").decode())
    for address in (str(tmp_path / "plain"), f"file:{tmp_path / 'locked'}", "env:PLAIN", "env:LOCKED"):
        assert open_wrapper(address, b"secret").key_id == KEY.key_id
    with pytest.raises(UsageError, match="no keys of the kind 'gcpkms'") as raised:
        open_wrapper("gcpkms:projects/x")
    assert all(f"{scheme}:" in raised.value.help for scheme in SCHEMES)
    with pytest.raises(UsageError, match="protected"):
        open_wrapper("env:LOCKED")


def test_a_keyring(tmp_path):
    before = keyring.get_keyring()
    backend = PlaintextKeyring()
    backend.file_path = str(tmp_path / "keyring.cfg")
    keyring.set_keyring(backend)
    try:
        store("plain", KEY, None)
        store("locked", KEY, b"secret")
        assert open_wrapper("keyring:plain").key_id == open_wrapper("keyring:locked", b"secret").key_id == KEY.key_id
    finally:
        keyring.set_keyring(before)


# Envelopes


def test_any_one_of_the_keys_opens_an_envelope():
    both = Envelopes([KEY, OTHER])
    header = both.begin(b"one")
    key = both.key(header, b"one")
    assert Envelopes([KEY]).key(header, b"one") == Envelopes([OTHER]).key(header, b"one") == key
    assert both.key(both.begin(b"one"), b"one") != key
    assert [(row.provider, row.key_id) for row in msgspec.json.decode(header, type=Header).keys] == [
        ("local", KEY.key_id),
        ("local", OTHER.key_id),
    ]
    assert key not in header


def test_who_has_none_of_the_keys_is_told_which_are_needed():
    header = Envelopes([KEY]).begin(b"one")
    with pytest.raises(UsageError, match=KEY.key_id) as raised:
        Envelopes([OTHER]).key(header, b"one")
    assert raised.value.code == "ENC012"


def test_a_header_is_for_one_thing():
    header = Envelopes([KEY]).begin(b"one")
    with pytest.raises(IntegrityError):
        Envelopes([KEY]).key(header, b"two")


def test_other_keys_are_another_header_around_the_same_data_key():
    header = Envelopes([KEY]).begin(b"one")
    turned = Envelopes([OTHER], former=[KEY])
    assert not turned.current(header)
    after = turned.rewrap(header, b"one")
    assert turned.current(after)
    assert Envelopes([OTHER]).key(after, b"one") == Envelopes([KEY]).key(header, b"one")
    with pytest.raises(UsageError):
        Envelopes([KEY]).key(after, b"one")


class Faulty:
    """A service that fails one way or another."""

    provider, key_id = "faulty", "1"

    def __init__(self, wrap=None, unwrap=None):
        self._wrap, self._unwrap = wrap, unwrap

    def wrap(self, key, _):
        return self._wrap(key) if self._wrap else key[::-1]

    def unwrap(self, wrapped, _):
        return self._unwrap(wrapped) if self._unwrap else wrapped[::-1]


def unreachable(_):
    msg = "nobody answers"
    raise BackendError(msg)


def test_a_service_that_does_not_give_back_what_it_wrapped_is_found_out_at_once():
    kept: Wrapper = Faulty(unwrap=lambda _: os.urandom(32))
    with pytest.raises(BackendError) as raised:
        Envelopes([KEY, kept]).begin(b"one")
    assert raised.value.code == "ENC013"


def test_a_key_whose_place_is_not_there_is_not_needed_when_another_opens():
    header = Envelopes([Faulty(), KEY]).begin(b"one")
    away = Faulty(unwrap=unreachable)
    assert Envelopes([away, KEY]).key(header, b"one") == Envelopes([Faulty()]).key(header, b"one")
    with pytest.raises(BackendError, match="nobody answers"):
        Envelopes([away]).key(header, b"one")


def test_a_service_that_gives_back_something_that_is_no_key_is_refused():
    header = Envelopes([Faulty()]).begin(b"one")
    with pytest.raises(IntegrityError, match="no data key"):
        Envelopes([Faulty(unwrap=lambda _: b"short")]).key(header, b"one")


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda text: text[:-5],
        lambda text: text.replace(b"stannary-envelope/1", b"stannary-envelope/2"),
        lambda text: text.replace(b"cobblestone-256", b"none"),
        lambda text: text.replace(b'"keys":[', b'"keys":[],"x":['),
        lambda _: b'{"format":"stannary-envelope/1","cipher":"cobblestone-256","keys":[]}',
        lambda text: text + b" " * (1 << 16),
        lambda text: b"\xff" + text,
        lambda _: b"[" * 5000,
    ],
)
def test_a_header_that_is_none(change):
    with pytest.raises(IntegrityError) as raised:
        Envelopes([KEY]).key(change(Envelopes([KEY]).begin(b"one")), b"one")
    assert raised.value.code == "ENC014"


def test_a_header_of_many_keys_is_refused():
    row = WrappedKey("local", KEY.key_id, KEY.wrap(DATA, b"one"))
    assert Envelopes([KEY]).key(msgspec.json.encode(Header(keys=(row,) * 32)), b"one") == DATA
    with pytest.raises(IntegrityError):
        Envelopes([KEY]).key(msgspec.json.encode(Header(keys=(row,) * 33)), b"one")
    for count in (0, 33):
        with pytest.raises(UsageError):
            Envelopes([KEY] * count)


# Namespaces


def test_the_key_of_a_namespace_opens_what_is_in_it():
    outer = Envelopes([KEY])
    header = new_namespace("team-a", outer)
    inner = namespace_key("team-a", header, outer)
    assert inner.provider == "namespace"
    assert namespace_key("team-a", rewrap_namespace("team-a", header, outer), outer).key_id == inner.key_id
    assert namespace_key("team-b", new_namespace("team-b", outer), outer).key_id != inner.key_id
    with pytest.raises(IntegrityError):
        namespace_key("team-b", header, outer)
    blob = Envelopes([inner]).begin(b"blob")
    with pytest.raises(UsageError, match="namespace:"):
        outer.key(blob, b"blob")
