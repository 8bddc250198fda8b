"""Guesses at tokens and sessions: how long an answer takes does not say how much of a guess is right.

What is compared is the SHA-256 of what was shown, found by an index and compared once more in constant time; so a guess that has
all but its last letters right is as far away as any other. That is shown three times: by what the code compares, by what it does
for a guess, and by the clock.
"""

import ast
import hashlib
import http.client
import random
import secrets
import signal
import statistics
import sys
import time
from pathlib import Path

import pytest
from tests.e2e.attacking import desk, place
from tests.e2e.test_serve import WAIT, Served

import stannary
from stannary.access.secret import _checksum, is_token, new
from stannary.core.errors import PolicyDenied

__all__ = ["place"]  # a fixture
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def near(token, right):
    """Return a token of the right form of which the first characters are those of another one."""
    body = token[4:-6]
    rest = "".join(secrets.choice(LETTERS) for _ in body[right:])
    made = body[:right] + rest
    return near(token, right) if made == body else f"stn_{made}{_checksum(made)}"


@pytest.fixture(scope="module")
def served(place):
    server = Served(place[0], "--rate", "0")
    yield server
    assert server.end(signal.SIGTERM) == 0


# By what the code compares

SECRET = {
    "secret",
    "token",
    "hash",
    "hashed",
    "password",
    "cookie",
    "nonce",
    "verifier",
    "state",
    "browser",
    "shown",
    "digest",
    "form",
}
READ = (
    "access",
    "server/console/sessions.py",
    "server/console/provider_login.py",
    "server/guard_access.py",
    "crypto/identity_token.py",
)
# In a condition of a query the database looks a SHA-256 up in an index.
ALLOWED = {
    "t.access_session.c.hash == hashed",
    "t.access_flow.c.state == digest(state)",
    "(row.operation, row.digest) != (operation, digest)",  # of a request that is sent again: no secret
}


def last_names(node):
    """Return how the operands of a comparison are called."""
    for part in (node.left, *node.comparators):
        inner = part.elts if isinstance(part, ast.Tuple) else [part]
        for item in inner:
            found = item.func if isinstance(item, ast.Call) else item
            if isinstance(found, ast.Name):
                yield found.id
            if isinstance(found, ast.Attribute):
                yield found.attr
                if found.attr in ("get", "hexdigest", "encode", "decode") and isinstance(item, ast.Call):
                    yield from (arg.value for arg in item.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
                    yield from (part.id for part in ast.walk(found.value) if isinstance(part, ast.Name))
            if isinstance(found, ast.Subscript) and isinstance(found.slice, ast.Constant):
                yield str(found.slice.value)


def compared(text):
    """Return the comparisons in a source that end at the first difference, of what is called as a secret is."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops):
            words = {word for name in last_names(node) for word in name.strip("_").split("_")}
            # `"openid" in scopes`, `x == ""`: what is compared with a constant of the code is no secret
            constant = any(isinstance(part, ast.Constant) for part in (node.left, *node.comparators))
            if words & SECRET and not constant:
                yield ast.get_source_segment(text, node)


def test_no_secret_is_compared_by_its_letters():
    root = Path(stannary.__file__).parent
    files = [path for name in READ for path in (sorted((root / name).rglob("*.py")) if "." not in name else [root / name])]
    assert len(files) > 15
    found = {text for path in files for text in compared(path.read_text(encoding="utf-8"))}
    assert found == ALLOWED
    constant_time = [path.name for path in files if "compare_digest(" in path.read_text(encoding="utf-8")]
    assert constant_time == ["secret.py", "sessions.py", "identity_token.py"]


@pytest.mark.parametrize(
    "text",
    [
        "if token == stored: pass",
        "ok = row.hash != hashed",
        "x = claims.get('nonce') != wanted",
        "y = form['token'] in known",
        "secret == a.b",
    ],
)
def test_a_comparison_by_letters_would_be_seen(text):
    assert list(compared(text))


def test_what_is_stored_is_looked_up_by_its_hash(place):
    folder, tokens = place
    with desk(folder) as (access, _), access.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT hash FROM access_token").scalars().all()
        assert {hashlib.sha256(token.encode()).hexdigest() for token in tokens.values()} == set(rows)
        for table in ("access_token", "access_session"):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN SELECT * FROM {table} WHERE hash = 'x'").all()
            assert "USING INDEX" in str(plan), plan


# By what it does


def steps_of(access, token):
    """Return each call, of Python and of C, that is made for a guess."""
    steps = []

    def profile(frame, event, called):
        steps.append((event, getattr(called, "__name__", frame.f_code.co_name)))

    sys.setprofile(profile)
    try:
        access.authenticate(f"Bearer {token}")
    except PolicyDenied:
        pass
    finally:
        sys.setprofile(None)
    return steps


def test_the_same_is_done_for_a_guess_however_much_of_it_is_right(place):
    folder, tokens = place
    with desk(folder) as (access, _):
        for _ in range(3):
            steps_of(access, new())  # what is made once is made
        whole = steps_of(access, new())
        assert len(whole) > 50
        for right in (0, 1, 20, 40, 41, 42):
            guess = near(tokens["admin"], right)
            assert is_token(guess)
            assert steps_of(access, guess) == whole, right
        assert steps_of(access, tokens["admin"]) != whole
        assert steps_of(access, "stn_" + "0" * 49) != whole  # refused by its checksum: it tells what everybody can compute


# By the clock


def apart(one, other):
    """Return how many standard deviations the ranks of two samples are apart (Mann and Whitney, with the normal approximation)."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    total = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    n, m = len(one), len(other)
    mean, deviation = n * (n + m + 1) / 2, (n * m * (n + m + 1) / 12) ** 0.5
    return abs(total - mean) / deviation


def timed(served, kinds, count):
    """Return the seconds that answers took by kind of guess, asked for in turn and in random order over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=WAIT)
    order = [kind for kind in kinds for _ in range(count)]
    random.Random(8).shuffle(order)
    took = {kind: [] for kind in kinds}
    for kind in order:
        headers = kinds[kind]()
        began = time.perf_counter()
        connection.request("GET", "/api/v1/whoami", headers=headers)
        answer = connection.getresponse()
        answer.read()
        took[kind].append(time.perf_counter() - began)
        assert answer.status == 401
    connection.close()
    return took


def test_the_clock_does_not_tell_how_much_of_a_guess_is_right(place, served):
    """Five deviations come by chance once in a million times. The same clock tells a guess that no table was asked about."""
    token = place[1]["admin"]
    kinds = {
        "near": lambda: {"Authorization": f"Bearer {near(token, 42)}"},
        "far": lambda: {"Authorization": f"Bearer {new()}"},
        "malformed": lambda: {"Authorization": f"Bearer stn_{secrets.token_hex(22)}00000"},
    }
    timed(served, kinds, 10)
    took = {kind: [] for kind in kinds}
    for _ in range(8):  # on a machine with other work, until the clock is fine enough to tell what there is to tell
        for kind, more in timed(served, kinds, 200).items():
            took[kind] += more
        if apart(took["malformed"], took["far"]) > 8:
            break
    seen = {kind: statistics.median(values) for kind, values in took.items()}
    assert apart(took["malformed"], took["far"]) > 5, seen
    assert apart(took["near"], took["far"]) < 5, seen
