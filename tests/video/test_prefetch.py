import threading
import time

import pytest

from maskprop_d2.errors import VideoError
from maskprop_d2.video.reading import prefetch


def test_prefetch_keeps_order_and_reads_at_most_so_far_ahead():
    read = []

    def source():
        for i in range(20):
            read.append(i)
            yield i

    with prefetch(source(), 3) as ahead:
        assert next(ahead) == 0
        time.sleep(0.3)
        # One given, three waiting, and one in the reader's hand.
        assert 4 <= len(read) <= 5
        assert list(ahead) == list(range(1, 20))


def test_prefetch_passes_errors_on_in_their_place():
    def source():
        yield 1
        raise VideoError("broken")

    with prefetch(source(), 3) as ahead:
        assert next(ahead) == 1
        with pytest.raises(VideoError, match="broken"):
            next(ahead)


def test_prefetch_ends_its_thread_when_the_reader_stops_early():
    before = threading.active_count()
    with prefetch(iter(range(1000)), 3) as ahead:
        next(ahead)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
