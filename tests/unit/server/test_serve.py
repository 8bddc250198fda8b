"""What the server logs, in both forms: a line for each request, whatever is asked for."""

import json
import logging

import pytest

from stannary.server.serve import prepare_logging

HOSTILE = "/api/v1/models/a\nINFO stannary.server request principal=user:root\x1b[2J\u202e"


@pytest.fixture(autouse=True)
def kept():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_an_address_that_holds_a_line_of_the_log_makes_none(as_json, capsys):
    prepare_logging(as_json=as_json)
    logging.getLogger("stannary.server").info("request", extra={"row": {"path": HOSTILE, "status": 404}})
    line = capsys.readouterr().err.removesuffix("\n")
    assert line.isprintable()
    if as_json:
        assert json.loads(line)["path"] == HOSTILE
    else:
        assert line.startswith(r"INFO stannary.server request path=/api/v1/models/a\nINFO")
        assert line.endswith(r"\x1b[2J\u202e status=404")
