"""Files that say how an endpoint is asked."""

import pytest

from stannary.checks.target.http_request import PRESETS, fill, load_request, point, request_of, secrets_of
from stannary.core.errors import UsageError

GOOD = {"url": "https://models.example/predict", "preset": "tf-serving"}


def test_a_file_with_everything(tmp_path):
    path = tmp_path / "request.yaml"
    path.write_text(
        "url: https://models.example/predict\npreset: mlflow\nheaders: {Authorization: 'Bearer ${TOKEN}'}\n"
        "scores: /predictions\nbatch: 16\nrate: 5\nprice: {sample: 0.01, currency: EUR}\nmoney: 3\nrequests: 100\n",
        encoding="utf-8",
    )
    request = load_request(path)
    assert request.body == PRESETS["mlflow"]["body"]
    assert (request.batch, request.price.sample, request.limits().money, request.limits().rate) == (16, 0.01, 3.0, 5.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://x/y"}, {"url": "https://user:pass@x/"}, {"url": "file:///etc/passwd"}, {"preset": "nothing"}, {"batch": 0},
        {"rate": 0}, {"unknown": 1}, {"scores": "predictions"}, {"method": "GET"}, {"money": -1}, {"timeout": "soon"},
        {"url": "http://models.example/", "headers": {"Authorization": "Bearer ${TOKEN}"}}, {"preset": None, "body": None},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_refused(wrong):
    with pytest.raises(UsageError):
        request_of({**GOOD, **wrong})


@pytest.mark.parametrize("text", ["[1, 2]", "url: [", "!!python/object/apply:os.system [id]", "\x00"])
def test_what_is_no_request_is_refused(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError):
        load_request(tmp_path / "r.yaml")


def test_secrets_may_go_unencrypted_on_this_machine_or_when_it_is_said():
    headers = {"headers": {"X-Key": "${KEY}"}}
    assert request_of({**GOOD, **headers, "url": "http://127.0.0.1:8080/"})
    assert request_of({**GOOD, **headers, "url": "http://inside.example/", "plain_http": True})


def test_secrets_come_from_variables(monkeypatch):
    monkeypatch.setenv("ONE", "1")
    monkeypatch.delenv("TWO", raising=False)
    monkeypatch.delenv("THREE", raising=False)
    assert secrets_of({"A": "x ${ONE}"}) == {"A": "x 1"}
    with pytest.raises(UsageError, match="THREE, TWO"):
        secrets_of({"A": "${TWO}", "B": "${THREE}"})
    monkeypatch.setenv("ONE", "sec\r\nret")
    with pytest.raises(UsageError) as told:
        secrets_of({"A": "${ONE}"})
    assert "sec" not in str(told.value)


def test_templates_are_filled_by_whole_values_alone():
    values = {"rows": lambda: [["{{n}}", 1]], "n": lambda: 2}
    assert fill({"a": ["{{rows}}", "x{{n}}", 3], "n": "{{ n }}"}, values) == {"a": [[["{{n}}", 1]], "x{{n}}", 3], "n": 2}
    with pytest.raises(UsageError, match="rows, n"):
        fill("{{what}}", values)


def test_pointers():
    found = {"a/b": [{"~": 5}], "": 1}
    assert point(found, "") is found
    assert point(found, "/a~1b/0/~0") == 5
    assert point(found, "/") == 1
    for wrong in ("/a~1b/1", "/a~1b/-1", "/a~1b/00", "/x", "/a~1b/0/~0/0"):
        with pytest.raises(ValueError, match="has no"):
            point(found, wrong)
