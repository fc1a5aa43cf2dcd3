"""Storage for the masks of a video, in memory and in a file."""

import pytest

from maskprop_d2.inference.mask_store import MaskStore


def rle(text):
    return {"size": [4, 6], "counts": text}


@pytest.mark.parametrize("max_memory", [1, 1000], ids=["in a file", "in memory"])
def test_masks_come_back_track_by_track(max_memory, monkeypatch):
    monkeypatch.setattr("maskprop_d2.inference.mask_store.MAX_MEMORY", max_memory)
    store = MaskStore()
    store.add_frame({7: rle("abc"), 2: rle("de")})
    store.add_frame({})
    store.add_frame({2: rle("f")})
    assert store.num_frames == 3
    assert store.track_ids() == [2, 7]
    assert store.track(2, 3) == [rle("de"), None, rle("f")]
    # Frames may be added after reading.
    store.add_frame({7: rle("ghij")})
    assert store.track(7, 4) == [rle("abc"), None, None, rle("ghij")]
    assert store.track(2, 2) == [rle("de"), None]


def test_long_videos_take_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("maskprop_d2.inference.mask_store.MAX_MEMORY", 10_000)
    store = MaskStore()
    for _ in range(100):
        store.add_frame({i: rle("x" * 50) for i in range(10)})
    assert store._counts._rolled
    assert sum(len(x) for x in store._index.values()) == 3 * 1000
