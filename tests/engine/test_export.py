"""Exported models agree with the models they were exported from."""

import inspect

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from moving_shapes import draw_video
from small_exports import (
    CONFIG,
    CONFIGS,
    TINY,
    assert_same_tracks,
    make_config,
    save_initial_weights,
)

from maskprop_d2.commands.main import main
from maskprop_d2.engine import build_segmenter, export_model
from maskprop_d2.errors import InputError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.inference.exported import KEY
from maskprop_d2.networks.base import FrameSettings
from maskprop_d2.ops.soft_iou import pairwise_soft_iou
from maskprop_d2.tracking import TRACKERS


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "folder/model.pt"
    export_model(make_config(), path)
    return path


@pytest.mark.parametrize(
    ("size", "level"),
    [((128, 192), "plain"), ((97, 151), "hard"), ((200, 90), "plain"), ((40, 160), "hard")],
)
def test_scores_and_masks_agree(exported, size, level):
    frames, _ = draw_video(np.random.default_rng(7), *size, 9, level)
    # The last frame is empty, and alone in its batch.
    frames[-1] = np.full_like(frames[0], 110)
    expected = build_segmenter(make_config()).segment(frames)
    assert expected.track_ids
    found = VideoSegmenter.from_exported(exported, device="cpu").segment(frames)
    assert_same_tracks(found, expected)


def test_mixed_precision_is_exported_and_changes_little(tmp_path):
    frames, _ = draw_video(np.random.default_rng(7), 96, 144, 3, level="plain")
    exact = build_segmenter(make_config()).segment(frames)
    cfg = make_config("MODEL.MASKPROP.PRECISION", "bfloat16")
    export_model(cfg, tmp_path / "model.pt")
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    for segmenter in (build_segmenter(cfg), exported):
        mixed = segmenter.segment(frames)
        assert mixed.track_ids == exact.track_ids and mixed.pred_labels == exact.pred_labels
        assert mixed.pred_scores == pytest.approx(exact.pred_scores, abs=0.05)
        # It is not computed in float32.
        assert mixed.pred_scores != pytest.approx(exact.pred_scores, abs=1e-6)


def test_mixed_precision_does_not_move_boxes():
    """bfloat16 rounds coordinates above 256 pixels to even numbers."""
    frames, _ = draw_video(np.random.default_rng(4), 512, 768, 1, level="plain")
    options = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.3, "INPUT.MIN_SIZE_TEST", 0]
    masks = []
    for precision in ("float32", "bfloat16"):
        cfg = make_config(*options, "MODEL.MASKPROP.PRECISION", precision)
        with torch.inference_mode():
            images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
            (output,) = build_segmenter(cfg).network.detect(images)
        masks.append((output.grid_masks > 0.5).flatten(1).float())
    assert len(masks[0]) > 5
    assert pairwise_soft_iou(*masks).amax(1).mean() > 0.98


def test_unknown_precision_raises():
    with pytest.raises(InputError, match=r"PRECISION must be .* got 'float8'"):
        build_segmenter(make_config("MODEL.MASKPROP.PRECISION", "float8"))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["IMPL", "literal", "HIDDEN_DIM", 4], id="literal, hidden layer"),
        pytest.param(["BACKGROUND", False, "IN_FEATURE", "p3"], id="p3, without background"),
    ],
)
def test_options_of_propagation_and_linking_are_exported(options, tmp_path):
    names = [f"MODEL.MASKPROP.PROPAGATION.{x}" if i % 2 == 0 else x for i, x in enumerate(options)]
    cfg = make_config(
        *names,
        *("MODEL.MASKPROP.LINKING.FINAL_MASK", "average", "MODEL.MASKPROP.CLIP_RADIUS", 2),
        *("INPUT.MIN_SIZE_TEST", 0, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.2),
    )
    # The options change the shapes of some weights, which stay random.
    save_initial_weights(cfg, tmp_path)
    export_model(cfg, tmp_path / "model.pt")
    frames, _ = draw_video(np.random.default_rng(2), 96, 120, 5, level="plain")
    segmenter = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    expected = build_segmenter(cfg)
    assert segmenter.final_mask == "average"
    assert [x.stream([]).tracker.clip_radius for x in (segmenter, expected)] == [2, 2]
    assert_same_tracks(segmenter.segment(frames), expected.segment(frames))


def test_exported_model_is_also_a_checkpoint(exported):
    model = build_model(make_config())
    DetectionCheckpointer(model).load(str(exported))
    weights = torch.load(TINY, weights_only=True)["model"]
    assert weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name].to(value.dtype)), name


def test_file_in_the_repository_fits_its_config(exported):
    """If this fails, export it again (docs/export.md)."""
    new, shipped = (torch.load(x, weights_only=True)[KEY] for x in (exported, TINY))
    for values in (new, shipped):
        del values["program"], values["torch"]
        # Settings that are missing in an older file have their defaults.
        values["frame_settings"] = FrameSettings(**values["frame_settings"])
        tracker = values["segmenter"]["tracker"]
        options = inspect.signature(TRACKERS[tracker["name"]]).parameters.values()
        defaults = {x.name: x.default for x in options if x.kind is x.KEYWORD_ONLY}
        values["segmenter"]["tracker"] = defaults | tracker
    assert new == shipped


def test_program_contains_no_source_paths(exported):
    for path in (exported, TINY):
        program = torch.load(path, weights_only=True)[KEY]["program"].numpy().tobytes()
        assert b".debug_pkl" not in program and b".py" in program


def test_weights_of_another_model_raise(tmp_path):
    full = CONFIGS / "maskprop_tiny_full.yaml"
    with pytest.raises(InputError, match=r"tiny\.pt does not fit the config: .* semantic_branch\."):
        export_model(make_config(config_file=full), tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_command(tmp_path, exported, capsys):
    output = tmp_path / "model.pt"
    command = ["export", "--config-file", str(CONFIG), "--output", str(output)]
    with pytest.raises(SystemExit) as end:
        main([*command, "--weights", str(tmp_path / "gone.pth")])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: MODEL.WEIGHTS is")
    assert list(tmp_path.iterdir()) == []
    options = ["--half", "--opts", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.05"]
    main([*command, "--weights", str(exported), *options])
    assert [x.name for x in tmp_path.iterdir()] == ["model.pt"]
    half = torch.load(output, weights_only=True)
    assert half[KEY]["score_threshold"] == 0.05
    # With 16 bits the file has half the size, but the weights of the repository have no more.
    assert output.stat().st_size < 0.55 * exported.stat().st_size
    weights = torch.load(TINY, weights_only=True)["model"]
    assert all(torch.equal(half["model"][name], value) for name, value in weights.items())
