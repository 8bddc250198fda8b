"""Ctrl-C is remembered where its exception is swallowed, and waits where it must."""

import signal
import threading
import weakref

import pytest

from stannary.run import interrupt
from stannary.run.interface import Job, Setup
from stannary.run.pool import Pool

HANDLER = Setup(f"{__name__}:make_handler")


def make_handler(data):
    """Return a handler that says what it is told."""
    return lambda payload, _: data + payload


@pytest.fixture(autouse=True)
def a_program_in_the_foreground():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Thing:
    """Something to refer to weakly."""


def test_what_a_callback_swallows_is_raised_at_the_next_check(capfd):
    with interrupt.watch():
        thing = Thing()
        reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing  # Python would print the KeyboardInterrupt of the callback, and goes on
        assert capfd.readouterr() == ("", "")
        assert reference() is None
        assert interrupt.seen()
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        interrupt.check()  # it is answered once
        assert interrupt.seen()


def test_it_is_raised_at_once_where_nothing_holds_it():
    with interrupt.watch(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_block_that_holds_it_is_finished_first():
    done = []

    def work():
        with interrupt.hold():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with interrupt.watch(), pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]


def test_an_error_in_a_block_that_holds_it_is_not_replaced():
    def work():
        with interrupt.hold():
            signal.raise_signal(signal.SIGINT)
            _ = 1 // 0

    with interrupt.watch(), pytest.raises(ZeroDivisionError):
        work()


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None])
def test_what_the_program_does_with_it_already_stays(handler):
    signal.signal(signal.SIGINT, handler)
    with interrupt.watch():
        assert signal.getsignal(signal.SIGINT) is handler
        signal.raise_signal(signal.SIGINT)
        assert not interrupt.seen()
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_thread_can_run_a_command_line_too():
    found = []

    def work():
        with interrupt.watch():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_a_pool_that_waits_is_told():
    with interrupt.watch(), Pool(HANDLER, None, workers=1) as pool:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            swallowed = True
        assert swallowed
        pool.submit(Job(b"sleep"))
        with pytest.raises(KeyboardInterrupt):
            list(pool.results())


def test_what_was_noted_is_forgotten_with_the_watch():
    with interrupt.watch(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    interrupt.check()  # nobody watches: a library's pool that asks now is not told of what another program answered
    assert not interrupt.seen()
    with Pool(HANDLER, None, workers=1) as pool:
        pool.submit(Job(b"x"))
        assert len(list(pool.results())) == 1
