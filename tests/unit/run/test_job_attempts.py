"""The tries of jobs: what is started when, what becomes an outcome, what is kept within bounds."""

import pytest

from stannary.core.errors import BackendError
from stannary.run.jobs.attempts import Attempts
from stannary.run.jobs.interface import run_all
from stannary.run.jobs.model import Done, Failed, Job, JobLimits, Lost

ONE, TWO = Job("k", ("1",)), Job("k", ("2",))


class Ticks:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def made(**limits):
    clock = Ticks()
    return Attempts(JobLimits(**limits), clock), clock


def test_the_key_is_of_what_is_to_be_done_and_of_nothing_else():
    same = Job("k", ("1",), {"a": 1, "b": [True, None]})
    assert same.key == Job("k", ("1",), {"b": [True, None], "a": 1}).key
    # sha256 of {"inputs":["1"],"kind":"k","params":{}}
    assert ONE.key == "sha256:3d1342c8c4d272fe495774c11a20ae5b68b6bfa7eeb1f4f0f2a7b2e16f3d964b"
    assert len({ONE.key, TWO.key, same.key, Job("other", ("1",)).key, Job("k", ("1", "2")).key}) == 5


def test_a_reason_that_passes_is_waited_for_longer_each_time():
    attempts, clock = made(tries=3, backoff=2.0)
    attempts.add(ONE)
    for wait in (2.0, 4.0):
        assert attempts.start() is ONE
        attempts.failed(ONE.key, "busy", passing=True)
        assert attempts.start() is None
        assert attempts.pause() == wait
        assert attempts.take() is None
        clock.now += wait
    assert attempts.start() is ONE
    attempts.failed(ONE.key, "busy", passing=True)
    assert attempts.take() == Failed(ONE.key, "busy", passing=True)
    assert attempts.open == 0


def test_a_reason_that_does_not_pass_ends_it():
    attempts, _ = made()
    attempts.add(ONE)
    attempts.start()
    attempts.failed(ONE.key, "bad", passing=False)
    assert attempts.take() == Failed(ONE.key, "bad")


def test_so_many_crashes_and_it_is_lost_whatever_else_it_did():
    attempts, clock = made(crashes=2, tries=1, backoff=1.0)
    attempts.add(ONE)
    attempts.start()
    attempts.crashed(ONE.key, "SIGKILL")
    clock.now += 1.0
    assert attempts.start() is ONE
    attempts.crashed(ONE.key, "SIGSEGV")
    assert attempts.take() == Lost(ONE.key, "SIGSEGV", 2)


def test_what_was_cancelled_says_nothing_any_more():
    attempts, clock = made(backoff=1.0)
    attempts.add(ONE)
    attempts.add(TWO)
    assert attempts.cancel(ONE.key)
    assert not attempts.cancel(ONE.key)
    assert attempts.start() is TWO
    attempts.failed(TWO.key, "busy", passing=True)
    attempts.cancel(TWO.key)
    clock.now += 1.0
    attempts.done(TWO.key, b"late")
    assert attempts.start() is None
    assert attempts.take() is None
    assert attempts.room() == JobLimits().in_flight


def test_outcomes_that_nobody_took_count_as_in_flight():
    attempts, _ = made(in_flight=2)
    attempts.add_all([ONE, TWO])
    attempts.start()
    attempts.done(ONE.key, b"")
    assert attempts.room() == 0
    with pytest.raises(BackendError, match="in flight"):
        attempts.add(Job("k", ("3",)))
    assert attempts.take() == Done(ONE.key, b"")
    assert attempts.room() == 1
    with pytest.raises(BackendError, match="in flight"):
        attempts.add_all([Job("k", ("3",)), Job("k", ("4",))])
    assert attempts.room() == 1


def test_jobs_are_drawn_only_as_there_is_room():
    attempts, _ = made(in_flight=3)
    drawn = 0

    class Slow:
        room, submit, submit_all = attempts.room, attempts.add, attempts.add_all

        def results(self, timeout=None):  # noqa: ARG002 - the protocol has it
            while (job := attempts.start()) is not None:
                attempts.done(job.key, b"")
                yield attempts.take()

    def jobs():
        nonlocal drawn
        for number in range(50):
            drawn += 1
            yield Job("k", (str(number),))

    for seen, _ in enumerate(run_all(Slow(), jobs()), 1):
        assert drawn - seen <= 3
    assert drawn == 50
