"""The supervised pool: one bad job fails alone, the rest go on."""

import os
import signal
import time
from pathlib import Path

import pytest

from stannary.core.errors import BackendError, JailUnavailable
from stannary.run.inline import Inline
from stannary.run.interface import Done, Failed, Job, Lost, Setup
from stannary.run.jail import Jail
from stannary.run.pool import Pool

HANDLER = Setup(f"{__name__}:make_handler")


def make_handler(data):
    """Return a handler that does what its payload says."""

    def handle(payload, degraded):
        word = payload.partition(b" ")[0]
        if word == b"die" or (word == b"die-once" and not degraded):
            os.kill(os.getpid(), signal.SIGKILL)
        if word == b"exit":
            os._exit(3)
        if word == b"spin":
            while True:
                pass
        if word == b"sleep":
            time.sleep(0.05)
        if word == b"raise":
            msg = "no"
            raise ValueError(msg)
        if word == b"large":
            return b"x" * (5 << 20)
        if word == b"forge":
            # A worker that answers a question it was not asked.
            os.write(int(payload.split()[1]), b"\0" * 13)
            time.sleep(60)
        if word == b"pid":
            return str(os.getpid()).encode()
        return data + payload

    return handle


def outcomes(payloads, *, workers=2, seconds=30.0, jail=None, setup=HANDLER):
    """Return the outcome of each payload, in order."""
    with Pool(setup, jail, workers=workers, seconds=seconds) as pool:
        tickets = [pool.submit(Job(payload)) for payload in payloads]
        found = {outcome.ticket: outcome for outcome in pool.results()}
        assert sorted(found) == tickets
        return [found[ticket] for ticket in tickets]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_job_has_one_outcome(workers):
    payloads = [b"%d" % number for number in range(1000)]
    assert [o.value for o in outcomes(payloads, workers=workers)] == payloads


def test_a_worker_is_told_its_settings():
    assert outcomes([b"x"], setup=Setup(HANDLER.factory, b"data-"))[0].value == b"data-x"


def test_large_answers_and_questions_pass():
    found = outcomes([b"large", b"y" * (3 << 20), b"large"])
    assert [len(o.value) for o in found] == [5 << 20, 3 << 20, 5 << 20]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("word,reason", [(b"die", "SIGKILL"), (b"exit", "exit code 3")])
def test_a_job_that_kills_its_worker_fails_alone(workers, word, reason):
    payloads = [b"a"] * 100 + [word] + [b"b"] * 100
    found = outcomes(payloads, workers=workers)
    assert isinstance(found[100], Lost)
    assert reason in found[100].reason
    assert all(isinstance(o, Done) and not o.degraded for n, o in enumerate(found) if n != 100)


def test_a_second_try_is_alone_and_flagged():
    found = outcomes([b"a", b"die-once", b"b"])
    assert found[1] == Done(2, b"die-once", degraded=True)


def test_several_deadly_jobs_do_not_stop_the_rest():
    found = outcomes([b"die", b"a", b"exit", b"b", b"die", b"c", b"die-once"] * 3)
    assert [type(o).__name__ for o in found] == ["Lost", "Done", "Lost", "Done", "Lost", "Done", "Done"] * 3


def test_a_job_that_never_ends_is_ended():
    started = time.monotonic()
    found = outcomes([b"a", b"spin", b"b"], seconds=1.5)
    assert isinstance(found[1], Lost)
    assert found[1].reason == "ran longer than 1.5 s"
    assert [o.value for o in (found[0], found[2])] == [b"a", b"b"]
    assert time.monotonic() - started < 60


def test_many_short_jobs_are_not_taken_for_a_long_one():
    assert all(isinstance(o, Done) for o in outcomes([b"sleep"] * 40, workers=1, seconds=1.5))


def test_an_exception_belongs_to_its_job_and_the_worker_lives_on():
    found = outcomes([b"pid", b"raise", b"pid"], workers=1)
    assert found[1] == Failed(2, "ValueError: no")
    assert found[0].value == found[2].value


def test_more_jobs_can_be_given_while_results_come():
    with Pool(HANDLER, None, workers=2) as pool:
        pool.submit(Job(b"3"))
        seen = []
        for outcome in pool.results():
            seen.append(outcome.value)
            if int(outcome.value):
                pool.submit(Job(b"%d" % (int(outcome.value) - 1)))
    assert seen == [b"3", b"2", b"1", b"0"]


def test_results_return_after_a_quiet_time_and_can_be_asked_again():
    with Pool(HANDLER, None, workers=1) as pool:
        pool.submit(Job(b"spin"))
        started = time.monotonic()
        assert list(pool.results(0.2)) == []
        assert time.monotonic() - started > 0.1  # the job never ends: it came back by itself


def test_a_cancelled_job_is_not_reported():
    with Pool(HANDLER, None, workers=1) as pool:
        first, second = pool.submit(Job(b"a")), pool.submit(Job(b"b"))
        pool.cancel(first)
        assert [o.ticket for o in pool.results()] == [second]


def test_closing_ends_the_workers():
    pool = Pool(HANDLER, None, workers=2)
    pids = [child.pid for child in pool._children.values()]
    pool.submit(Job(b"spin"))
    list(pool.results(0.1))
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_die_with_the_one_who_started_them():
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            pool = Pool(HANDLER, Jail(level="process"), workers=1)
            pool.submit(Job(b"spin"))
            list(pool.results(0.1))
            os.write(writing, b"%d" % next(iter(pool._children.values())).pid)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.waitpid(middle, 0)
    pid = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with Path(f"/proc/{pid}/stat").open(encoding="ascii") as status:
                state = status.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":  # nobody reaps here; it is dead all the same
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its supervisor")


def test_an_answer_to_nothing_ends_the_worker():
    with Pool(HANDLER, None, workers=1) as pool:
        child = next(iter(pool._children.values()))
        # The worker's own end of the pipe: the descriptors it kept besides 0, 1 and 2.
        pool.submit(Job(b"pid"))
        list(pool.results())
        mine = sorted(int(path.name) for path in Path(f"/proc/{child.pid}/fd").iterdir())
        pool.submit(Job(b"forge %d" % mine[-1]))
        (outcome,) = pool.results()
    assert isinstance(outcome, Lost)
    assert outcome.reason == "answered what it was not asked"


def test_a_worker_keeps_no_descriptor_of_its_parent(tmp_path):
    secret = (tmp_path / "secret").open("w+b")
    with Pool(HANDLER, None, workers=2) as pool:
        pool.submit(Job(b"pid"))
        pid = int(next(pool.results()).value)
        targets = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
    secret.close()
    assert sorted(t.partition(":")[0] for t in targets) == ["/dev/null"] * 3 + ["pipe"] * 2


def test_a_factory_that_fails_is_an_error_of_the_pool():
    with pytest.raises(BackendError, match="no_such_module"):
        outcomes([b"a"], setup=Setup("no_such_module:make"))


def test_a_jail_that_cannot_be_had_fails_closed():
    with pytest.raises(JailUnavailable):
        Pool(HANDLER, Jail(level="gvisor"), workers=1)


def test_tiny_jobs_cost_little():
    with Pool(HANDLER, None, workers=1) as pool:
        pool.submit(Job(b"a"))
        list(pool.results())
        tries = []
        for _ in range(3):  # the least of them: the collector of garbage comes at any moment; 12 microseconds where it was written
            before = time.process_time()
            for _ in range(5000):
                pool.submit(Job(b"x" * 100))
            assert sum(1 for _ in pool.results()) == 5000
            tries.append((time.process_time() - before) / 5000)
        assert min(tries) < 80e-6


def test_the_inline_executor_keeps_the_same_promises():
    inline = Inline(HANDLER)
    for payload in (b"a", b"raise", b"b"):
        inline.submit(Job(payload))
    inline.cancel(3)
    assert list(inline.results()) == [Done(1, b"a"), Failed(2, "ValueError: no")]
    inline.close()
    assert list(inline.results()) == []
