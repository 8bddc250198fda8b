"""Exit codes outrank each other as CLI.md says, and the error tree maps onto them."""

from __future__ import annotations

import itertools

import pytest

from stannary.cli import main
from stannary.cli.exits import worst
from stannary.cli.talk import Talk
from stannary.core.errors import BackendError, Bug, FormatError, InputError, IntegrityError, PolicyDenied, UsageError


@pytest.mark.parametrize(
    "codes, expected",
    [((), 0), ((0,), 0), ((3, 0), 3), ((1, 3), 1), ((2, 1, 3), 2), ((70, 2, 1, 3, 0), 70), ((0, 99), 70)],
)
def test_the_worst_code_wins_in_any_order(codes, expected):
    assert {worst(order) for order in itertools.permutations(codes)} == {expected}


@pytest.mark.parametrize(
    "error, code",
    [
        (UsageError("x"), 2),
        (InputError("x"), 3),
        (FormatError("x", 3), 3),
        (PolicyDenied("x"), 1),
        (IntegrityError("x"), 1),
        (BackendError("x"), 2),
        (Bug("x"), 70),
        (FileNotFoundError(2, "No such file or directory", "y"), 2),
        (ValueError("x"), 70),
        (ExceptionGroup("g", [UsageError("x"), ExceptionGroup("h", [PolicyDenied("y")])]), 2),
        (ExceptionGroup("g", [UsageError("x"), KeyError("y")]), 70),
    ],
)
def test_errors_become_exit_codes(error, code, capsys):
    assert main._explain(error, Talk()) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error" in captured.err
    assert "Traceback" not in captured.err


def test_every_error_of_a_group_is_told_with_its_help(capsys):
    errors = [UsageError("first", where="a", code="CFG001", help="do this"), UsageError("second\x1b[2J", code="CFG002")]
    main._explain(ExceptionGroup("g", errors), Talk())
    assert capsys.readouterr().err.splitlines() == ["error[CFG001]: a: first", "help: do this", "error[CFG002]: second\\x1b[2J"]


def _broken():
    msg = "inner"
    raise ValueError(msg)


def test_a_bug_of_ours_is_short_and_names_its_place(capsys):
    with pytest.raises(ValueError, match="inner") as caught:
        _broken()
    assert main._explain(caught.value, Talk()) == 70
    text = capsys.readouterr().err
    assert text.startswith("error[BUG]: ValueError in ")
    assert "test_exits" in text.splitlines()[0]
    assert len(text.splitlines()) == 2


def test_verbose_adds_the_traceback(capsys):
    main._explain(ValueError("inner"), Talk(verbosity=1))
    assert "ValueError: inner" in capsys.readouterr().err
