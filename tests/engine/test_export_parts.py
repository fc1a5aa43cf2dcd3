"""Exported models with optional parts and other detectors."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from moving_shapes import draw_video
from small_exports import CONFIGS, assert_same_tracks, make_config, save_initial_weights

from maskprop_d2.engine import build_segmenter, export_model
from maskprop_d2.errors import MissingWeightsError, ModelFileError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.inference.exported import KEY
from maskprop_d2.tracking import MASK_PROPAGATORS


def export_and_compare(cfg, folder, frames):
    """Export a model and check that it finds the same tracks.

    Returns:
        for each frame the outputs of the exported network and of the model.
    """
    export_model(cfg, folder / "model.pt")
    exported = VideoSegmenter.from_exported(folder / "model.pt", device="cpu")
    expected = build_segmenter(cfg)
    tracks = exported.segment(frames)
    assert tracks.track_ids
    assert_same_tracks(tracks, expected.segment(frames))
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        return zip(exported.network.detect(images), expected.network.detect(images), strict=True)


@pytest.mark.parametrize("method", MASK_PROPAGATORS)
def test_mask_propagators(tmp_path, method):
    cfg = make_config("MODEL.MASKPROP.TRACKER", method)
    save_initial_weights(cfg, tmp_path)
    frames, _ = draw_video(np.random.default_rng(7), 97, 151, 5, level="plain")
    for a, b in export_and_compare(cfg, tmp_path, frames):
        assert a.maps.keys() == b.maps.keys()
    weights = torch.load(tmp_path / "weights.pth")["model"]
    exported = VideoSegmenter.from_exported(tmp_path / "model.pt", device="cpu")
    for name, value in exported.network.mask_propagator(method).state_dict().items():
        assert torch.equal(value, weights[f"mask_propagators.{method}.{name}"]), name


def test_embedding_head(tmp_path):
    cfg = make_config("MODEL.MASKPROP.TRACKER", "masktrack", "MODEL.MASKPROP.MASKTRACK.FC_DIM", 32)
    with pytest.raises(MissingWeightsError, match=r"tiny\.pt has no weights for .* 'masktrack'"):
        export_model(cfg, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())
    save_initial_weights(cfg, tmp_path)
    frames, _ = draw_video(np.random.default_rng(2), 96, 120, 5, level="plain")
    for a, b in export_and_compare(cfg, tmp_path, frames):
        assert a.embeddings.shape == (len(a), 32) and len(a) > 0
        torch.testing.assert_close(a.embeddings, b.embeddings, rtol=1e-3, atol=1e-4)


def test_crop_classifier_with_refinement(tmp_path):
    cfg = make_config(config_file=CONFIGS / "maskprop_tiny_ensemble.yaml")
    save_initial_weights(cfg, tmp_path)
    frames, _ = draw_video(np.random.default_rng(2), 96, 120, 5, level="plain")
    for a, b in export_and_compare(cfg, tmp_path, frames):
        assert a.crop_scores.shape == (len(a), 10) and len(a) > 0
        torch.testing.assert_close(a.crop_scores, b.crop_scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("config_file", "options"),
    [
        pytest.param(
            "../youtubevis_2019/maskprop_R_18_FPN.yaml",
            ["MODEL.RESNETS.NORM", "BN"],
            id="masks by category, BGR, five levels of anchors",
        ),
        pytest.param("maskprop_tiny_full.yaml", [], id="cascade, semantic branch, refinement"),
        pytest.param(
            "maskprop_tiny_semantic.yaml",
            ["MODEL.MASKPROP.STSN.ENABLED", True, "MODEL.MASKPROP.STSN.CHANNELS", 16],
            id="STSN, semantic branch",
        ),
    ],
)
def test_other_detectors(tmp_path, config_file, options):
    options = [
        *options,
        *("INPUT.MIN_SIZE_TEST", 64, "TEST.DETECTIONS_PER_IMAGE", 5),
        # Scores of an untrained model are low.
        *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.01),
    ]
    torch.manual_seed(0)
    cfg = make_config(*options, config_file=CONFIGS / config_file, weights="")
    model = build_model(cfg)
    # These layers are initialized to have no effect.
    if "refinement" in model.parts:
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
            # Random refinement amplifies differences.
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3 if "mask" in name else 1e-4)


@pytest.fixture(scope="module")
def refined(tmp_path_factory):
    """An exported model whose refinement has an effect."""
    folder = tmp_path_factory.mktemp("refined")
    cfg = make_config(config_file=CONFIGS / "maskprop_tiny_refinement.yaml")
    save_initial_weights(
        cfg, folder, lambda x: torch.nn.init.normal_(x["refinement.predictor.weight"], std=0.3)
    )
    export_model(cfg, folder / "model.pt")
    return folder / "model.pt"


def test_mixed_precision_refinement_returns_float32(refined, tmp_path):
    contents = torch.load(refined, weights_only=True)
    contents[KEY]["frame_settings"]["precision"] = "bfloat16"
    torch.save(contents, tmp_path / "mixed.pt")
    frames, _ = draw_video(np.random.default_rng(7), 128, 192, 2, level="plain")
    frames = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    exact, mixed = (
        VideoSegmenter.from_exported(x, device="cpu").network
        for x in (refined, tmp_path / "mixed.pt")
    )
    found = []
    detect = exact.find_objects
    exact.find_objects = lambda *x: found.append(detect(*x)) or found[-1]
    # With the same detections, only refinement differs.
    mixed.find_objects = lambda *_: found[-1]
    with torch.inference_mode():
        pairs = list(zip(exact.detect(frames), mixed.detect(frames), strict=True))
    for a, b in pairs:
        assert len(a) > 0
        assert torch.equal(a.crops_video, b.crops_video)
        assert b.box_masks.dtype == torch.float32
        assert not torch.equal(a.box_masks, b.box_masks)
        assert (a.box_masks - b.box_masks).abs().mean() < 0.01


def test_refinement_options_that_do_not_fit_the_weights_raise(refined, tmp_path):
    contents = torch.load(refined, weights_only=True)
    options, weights = contents[KEY]["refinement"], contents["model"]
    name = "refinement.blocks.0.conv1.weight"

    def assert_raises(model=weights, **values):
        exported = {**contents[KEY], **values}
        torch.save({"model": model, KEY: exported}, tmp_path / "wrong.pt")
        with pytest.raises(ModelFileError, match="its entries are not as exported"):
            VideoSegmenter.from_exported(tmp_path / "wrong.pt", device="cpu")

    for wrong in (None, 5, [], {}, {**options, "other": 1}):
        assert_raises(refinement=wrong)
    for key, value in (
        *(("channels", x) for x in (8, 10**9, "8", -4)),
        *(("crop_size", x) for x in (0, 10**6, None, 24.5)),
        *(("chunk_size", x) for x in (0, "4", 1.5)),
        *(("context", x) for x in (-1.0, float("nan"), [1])),
        ("num_groups", 0),
    ):
        assert_raises(refinement={**options, key: value})
    assert_raises({k: v for k, v in weights.items() if k != name})
    assert_raises({**weights, name: weights[name][:1]})
    assert_raises({**weights, name: "text"})
