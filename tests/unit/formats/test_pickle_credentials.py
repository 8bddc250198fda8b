"""Credentials among the texts of pickles of every protocol."""

from __future__ import annotations

import pickle

import pytest

from stannary.checks.static.walk import read_view
from stannary.formats import pickle_credentials
from stannary.formats.interface import View


def found_in(raw):
    return [fact.data for fact in read_view(View(raw, "model.pkl"), strict=True).facts if fact.kind == "secret.found"]


KEY = "AKIA" + "Q3EGRT5WKLM2ZNHV"
TOKEN = "ghp_" + "R4nd0mQ8wErTyUiOpAsDfGhJkLzXcVbNm2q7"


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [KEY, TOKEN, f"aws configure set aws_access_key_id {KEY}", "x" * 300 + f" {TOKEN} " + "y" * 300])
def test_a_credential_in_a_state_is_found_whatever_opcodes_stand_around_it(protocol, value):
    raw = pickle.dumps({"weights": [0.5] * 40, "key": value, "more": "text"}, protocol)
    found = found_in(raw)
    assert [f["detector"] for f in found] == ["github-token" if TOKEN in value else "aws-access-key"]
    assert KEY not in str(found)


def test_names_of_classes_and_numbers_are_none():
    raw = pickle.dumps({"min_weight_fraction_leaf": 1, "RandomForestClassifierWithALongName": bytes(range(256)) * 40}, 4)
    assert found_in(raw) == []


def test_a_text_that_may_hold_one_is_told_from_a_name():
    assert pickle_credentials.may_hold(KEY.encode())
    assert not pickle_credentials.may_hold(b"experiment_2024_of_the_long_name")
