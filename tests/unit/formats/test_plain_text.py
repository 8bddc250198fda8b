"""Text: encoded payloads, credentials, licences; fast on what is large and ordinary."""

from __future__ import annotations

import base64
import binascii
import json
import time

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import licences, secrets
from stannary.formats.interface import View

PICKLE = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0decho stannary\x85R." + b"." * 30


def facts(raw, kind, name="notes.txt"):
    return [fact.data for fact in read_view(View(raw, name), strict=True).facts if fact.kind == kind]


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(PICKLE),
        b'x = "' + base64.urlsafe_b64encode(PICKLE) + b'"',
        b"head\n" + base64.encodebytes(PICKLE),
        json.dumps({"a": "\n" + base64.b64encode(PICKLE).decode()}).encode(),
        b'"' + base64.b64encode(PICKLE)[:40] + b"\\n" + base64.b64encode(PICKLE)[40:] + b'"',
        PICKLE.hex().encode(),
        PICKLE.hex().upper().encode(),
        "".join(f"\\x{b:02x}" for b in PICKLE).encode(),
        ", ".join(f"0x{b:02x}" for b in PICKLE).encode(),
        b"begin 644 model.pkl\n" + b"".join(binascii.b2a_uu(PICKLE[i : i + 45]) for i in range(0, len(PICKLE), 45)) + b"`\nend\n",
    ],
    ids=range(10),
)
def test_an_encoded_pickle_is_decoded_and_read(text):
    report = read_view(View(text, "notes.txt"), strict=True)
    assert any(fact.kind == "text.encoded" for fact in report.facts)
    assert any(name.endswith(":pickle") for name in report.formats)


@pytest.mark.parametrize(
    "text", [b"gA" * 40, b"a" * 4000, b"0123456789abcdef" * 200, base64.b64encode(bytes(4000)), b"Qm" * 300, b"eJ" + b"x" * 100]
)
def test_ordinary_long_words_are_nothing(text):
    assert not facts(text, "text.encoded")


def test_a_large_vocabulary_is_read_fast():
    raw = json.dumps({"vocab": {f"curl{i}": i for i in range(600_000)}}).encode()
    started = time.process_time()
    facts(raw, "text.document", "tokenizer.json")
    assert time.process_time() - started < 20  # a second on a machine with other work


@pytest.mark.parametrize(
    "raw",
    [
        b"curl " * 3_000_000,
        b'password="' * 1_500_000,
        b"https://" * 1_500_000,
        b"gASV" * 4_000_000,
        b"\\x80\\x04" * 1_500_000,
        b"begin 644 a\n" * 800_000 + b"\nend",
    ],
)
def test_hostile_text_ends_soon(raw):
    started = time.process_time()
    facts(raw, "text.document")
    assert time.process_time() - started < 60  # the worst takes 6 on a quiet machine; what it guards against takes hundreds


# Credentials: put together here, so that no scanner of this source finds them

TOKENS = {
    "huggingface-token": "hf_" + "QWmnbVCxzLkjHgfDsaPoiUytReKjhGfdSz",
    "aws-access-key": "AKIA" + "Q3EGRT5WKLM2ZNHV",
    "github-token": "ghp_" + "R4nd0mQ8wErTyUiOpAsDfGhJkLzXcVbNm2q7",
    "gitlab-token": "glpat-" + "Zx9Qw8Er7Ty6Ui5Op4As",
    "slack-token": "xoxb-" + "739201846203-" + "Rq7LkX2mVtB9wZsHd4JpNc8Y",
    "stripe-key": "sk_live_" + "Zx9Qw8Er7Ty6Ui5Op4As3Df2",
    "anthropic-key": "sk-ant-api03-" + "Zx9Qw8Er7Ty6Ui5Op4As3Df2" * 4,
    "gcp-api-key": "AIza" + "Zx9Qw8Er7Ty6Ui5Op4As3Df2Gh1Jk0LmNbV",
    "groq-key": "gsk_" + "R4nd0mQ8wErTyUiOpAsDfGhJkLzXcVbNm2q7Zx9Qw8Er7Ty6Ui5O",
    "databricks-token": "dapi" + "93b1f7c2e8a4d06b5c9e1f3a7d2b8c60",
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiI0MiIsInJvbGUiOiJhZG1pbiJ9." + "Zx9Qw8Er7Ty6Ui5Op4As3Df2Gh1Jk0LmNbVcXzAsDfG",
    "npm-token": "npm_" + "R4nd0mQ8wErTyUiOpAsDfGhJkLzXcVbNm2q7",
}


@pytest.mark.parametrize("kind", TOKENS)
@pytest.mark.parametrize("pad", [0, 3 << 20])
def test_credentials_are_found_and_never_shown(kind, pad):
    value = TOKENS[kind]
    raw = b" " * pad + f'{{"key": "{value}"}}\n'.encode()
    found = [f for f in facts(raw, "secret.found", "settings.txt") if f["detector"] == kind]
    assert found
    assert not found[0]["placeholder"]
    assert value not in json.dumps(found)
    assert value[16:] not in json.dumps(found)


def test_the_same_credential_has_the_same_digest_and_another_has_not():
    one, two = (next(secrets.scan(TOKENS[k].encode())).digest for k in ("github-token", "huggingface-token"))
    assert next(secrets.scan(b"x = " + TOKENS["github-token"].encode())).digest == one
    assert one != two


@pytest.mark.parametrize(
    "text",
    [
        "hf_" + "x" * 34,
        "password = os.environ['DATABASE_PASSWORD']",
        "postgres://user:${PASSWORD}@host/db",
        "postgresql://user:password@localhost/db",
        "sha256:" + "ab12" * 16,
        "api_key = 'YOUR_API_KEY_GOES_HERE_PLEASE'",
        "AKIA" + "IOSFODNN7EXAMPLE",
        "https://private-user-images.example/1.png?jwt=" + TOKENS["jwt"],
        'password = "the_password_of_the_user_goes_here"',
        "token = tokenizer.encode('some text that is long')",
        "model-00001-of-00002.safetensors",
    ],
)
def test_examples_and_names_are_no_credentials(text):
    assert all(found.placeholder for found in secrets.scan(text.encode()))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("---\nlicense: apache-2.0\n---\n", [("apache-2.0", "permissive")]),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", [("mit", "permissive"), ("cc-by-4.0", "permissive")]),
        ("---\nlicense: other\nlicense_name: qwen-research\n---\n", [("qwen-research", "non-commercial")]),
        ("---\nlicense: llama3.1\n---\n", [("llama3.1", "community")]),
        ("---\nlicense: openrail++\n---\n", [("openrail++", "use-restricted")]),
        ("---\ntags: [x]\n---\nlicense: mit\n", []),
        ("# no front matter\n", []),
    ],
)
def test_licences_of_cards(text, expected):
    assert [(found.id, found.family) for found in licences.from_card(text)] == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Apache License\nVersion 2.0, January 2004", "apache-2.0"),
        ("Permission is hereby granted, free of charge, to any person obtaining a copy", "mit"),
        ("LLAMA 3.1 COMMUNITY LICENSE AGREEMENT", "llama3.1"),
        ("GNU AFFERO GENERAL PUBLIC LICENSE\n Version 3", "agpl-3.0"),
    ],
)
def test_licences_by_their_text(text, expected):
    assert [found.id for found in licences.from_text(text)] == [expected]
