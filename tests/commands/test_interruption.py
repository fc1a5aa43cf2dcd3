import os
import signal
import threading
import time

import pytest

from maskprop_d2.commands.interruption import Interruption


@pytest.fixture(autouse=True)
def handlers():
    """The tests leave them as they were."""
    before = [signal.getsignal(x) for x in Interruption.SIGNALS]
    yield
    assert [signal.getsignal(x) for x in Interruption.SIGNALS] == before


def kill_soon(number):
    """Send this process a signal while it waits."""
    threading.Timer(0.2, os.kill, (os.getpid(), number)).start()


def slow(count, seconds):
    for i in range(count):
        if i:
            time.sleep(seconds)
        yield i


def test_without_a_signal_all_items_come():
    with Interruption() as interruption:
        assert list(interruption.ends(range(5))) == [0, 1, 2, 3, 4]
        assert list(interruption.ends([])) == []
    assert interruption.signal is None


@pytest.mark.parametrize("number", Interruption.SIGNALS)
def test_waiting_for_an_item_is_cut_short(number):
    start = time.monotonic()
    with Interruption() as interruption:
        kill_soon(number)
        assert list(interruption.ends(slow(2, seconds=20))) == [0]
    assert time.monotonic() - start < 15
    assert interruption.signal == number


def test_what_is_done_with_an_item_is_finished_and_what_follows_too():
    done = []
    with Interruption() as interruption:
        for i in interruption.ends(range(5)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            done.append(i)
        # An impatient user.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        done.append("files")
    assert done == [0, 1, 2, "files"] and interruption.signal == signal.SIGINT


def test_it_works_where_a_script_has_taken_the_signal_away():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert list(interruption.ends(range(5))) == []
    finally:
        signal.signal(signal.SIGINT, before)


def test_errors_of_the_items_and_of_the_loop_come_through():
    def broken():
        yield 1
        raise OSError("broken")

    with Interruption() as interruption, pytest.raises(OSError, match="broken"):
        list(interruption.ends(broken()))
    with pytest.raises(ValueError), Interruption() as interruption:
        for _ in interruption.ends(range(3)):
            raise ValueError
