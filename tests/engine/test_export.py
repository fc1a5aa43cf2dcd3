"""An exported model gives what the model gives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from moving_shapes import draw_video

from maskprop_d2.engine import build_segmenter, export_model, load_config
from maskprop_d2.errors import InputError, MissingWeightsError, ModelFileError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.inference.exported import KEY
from maskprop_d2.networks.base import FrameSettings
from maskprop_d2.ops.rle import decode
from maskprop_d2.ops.soft_iou import pairwise_soft_iou
from maskprop_d2.tracking import MASK_PROPAGATORS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs/moving_shapes/maskprop_tiny.yaml"
TINY = ROOT / "demo/maskprop_tiny.pt"


def config(*options, config_file=CONFIG, weights=TINY):
    return load_config(str(config_file), [*options, "MODEL.WEIGHTS", str(weights)])


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "folder/model.pt"
    export_model(config(), path)
    return path


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
def test_a_methods_own_network_goes_with_the_model(tmp_path, method):
    """The shipped detector, with a network of the method that has learnt nothing."""
    options = ["MODEL.MASKPROP.TRACKER", method]
    torch.manual_seed(0)
    model = build_model(config(*options))
    DetectionCheckpointer(model).load(str(TINY))
    torch.save({"model": model.state_dict()}, tmp_path / "whole.pth")
    cfg = config(*options, weights=tmp_path / "whole.pth")
    export_model(cfg, tmp_path / "model.pt")
    frames, _ = draw_video(np.random.default_rng(7), 97, 151, 5, hard=False)
    expected = build_segmenter(cfg).segment(frames)
    assert expected.track_ids
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    network = exported.network.mask_propagator(method)
    for name, value in model.mask_propagator(method).state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert_same_tracks(exported.segment(frames), expected)


def assert_same_tracks(a, b):
    assert a.image_size == b.image_size
    assert a.track_ids == b.track_ids and a.pred_labels == b.pred_labels
    assert a.pred_scores == pytest.approx(b.pred_scores, abs=1e-4)
    for masks_a, masks_b in zip(a.pred_masks, b.pred_masks, strict=True):
        for x, y in zip(masks_a, masks_b, strict=True):
            assert (x is None) == (y is None)
            if x is not None:
                assert (decode(x) != decode(y)).mean() <= 1e-3


@pytest.mark.parametrize(
    ("size", "hard"),
    [((128, 192), False), ((97, 151), True), ((200, 90), False), ((40, 160), True)],
)
def test_scores_and_masks_are_those_of_the_model(exported, size, hard):
    frames, _ = draw_video(np.random.default_rng(7), *size, 9, hard=hard)
    # The last frame is empty, and alone in its batch.
    frames[-1] = np.full_like(frames[0], 110)
    expected = build_segmenter(config()).segment(frames)
    assert expected.track_ids
    assert_same_tracks(
        VideoSegmenter.from_exported(exported, device="cpu").segment(frames), expected
    )


def test_mixed_precision_goes_along_and_changes_little(tmp_path):
    frames, _ = draw_video(np.random.default_rng(7), 128, 192, 6, hard=False)
    exact = build_segmenter(config()).segment(frames)
    cfg = config("MODEL.MASKPROP.PRECISION", "bfloat16")
    export_model(cfg, tmp_path / "model.pt")
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    for segmenter in (build_segmenter(cfg), exported):
        mixed = segmenter.segment(frames)
        assert mixed.track_ids == exact.track_ids and mixed.pred_labels == exact.pred_labels
        assert mixed.pred_scores == pytest.approx(exact.pred_scores, abs=0.05)
        # It does compute otherwise.
        assert mixed.pred_scores != pytest.approx(exact.pred_scores, abs=1e-6)


def test_mixed_precision_does_not_move_boxes():
    """Places beyond 256 pixels are an even number in bfloat16."""
    frames, _ = draw_video(np.random.default_rng(2), 512, 768, 1, hard=False)
    options = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.3, "INPUT.MIN_SIZE_TEST", 0]
    masks = []
    for precision in ("float32", "bfloat16"):
        cfg = config(*options, "MODEL.MASKPROP.PRECISION", precision)
        with torch.inference_mode():
            images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
            (output,) = build_segmenter(cfg).network.detect(images)
        masks.append((output.grid_masks > 0.5).flatten(1).float())
    assert len(masks[0]) > 5
    assert pairwise_soft_iou(*masks).amax(1).mean() > 0.98


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match=r"PRECISION must be .* got 'float8'"):
        build_segmenter(config("MODEL.MASKPROP.PRECISION", "float8"))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["IMPL", "literal", "HIDDEN_DIM", 4], id="literal, hidden layer"),
        pytest.param(["BACKGROUND", False, "IN_FEATURE", "p3"], id="p3, without background"),
    ],
)
def test_options_of_propagation_and_linking_go_along(options, tmp_path):
    names = [f"MODEL.MASKPROP.PROPAGATION.{x}" if i % 2 == 0 else x for i, x in enumerate(options)]
    torch.manual_seed(0)
    cfg = config(
        *names,
        *("MODEL.MASKPROP.LINKING.FINAL_MASK", "average", "MODEL.MASKPROP.CLIP_RADIUS", 2),
        *("INPUT.MIN_SIZE_TEST", 0, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.2),
    )
    # What the options leave without trained weights is drawn once, for both.
    torch.save({"model": initial_weights(cfg)}, tmp_path / "weights.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    export_model(cfg, tmp_path / "model.pt")
    frames, _ = draw_video(np.random.default_rng(2), 96, 120, 5, hard=False)
    segmenter = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    expected = build_segmenter(cfg)
    assert segmenter.final_mask == "average"
    assert [x.stream([]).tracker.clip_radius for x in (segmenter, expected)] == [2, 2]
    assert_same_tracks(segmenter.segment(frames), expected.segment(frames))


def test_an_embedding_head_goes_along(tmp_path):
    torch.manual_seed(0)
    cfg = config("MODEL.MASKPROP.TRACKER", "masktrack", "MODEL.MASKPROP.MASKTRACK.FC_DIM", 32)
    with pytest.raises(MissingWeightsError, match=r"tiny\.pt has no weights for .* 'masktrack'"):
        export_model(cfg, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())
    torch.save({"model": initial_weights(cfg)}, tmp_path / "weights.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    export_model(cfg, tmp_path / "model.pt")
    frames, _ = draw_video(np.random.default_rng(2), 96, 120, 5, hard=False)
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    expected = build_segmenter(cfg)
    assert_same_tracks(exported.segment(frames), expected.segment(frames))
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        pairs = zip(exported.network.detect(images), expected.network.detect(images), strict=True)
    for a, b in pairs:
        assert a.embeddings.shape == (len(a), 32) and len(a) > 0
        torch.testing.assert_close(a.embeddings, b.embeddings, rtol=1e-3, atol=1e-4)


def test_a_crop_classifier_goes_along(tmp_path):
    """With the refinement that the method's config has."""
    config_file = ROOT / "configs/moving_shapes/maskprop_tiny_ensemble.yaml"
    torch.manual_seed(0)
    cfg = config(config_file=config_file)
    torch.save({"model": initial_weights(cfg)}, tmp_path / "weights.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    export_model(cfg, tmp_path / "model.pt")
    frames, _ = draw_video(np.random.default_rng(2), 96, 120, 5, hard=False)
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    expected = build_segmenter(cfg)
    found = exported.segment(frames)
    assert found.track_ids
    assert_same_tracks(found, expected.segment(frames))
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        pairs = zip(exported.network.detect(images), expected.network.detect(images), strict=True)
    for a, b in pairs:
        assert a.crop_scores.shape == (len(a), 10) and len(a) > 0
        torch.testing.assert_close(a.crop_scores, b.crop_scores, rtol=1e-3, atol=1e-4)


def initial_weights(cfg):
    weights = build_model(cfg).state_dict()
    for name, value in torch.load(TINY, weights_only=True)["model"].items():
        if name in weights and weights[name].shape == value.shape:
            weights[name] = value
    return weights


@pytest.mark.parametrize(
    ("config_file", "options"),
    [
        pytest.param(
            "youtubevis_2019/maskprop_R_18_FPN.yaml",
            ["MODEL.RESNETS.NORM", "BN"],
            id="masks by category, BGR, five levels of anchors",
        ),
        pytest.param(
            "moving_shapes/maskprop_tiny_full.yaml", [], id="cascade, semantic branch, refinement"
        ),
        pytest.param(
            "moving_shapes/maskprop_tiny_semantic.yaml",
            ["MODEL.MASKPROP.STSN.ENABLED", True, "MODEL.MASKPROP.STSN.CHANNELS", 16],
            id="STSN, semantic branch",
        ),
    ],
)
def test_other_detectors(tmp_path, config_file, options):
    options = [
        *options,
        *("INPUT.MIN_SIZE_TEST", 64, "TEST.DETECTIONS_PER_IMAGE", 5),
        # An untrained model is sure of nothing.
        *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.01),
    ]
    torch.manual_seed(0)
    cfg = config(*options, config_file=ROOT / "configs" / config_file, weights="")
    model = build_model(cfg)
    if "refinement" in model.parts:
        # It starts without an effect.
        torch.nn.init.normal_(model.refinement.predictor.weight)
    if "stsn" in model.parts:
        torch.nn.init.normal_(model.stsn.sampling.offsets.weight, std=0.1)
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "weights.pth")
    export_model(cfg, tmp_path / "model.pt")
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu").network
    assert exported.parts.keys() == model.parts.keys()
    expected = build_segmenter(cfg).network
    frames = torch.randint(0, 256, (2, 3, 61, 83), dtype=torch.uint8)
    with torch.inference_mode():
        pairs = list(zip(exported.detect(frames), expected.detect(frames), strict=True))
    for a, b in pairs:
        assert len(a) == len(b) > 0
        for name in (
            *("boxes_video", "scores", "class_scores", "box_masks", "mask_boxes_video"),
            "grid_masks",
        ):
            x, y = getattr(a, name), getattr(b, name)
            # Random refinement makes differences larger.
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 if "mask" in name else 1e-4)


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """An exported model whose masks are refined, with some effect."""
    folder = tmp_path_factory.mktemp("refined")
    torch.manual_seed(0)
    cfg = config(config_file=ROOT / "configs/moving_shapes/maskprop_tiny_refinement.yaml")
    weights = initial_weights(cfg)
    torch.nn.init.normal_(weights["refinement.predictor.weight"], std=0.3)
    torch.save({"model": weights}, folder / "weights.pth")
    cfg.MODEL.WEIGHTS = str(folder / "weights.pth")
    export_model(cfg, folder / "model.pt")
    return folder / "model.pt"


def test_mixed_precision_refines_in_32_bits_what_it_gives(refined, tmp_path):
    contents = torch.load(refined, weights_only=True)
    contents[KEY]["frame_settings"]["precision"] = "bfloat16"
    torch.save(contents, tmp_path / "mixed.pt")
    frames, _ = draw_video(np.random.default_rng(7), 128, 192, 2, hard=False)
    frames = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    exact, mixed = (
        VideoSegmenter.from_exported(x, device="cpu").network
        for x in (refined, tmp_path / "mixed.pt")
    )
    found = []
    detect = exact.find_objects
    exact.find_objects = lambda *x: found.append(detect(*x)) or found[-1]
    # The same objects, so that only refinement differs.
    mixed.find_objects = lambda *_: found[-1]
    with torch.inference_mode():
        pairs = list(zip(exact.detect(frames), mixed.detect(frames), strict=True))
    for a, b in pairs:
        assert len(a) > 0
        assert torch.equal(a.crops_video, b.crops_video)
        assert b.box_masks.dtype == torch.float32
        assert not torch.equal(a.box_masks, b.box_masks)
        assert (a.box_masks - b.box_masks).abs().mean() < 0.01


def test_refinement_that_does_not_fit_its_weights_is_refused(refined, tmp_path):
    contents = torch.load(refined, weights_only=True)
    options, weights = contents[KEY]["refinement"], contents["model"]
    name = "refinement.blocks.0.conv1.weight"

    def refused(model=weights, **values):
        exported = {**contents[KEY], **values}
        torch.save({"model": model, KEY: exported}, tmp_path / "wrong.pt")
        with pytest.raises(ModelFileError, match="its entries are not as exported"):
            VideoSegmenter.from_exported(tmp_path / "wrong.pt", device="cpu")

    for wrong in (None, 5, [], {}, {**options, "other": 1}):
        refused(refinement=wrong)
    for key, value in (
        *(("channels", x) for x in (8, 10**9, "8", -4)),
        *(("crop_size", x) for x in (0, 10**6, None, 24.5)),
        *(("chunk_size", x) for x in (0, "4", 1.5)),
        *(("context", x) for x in (-1.0, float("nan"), [1])),
        ("num_groups", 0),
    ):
        refused(refinement={**options, key: value})
    refused({k: v for k, v in weights.items() if k != name})
    refused({**weights, name: weights[name][:1]})
    refused({**weights, name: "text"})


def test_an_exported_model_also_serves_as_weights(exported, tmp_path):
    model = build_model(config())
    DetectionCheckpointer(model).load(str(exported))
    weights = torch.load(TINY, weights_only=True)["model"]
    assert weights.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name].to(value.dtype)), name
    # In 16 bits it takes half of the space.
    export_model(config(weights=exported), tmp_path / "half.pt", half=True)
    assert (tmp_path / "half.pt").stat().st_size < 0.55 * exported.stat().st_size
    again = torch.load(tmp_path / "half.pt", weights_only=True)["model"]
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_the_file_in_the_repository_is_what_its_config_gives(exported):
    """Else export it anew: see docs/export.md."""
    made, kept = (torch.load(x, weights_only=True)[KEY] for x in (exported, TINY))
    for values in (made, kept):
        del values["program"], values["torch"]
        # An option that came later has its default in a file without it.
        values["frame_settings"] = FrameSettings(**values["frame_settings"])
    assert made == kept


def test_nothing_of_this_machine_is_in_the_file(exported):
    for path in (exported, TINY):
        program = torch.load(path, weights_only=True)[KEY]["program"].numpy().tobytes()
        assert b".debug_pkl" not in program and b".py" in program


def test_weights_of_another_model_are_refused(tmp_path):
    full = ROOT / "configs/moving_shapes/maskprop_tiny_full.yaml"
    with pytest.raises(InputError, match=r"tiny\.pt does not fit the config: .* semantic_branch\."):
        export_model(config(config_file=full), tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, exported):
    script = [sys.executable, "-m", "maskprop_d2", "export", "--config-file", str(CONFIG)]
    output = tmp_path / "model.pt"

    def run(weights, *more, status=0):
        options = ["--weights", str(weights), "--output", str(output), *more]
        result = subprocess.run([*script, *options], capture_output=True, text=True)
        assert result.returncode == status, result.stderr[-3000:]
        return result

    result = run(tmp_path / "gone.pth", status=2)
    assert "error: MODEL.WEIGHTS is" in result.stderr and "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
    run(exported, "--half", "--opts", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.05")
    assert [x.name for x in tmp_path.iterdir()] == ["model.pt"]
    assert torch.load(output, weights_only=True)[KEY]["score_threshold"] == 0.05
