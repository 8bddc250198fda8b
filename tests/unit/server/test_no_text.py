"""Text that a database does not take (NUL on PostgreSQL) or no encoding has: refused everywhere, and never an error of ours."""

import json
import re

import pytest
from tests.unit.registry.conftest import Bench
from tests.unit.server.test_access import DIGEST, access, client_as
from tests.unit.server.test_access import MATRIX as API_MATRIX
from tests.unit.server.test_mlflow_access import MATRIX as MLFLOW_MATRIX

from stannary.server.api import OPERATIONS
from stannary.server.mlflow import OPERATIONS as MLFLOW

__all__ = ["access", "client_as"]  # fixtures
KNOWN = {"namespace": "default", "name": "claims", "alias": "production", "number": "1", "digest": DIGEST, "account": "user:carl"}
ODD = ("%00", "a%00b", "%ED%A0%80", "%FF", "%F4%90%80%80", "%C0%80")


def spoiled(body, text):
    """Yield a document with each of its texts spoiled in turn."""
    for key, value in body.items() if isinstance(body, dict) else ():
        if isinstance(value, str):
            yield {**body, key: value + text}
        if isinstance(value, dict):
            yield from ({**body, key: inner} for inner in spoiled(value, text))


def paths(row, prefix):
    """Yield the addresses of an operation, each with one of its parts spoiled."""
    names = re.findall(r"\{(\w+)(?::\w+)?\}", row.path)
    for odd in ODD:
        for wrong in names or [""]:
            yield prefix + re.sub(
                r"\{(\w+)(?::\w+)?\}",
                lambda found, wrong=wrong, odd=odd: odd if found[1] == wrong else KNOWN.get(found[1], "x"),
                row.path,
            )


@pytest.fixture(params=["sqlite", "postgres"])
def bench(request, tmp_path):
    made = Bench(tmp_path, request.getfixturevalue("postgres") if request.param == "postgres" else None)
    made.open()
    yield made
    made.close()


@pytest.mark.parametrize("role", ["contributor", "admin"])  # one that is refused much, and one that nothing is refused
def test_what_is_no_text_is_refused_and_breaks_nothing(bench, client_as, role):
    bench.push(b"one")
    client, wrong = client_as("carl", role), []
    for prefix, rows, matrix in (("/api/v1", OPERATIONS, API_MATRIX), ("/api/2.0", MLFLOW, MLFLOW_MATRIX)):
        for row in rows:
            sent = matrix.get(row.id, ("", None))[1]
            sent = {"name": "claims", **sent} if prefix == "/api/2.0" and isinstance(sent, dict) else sent
            asked = [(path, None) for path in paths(row, prefix)]
            plain = prefix + re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: KNOWN.get(found[1], "x"), row.path)
            asked += [(f"{plain}?{item.name}={odd}", None) for item in row.query for odd in ODD]
            asked += [(plain, json.dumps(body)) for text in ("\0", "\ud800") for body in spoiled(sent, text)]
            for path, body in asked:
                more = {"content": body or json.dumps(sent if isinstance(sent, dict) else {})}
                headers = {"content-type": "application/json"}
                answer = client.request(row.method, path, headers=headers, **(more if row.method != "GET" else {}))
                if answer.status_code >= 500:
                    wrong.append((row.id, path, body, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong[:20]))
