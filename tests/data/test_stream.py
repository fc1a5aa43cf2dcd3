"""The order of training samples, and skipping unreadable frames."""

import logging
import sys

import numpy as np
import pytest
from torch.utils.data import DataLoader

from maskprop_d2.data.stream import SampleStream, SkipUnreadable, get_stream
from maskprop_d2.errors import InputError, VideoError


def stream(mapper=lambda x: (x, np.random.rand()), **more):
    return SampleStream(list(range(10)), mapper, **{"seed": 3, "batch_size": 2, **more})


def read(samples, count, workers=0):
    batches = iter(DataLoader(samples, batch_size=2, num_workers=workers, collate_fn=list))
    return [x for _ in range(count) for x in next(batches)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_samples_depend_only_on_seed_and_position(workers):
    expected = [stream().sample(i) for i in range(14)]
    assert read(stream(), 7, workers) == expected
    later = stream()
    get_stream(DataLoader(later, batch_size=2)).first_batch = 4
    assert read(later, 3, workers) == expected[8:]
    # Each sample once per epoch, in an order that depends on the seed.
    order = [x for x, _ in expected]
    assert sorted(order[:10]) == list(range(10)) and order[10:] != order[:4]
    assert len({x for _, x in expected}) == 14
    assert [stream(seed=4).sample(i)[0] for i in range(10)] != order[:10]


def test_workers_print_no_connection_errors(capfd):
    def broken_and_wrong(x):
        for error in (EOFError("gone"), ConnectionResetError("gone too"), ValueError("wrong")):
            sys.excepthook(type(error), error, None)
        return x

    hook = sys.excepthook
    read(stream(broken_and_wrong, batch_size=1), 1, workers=1)
    printed = capfd.readouterr().err
    assert "ValueError: wrong" in printed and "gone" not in printed
    assert sys.excepthook is hook


def test_processes_divide_the_samples():
    together = [stream().sample(i) for i in range(8)]
    first, second = (read(stream(rank=i, world_size=2), 2) for i in range(2))
    assert first == together[::2] and second == together[1::2]


def unreadable(*bad):
    def mapper(x):
        if x in bad:
            raise VideoError(f"frame {x} is not an image")
        return x

    return mapper


def test_unreadable_frames_are_replaced_by_others(caplog):
    caplog.set_level(logging.WARNING)
    samples = stream(SkipUnreadable(unreadable(2, 7), 0.2, 10))
    mapped = [samples.sample(i) for i in range(40)]
    assert set(mapped) == set(range(10)) - {2, 7}
    assert mapped == [samples.sample(i) for i in range(40)]
    # Each frame is reported once.
    assert sorted(x.getMessage()[:32] for x in caplog.records) == [
        "frame 2 is not an image: skipped",
        "frame 7 is not an image: skipped",
    ]
    assert "(unreadable frame 2 of at most 2)" in caplog.text


def test_skipped_samples_are_counted_over_worker_processes():
    mapper = SkipUnreadable(unreadable(*range(0, 10, 2)), 0.5, 10)
    samples = stream(mapper)
    batches = iter(DataLoader(samples, batch_size=5, num_workers=2))
    for _ in range(2):
        next(batches)
    # Half of the ten samples of an epoch, and some of their replacements.
    assert mapper.skipped.value >= 5


def test_too_many_unreadable_frames_are_an_error():
    samples = stream(SkipUnreadable(unreadable(2, 7), 0.19, 10))
    with pytest.raises(VideoError) as info:
        for i in range(10):
            samples.sample(i)
    assert "unreadable frame number 2" in str(info.value)
    assert "DATALOADER.MAX_BAD_FRAMES 0.19 allows 1." in str(info.value)
    assert "maskprop validate" in str(info.value)
    with pytest.raises(InputError, match=r"must be in \[0, 1\), not 2"):
        SkipUnreadable(unreadable(), 2, 10)
