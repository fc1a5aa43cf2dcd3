"""The exported tiny model of the repository, which runs without Detectron2."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from moving_shapes import draw_video

from demo import main as run_demo
from maskprop_d2.errors import MissingWeightsError, ModelFileError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.inference.detector_network import Detections
from maskprop_d2.inference.exported import KEY, ExportedNetwork
from maskprop_d2.ops.rle import decode
from maskprop_d2.tracking import OWN_WEIGHTS, TRACKERS
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter

ROOT = Path(__file__).parents[2]
TINY = ROOT / "demo/maskprop_tiny.pt"


@pytest.fixture(scope="module")
def segmenter():
    return VideoSegmenter.from_exported(TINY, device="cpu")


def draw(length, height=96, width=144, seed=5):
    return draw_video(np.random.default_rng(seed), height, width, length, level="plain")


@pytest.fixture
def changed(tmp_path):
    """Writes a copy of the file with changed entries beside the weights."""

    def write(**values):
        contents = torch.load(TINY, weights_only=True)
        contents[KEY].update(values)
        torch.save(contents, tmp_path / "model.pt")
        return tmp_path / "model.pt"

    return write


@pytest.mark.parametrize("size", [(96, 144), (144, 96), (131, 171)])
def test_it_tracks_drawn_objects_in_frames_of_any_size(segmenter, size):
    frames, tracks = draw(6, *size, seed=9)
    found = segmenter.segment(frames)
    assert found.image_size == size
    # The best track covers one object in all frames.
    best = found.pred_masks[int(np.argmax(found.pred_scores))]
    assert None not in best
    overlaps = []
    for _, masks in tracks:
        pairs = [(decode(a), b) for a, b in zip(best, masks, strict=True) if b is not None]
        overlaps.append(min((a & b).sum() / (a | b).sum() for a, b in pairs))
    assert max(overlaps) > 0.6


def test_batch_agrees_with_single_frames(segmenter):
    frames = torch.from_numpy(np.stack(draw(3)[0])).permute(0, 3, 1, 2)
    # This frame is empty.
    frames[1] = 110
    with torch.inference_mode():
        together = segmenter.network.detect(frames)
        alone = [segmenter.network.detect(frame[None])[0] for frame in frames]
    assert [len(x) > 0 for x in together] == [True, False, True]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a.class_scores, b.class_scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(a.box_masks, b.box_masks, rtol=0, atol=1e-4)


def test_categories_to_detect(segmenter, monkeypatch):
    """NMS kept one box as two categories. Only what was asked for is in the output."""
    network = segmenter.network
    class_scores = torch.zeros(2, 11)
    class_scores[:, 3], class_scores[:, 5] = 0.6, 0.3
    boxes = torch.tensor([[8.0, 8, 40, 40]] * 2)
    found = Detections(boxes, torch.tensor([0.6, 0.3]), class_scores, torch.ones(2, 28, 28))
    monkeypatch.setattr(network, "find_objects", lambda *_: [found])
    settings = replace(network.frame_settings, duplicate_threshold=1.0)
    monkeypatch.setattr(network, "frame_settings", settings)
    frames = torch.zeros(1, 3, 96, 144, dtype=torch.uint8)
    for label, score in [(3, 0.6), (5, 0.3)]:
        monkeypatch.setattr(network, "labels", [label])
        with torch.inference_mode():
            (output,) = network.detect(frames)
        assert output.labels.tolist() == [label] == output.detected_labels.tolist()
        assert output.class_scores.sum() == pytest.approx(score)


def test_no_detections_and_single_frame():
    nothing = VideoSegmenter.from_exported(TINY, score_threshold=1.0, device="cpu")
    assert nothing.segment(draw(5)[0]).track_ids == []
    single = VideoSegmenter.from_exported(TINY, device="cpu").segment(draw(1)[0])
    assert [len(masks) for masks in single.pred_masks] == [1] * len(single.track_ids)


def test_score_threshold_may_be_raised_and_lowered():
    frames = torch.from_numpy(np.stack(draw(1)[0])).permute(0, 3, 1, 2)
    numbers = []
    for threshold in (0.001, None, 0.999):
        network = ExportedNetwork(TINY, score_threshold=threshold, device="cpu")
        with torch.inference_mode():
            (output,) = network.detect(frames)
        numbers.append(len(output))
        assert (output.scores > (threshold or 0.3)).all()
    assert numbers[0] > numbers[1] > numbers[2]


def test_the_options_of_the_file_are_used(changed):
    segmenter = {"tracker": {"name": "iou", "threshold": 0.1}, "class_floor": 0.2}
    built = VideoSegmenter.from_exported(changed(segmenter=segmenter))
    assert built.class_floor == 0.2
    assert built.stream([]).tracker.clip_radius == 0


def test_the_tracker_options_of_older_files_are_read(changed):
    """They list linking options for every method, and keep the others in a dict."""
    linking = {"clip_radius": 2, "threshold": 0.1, "exclusive": True, "match": "all"}
    for name, options in (
        ("iou", {}),
        ("masktrack", {"options": {"enabled": True, "fc_dim": 1024}}),
        ("flow", {"options": {"model": "dis", "weights": ""}}),
        ("deepsort", {"options": {"max_age": 7, "max_appearance_distance": 0.2}}),
    ):
        path = changed(segmenter={"tracker": {"name": name, **linking, **options}})
        tracker = VideoSegmenter.from_exported(path, device="cpu").stream([]).tracker
        assert tracker.clip_radius == (2 if name == "flow" else 0)
    assert tracker._max_age == 7
    wrong = {"tracker": {"name": "flow", **linking, "options": {"model": "raft"}}}
    with pytest.raises(ModelFileError, match=r"model\.pt: .* flow_model must be .*, not 'raft'"):
        VideoSegmenter.from_exported(changed(segmenter=wrong))


@pytest.mark.parametrize("method", [x for x in TRACKERS if x not in OWN_WEIGHTS])
def test_any_method_links_its_detections(segmenter, changed, method):
    frames = draw(6, seed=9)[0]
    path = changed(segmenter={"tracker": {"name": method, "threshold": 0.1, "clip_radius": 2}})
    linked = VideoSegmenter.from_exported(path, device="cpu").segment(frames)
    # The scene is easy: all methods find the same tracks.
    assert sorted(linked.pred_scores) == pytest.approx(
        sorted(segmenter.segment(frames).pred_scores)
    )


@pytest.mark.parametrize("method", OWN_WEIGHTS)
def test_missing_weights_of_a_method_are_named(changed, method):
    path = changed(segmenter={"tracker": {"name": method, "threshold": 0.1}})
    segmenter = VideoSegmenter.from_exported(path, device="cpu")
    with pytest.raises(MissingWeightsError, match=f"this model has no weights for .* '{method}'"):
        segmenter.segment(draw(2)[0])


def test_demo_runs_without_detectron2(segmenter, tmp_path, without_detectron2, capsys):
    with VideoWriter(tmp_path / "clip.mp4", 5) as writer:
        for frame in draw(8)[0]:
            writer.write(frame)
    clip, output = tmp_path / "clip.mp4", tmp_path / "out/annotated.mp4"
    run_demo(["--model", str(TINY), "--video-input", str(clip), "--output", str(output)])
    assert len(list(VideoFile(output))) == 8
    entries = json.loads((tmp_path / "out/results.json").read_text())
    expected = segmenter.segment(VideoFile(clip))
    assert [x["score"] for x in entries] == pytest.approx(expected.pred_scores, abs=1e-6)
    assert [x["segmentations"] for x in entries] == expected.pred_masks
    names = segmenter.network.class_names
    assert [x["category_name"] for x in entries] == [names[i] for i in expected.pred_labels]
    capsys.readouterr()
    with pytest.raises(SystemExit) as info:
        run_demo(["--config-file", "a.yaml", "--video-input", str(clip), "--output", "o.mp4"])
    assert info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: --config-file needs detectron2, which is not installed")


def test_options_of_the_demo_with_an_exported_model(tmp_path, capsys):
    with VideoWriter(tmp_path / "clip.mp4", 5) as writer:
        writer.write(draw(1)[0][0])
    where = ["--video-input", str(tmp_path / "clip.mp4"), "--output", str(tmp_path / "o.mp4")]
    for model, message in (
        (["--model", "gone.pt"], "error: gone.pt is not an exported model: there is no such file"),
        (["--model", str(TINY), "--opts", "A", "1"], "--opts changes a config"),
        (["--model", str(TINY), "--config-file", "a.yaml"], "not allowed with argument"),
        ([], "one of the arguments --config-file --model is required"),
    ):
        with pytest.raises(SystemExit) as info:
            run_demo([*where, *model])
        assert info.value.code == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert [x.name for x in tmp_path.iterdir()] == ["clip.mp4"]
    run_demo([*where, "--model", str(TINY), "--confidence-threshold", "1"])
    assert json.loads((tmp_path / "results.json").read_text()) == []


def test_other_files_and_wrong_entries_raise(changed, tmp_path):
    cases = [
        (
            changed(version=99),
            r"exported model of version 99, but .* only version 1",
        ),
        (tmp_path / "gone.pt", r"gone\.pt is not an exported model: there is no such file"),
        (tmp_path, "there is no such file"),
        (ROOT / "README.md", r"README\.md is not an exported model: .* File is not a zip"),
    ]
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "checkpoint.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "objects.pth")
    np.savez(tmp_path / "arrays.npz", a=[1])
    cases += [
        (tmp_path / "checkpoint.pth", "is not an exported model: create one"),
        (tmp_path / "objects.pth", r"it refers to .*torch\.nn\.modules\.linear\.Linear, but only"),
        (tmp_path / "arrays.npz", "is not an exported model: it is damaged"),
    ]
    for path, message in cases:
        with pytest.raises(ModelFileError, match=message) as info:
            VideoSegmenter.from_exported(path)
        assert "\n" not in str(info.value)
    program = torch.load(TINY, weights_only=True)[KEY]["program"][:-100]
    contents = torch.load(TINY, weights_only=True)[KEY]
    head = {"levels": ["p2"], "stride": 4, "in_channels": 64, "resolution": 7}
    for values in (
        {"program": program},
        {"program": None},
        {"propagation": {**contents["propagation"], "num_groups": 0}},
        {"propagation": {**contents["propagation"], "in_channels": 10**9}},
        {"propagation": {**contents["propagation"], "dilations": [1] * 10**5}},
        {"embedding": {**head, "fc_dim": 10**9}},
        {"embedding": 5},
        {"stsn": {"levels": ["p3"], "in_channels": 10**9, "channels": 8, "radius": 1}},
        {"crop_classifier": {"num_classes": 10, "crop_size": 64, "channels": [8]}},
        {"crop_classifier": {"num_classes": 1, "crop_size": 2, "channels": [], "num_groups": 1}},
        {"mask_propagators": {"osmn": 64}},
        {"mask_propagators": {"other": 64}},
        {"segmenter": {**contents["segmenter"], "other": 1}},
        {"frame_settings": 5},
    ):
        with pytest.raises(ModelFileError, match=r"damaged: its entries are not as exported"):
            VideoSegmenter.from_exported(changed(**values))


def test_damaged_files_raise(tmp_path):
    whole = TINY.read_bytes()
    path = tmp_path / "model.pt"
    rng = np.random.default_rng(0)
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"\.pt is not an exported model: it is damaged"):
            VideoSegmenter.from_exported(path)
    for place in rng.integers(0, len(whole), 20):
        damaged = bytearray(whole)
        # Many bytes, since some between the entries of an archive are not used.
        damaged[place : place + 200] = bytes(255 - x for x in damaged[place : place + 200])
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"\.pt is not an exported model: it is damaged"):
            VideoSegmenter.from_exported(path)
