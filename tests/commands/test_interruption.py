import os
import signal
import threading
import time

import pytest

from maskprop_d2.commands.interruption import Interruption


@pytest.fixture(autouse=True)
def handlers():
    """Checks that each test restores the signal handlers."""
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


def test_without_a_signal_all_items_are_returned():
    with Interruption() as interruption:
        assert list(interruption.until_signal(range(5))) == [0, 1, 2, 3, 4]
        assert list(interruption.until_signal([])) == []
    assert interruption.signal is None


@pytest.mark.parametrize("number", Interruption.SIGNALS)
def test_a_signal_ends_the_wait_for_an_item(number):
    start = time.monotonic()
    with Interruption() as interruption:
        kill_soon(number)
        assert list(interruption.until_signal(slow(2, seconds=20))) == [0]
    assert time.monotonic() - start < 15
    assert interruption.signal == number


def test_the_current_item_and_the_code_after_the_loop_are_completed():
    done = []
    with Interruption() as interruption:
        for i in interruption.until_signal(range(5)):
            if i == 2:
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            done.append(i)
        # A second Ctrl-C.
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        done.append("files")
    assert done == [0, 1, 2, "files"] and interruption.signal == signal.SIGINT


def test_it_works_if_the_signal_was_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            assert list(interruption.until_signal(range(5))) == []
    finally:
        signal.signal(signal.SIGINT, before)


def test_errors_of_the_items_and_of_the_loop_are_raised():
    def broken():
        yield 1
        raise OSError("broken")

    with Interruption() as interruption, pytest.raises(OSError, match="broken"):
        list(interruption.until_signal(broken()))
    with pytest.raises(ValueError), Interruption() as interruption:
        for _ in interruption.until_signal(range(3)):
            raise ValueError
