import pytest
from small_ytvis import HEIGHT, WIDTH, track


@pytest.fixture
def ground_truth():
    """Video 1: a cat that moves, a dog that is seen once. Video 2, of one frame: a cat."""
    videos = [
        {"id": i, "height": HEIGHT, "width": WIDTH, "file_names": [f"{t}.jpg" for t in range(n)]}
        for i, n in ((1, 3), (2, 1))
    ]
    return {
        "videos": videos,
        "categories": [{"id": 4, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            track(1, 4, [(0, 0, 10, 10), (5, 0, 15, 10), None], id=1),
            track(1, 7, [None, (0, 0, 4, 4), None], id=2),
            track(2, 4, [(0, 0, 10, 10)], id=3),
        ],
    }
