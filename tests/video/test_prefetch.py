import threading
import time

import pytest

from maskprop_d2.errors import VideoError
from maskprop_d2.video.prefetch import prefetch


def test_items_come_in_order_and_at_most_count_are_read_ahead():
    read = []

    def source():
        for i in range(20):
            read.append(i)
            yield i

    with prefetch(source(), 3) as ahead:
        assert next(ahead) == 0
        time.sleep(0.3)
        # One returned and three waiting.
        assert len(read) == 4
        assert list(ahead) == list(range(1, 20))


def test_errors_come_in_order():
    def source():
        yield 1
        raise VideoError("broken")

    with prefetch(source(), 3) as ahead:
        assert next(ahead) == 1
        with pytest.raises(VideoError, match="broken"):
            next(ahead)


def test_the_thread_ends_if_not_all_items_are_read():
    before = threading.active_count()
    with prefetch(iter(range(1000)), 3) as ahead:
        next(ahead)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
