from pathlib import Path

import pytest
from scenes import Object, Scene

from maskprop_d2.engine import load_config
from maskprop_d2.errors import InputError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.modeling.options import segmenter_options
from maskprop_d2.tracking import TRACKERS, option_names

CONFIG = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"


def options(*pairs):
    return segmenter_options(load_config(str(CONFIG), list(pairs)))


@pytest.mark.parametrize("method", TRACKERS)
def test_one_key_changes_the_method(method):
    scene = Scene({"a": Object([(4, 4)] * 3)})
    segmenter = VideoSegmenter.from_options(scene, **options("MODEL.MASKPROP.TRACKER", method))
    assert segmenter.segment(scene.images()).track_ids == [0]


def test_a_method_gets_its_own_options():
    keys = ["MODEL.MASKPROP.DEEPSORT.MAX_AGE", 7, "MODEL.MASKPROP.LINKING.THRESHOLD", 0.2]
    for method, expected in {
        "deepsort": {"max_age": 7, "max_appearance_distance": 0.2},
        "iou": {"threshold": 0.2},
        "iou_plus": {},
        "masktrack": {"variant": "original"},
        "ensemble": {
            "threshold": 0.2,
            "max_appearance_distance": 0.2,
            "flow_model": "dis",
            "flow_weights": "",
        },
    }.items():
        tracker = options("MODEL.MASKPROP.TRACKER", method, *keys)["tracker"]
        assert tracker == {"name": method, **expected}


@pytest.mark.parametrize("method", TRACKERS)
def test_every_option_of_a_method_has_a_key(method):
    tracker = options("MODEL.MASKPROP.TRACKER", method)["tracker"]
    assert list(tracker) == ["name", *option_names(method)]


# The last two are parts of the config, but no methods.
@pytest.mark.parametrize("name", ["sort", "clip_radius", "linking"])
def test_unknown_methods_are_rejected(name):
    with pytest.raises(InputError, match=f"unknown tracking method '{name}'"):
        options("MODEL.MASKPROP.TRACKER", name)


def test_wrong_values_are_rejected_before_the_first_video():
    wrong = options("MODEL.MASKPROP.TRACKER", "flow", "MODEL.MASKPROP.FLOW.MODEL", "raft")
    with pytest.raises(InputError, match="flow_model must be"):
        VideoSegmenter.from_options(None, **wrong)
