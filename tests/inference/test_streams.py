"""Several videos through one network."""

import re
import threading

import numpy as np
import pytest
import torch
from scenes import make_tracker

from maskprop_d2 import track_streams
from maskprop_d2.errors import VideoError
from maskprop_d2.inference import VideoSegmenter, streams
from maskprop_d2.inference.image_detector import ImageDetector
from maskprop_d2.inference.linking import DEFAULT_TRACKER, link_detector
from maskprop_d2.structures import Detections
from maskprop_d2.video import Camera
from tests.inference.test_segmenter import ScriptedNetwork, moving

SIDE = 24


class ColorDetector(ImageDetector):
    """Detects the pixels above 200 of each channel as one object of that category."""

    def __init__(self):
        self.class_names = ["red", "green", "blue"]
        self.device = torch.device("cpu")
        self.batches = []

    def prepare(self, frame):
        return frame.float()

    def detect_batch(self, images, frame_sizes):
        assert [tuple(x.shape[1:]) for x in images] == frame_sizes
        self.batches.append(len(images))
        for image in images:
            masks = (image > 200).numpy()
            seen = masks.any((1, 2))
            yield Detections(masks[seen], np.full(seen.sum(), 0.9, np.float32), np.where(seen)[0])


def video(length, start=0, size=(64, 96)):
    """A red and a green square that move towards each other."""
    for t in range(length):
        frame = np.full((*size, 3), 40, np.uint8)
        frame[8 : 8 + SIDE, start + 3 * t : start + 3 * t + SIDE, 0] = 250
        frame[36 : 36 + SIDE, 70 - 3 * t : 70 - 3 * t + SIDE, 1] = 250
        yield frame


def facts(result):
    return result.index, result.track_ids, result.labels, result.scores, result.masks


def alone(segmenter, frames):
    stream = segmenter.stream(frames)
    return [facts(x) for x in stream], stream.tracks()


def together(segmenter, videos):
    running = track_streams(segmenter, videos)
    results = [[] for _ in videos]
    for i, result in running:
        results[i].append(facts(result))
    return results, running


@pytest.mark.parametrize("tracker", [DEFAULT_TRACKER, "flow", "iou"])
def test_each_video_is_as_if_alone_and_a_step_is_one_batch(tracker):
    lengths, starts = (6, 3, 5), (0, 5, 12)
    detector = ColorDetector()
    segmenter = link_detector(detector, tracker)
    expected = [alone(segmenter, video(*x)) for x in zip(lengths, starts, strict=True)]
    detector.batches.clear()
    results, running = together(segmenter, [video(*x) for x in zip(lengths, starts, strict=True)])
    assert detector.batches == [3, 3, 3, 2, 2, 1]
    assert running.lengths == dict(enumerate(lengths)) and not running.errors
    for result, state, (frames, tracks) in zip(results, running.videos, expected, strict=True):
        assert result == frames and state.tracks() == tracks
        assert any(x[1] == [0, 1] for x in result)


def test_frames_of_other_sizes_are_another_batch():
    detector = ColorDetector()
    sizes = [(64, 96), (80, 100), (64, 96)]
    expected = [alone(link_detector(detector), video(2, size=x))[0] for x in sizes]
    detector.batches.clear()
    results, _ = together(detector, [video(2, size=x) for x in sizes])
    assert results == expected and detector.batches == [2, 1] * 2


def scripted(final_mask):
    network = ScriptedNetwork([[("a", 1)]] * 9, {"a": moving(4)})
    return VideoSegmenter(
        network,
        make_tracker=lambda x: make_tracker("maskprop", x, clip_radius=2, threshold=0.2),
        final_mask=final_mask,
    )


@pytest.mark.parametrize("final_mask", ["center", "fill"])
def test_networks_with_their_own_propagation(final_mask):
    """Their clips need the frames of one video."""

    def numbered(length):
        return (np.full((32, 48, 3), t, np.uint8) for t in range(length))

    segmenter = scripted(final_mask)
    lengths = (9, 1, 6)
    expected = [alone(segmenter, numbered(x)) for x in lengths]
    results, running = together(segmenter, [numbered(x) for x in lengths])
    assert running.lengths == dict(enumerate(lengths))
    for result, state, (frames, tracks) in zip(results, running.videos, expected, strict=True):
        assert result == frames and state.tracks() == tracks


def broken(error, length=2):
    yield from video(length)
    raise error


@pytest.mark.parametrize("error", [VideoError("cut off"), OSError("disk"), RuntimeError("driver")])
def test_a_video_that_breaks_ends_alone(error):
    expected = [alone(link_detector(ColorDetector()), video(n))[0] for n in (2, 4)]
    results, running = together(ColorDetector(), [broken(error), video(4)])
    assert results == expected
    assert running.errors == {0: error} and running.lengths == {0: 2, 1: 4}


class Unopened:
    def __iter__(self):
        raise OSError("gone")


@pytest.mark.parametrize(
    ("bad", "message"),
    [(Unopened(), "gone"), ([np.zeros((0, 64, 3), np.uint8)], r"frame 0 .* shape \(0, 64, 3\)")],
)
def test_a_video_that_breaks_at_its_first_frame_ends_alone(bad, message):
    results, running = together(ColorDetector(), [bad, video(4)])
    assert [len(x) for x in results] == [0, 4]
    assert running.lengths == {0: 0, 1: 4} and re.search(message, str(running.errors[0]))


def test_closing_ends_the_threads():
    before = threading.active_count()
    running = track_streams(ColorDetector(), [video(4), video(4)])
    next(running)
    assert threading.active_count() > before
    running.close()
    assert threading.active_count() == before


def test_frames_before_the_break_are_finished_by_networks_with_clips():
    def numbered():
        yield from (np.full((32, 48, 3), t, np.uint8) for t in range(3))
        yield np.zeros((8, 8, 3), np.uint8)

    results, running = together(scripted("fill"), [numbered()])
    assert [x[0] for x in results[0]] == [0, 1, 2]
    assert "frame 3 is a uint8 array of shape (8, 8, 3)" in str(running.errors[0])


def test_errors_of_the_network_are_raised():
    class Failing(ColorDetector):
        def detect_batch(self, images, frame_sizes):
            raise RuntimeError("out of memory")

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="out of memory"):
        together(Failing(), [video(4), video(4)])
    assert threading.active_count() == before


class StalledVideo:
    """A video whose second frame comes when another video has ended."""

    def __init__(self):
        self.other_has_ended = threading.Event()

    def __iter__(self):
        first, second = video(2)
        yield first
        self.other_has_ended.wait(3)
        yield second


class StalledCamera(StalledVideo, Camera):
    pass


@pytest.mark.parametrize(("kind", "patience"), [(StalledCamera, 3600), (StalledVideo, 0.4)])
def test_others_do_not_wait_for_a_camera_and_not_long_for_a_video(kind, patience, monkeypatch):
    monkeypatch.setattr(streams, "PATIENCE", patience)
    stalled = kind()
    order = []
    for i, result in track_streams(ColorDetector(), [stalled, video(14)]):
        order.append((i, result.index))
        if order[-1] == (1, 13):
            stalled.other_has_ended.set()
    assert order[-2:] == [(1, 13), (0, 1)] and len(order) == 16


def test_no_video():
    assert list(track_streams(ColorDetector(), [])) == []
