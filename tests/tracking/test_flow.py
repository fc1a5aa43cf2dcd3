"""Masks warped by optical flow, and the models of flow."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scenes import HEIGHT, STRIDE, WIDTH, Object, Scene, texture
from torchvision.models.optical_flow import raft_small

from maskprop_d2.errors import InputError
from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.matching import mask_iou
from maskprop_d2.tracking.optical_flow import FlowPropagator, build_flow, dis_flow


def test_masks_follow_objects_in_both_directions_and_better_in_steps_than_directly():
    frames = Scene({"a": Object([(10 + 6 * t, 30 + 2 * t) for t in range(9)])}).frames()
    source = frames.pop(4)
    masks = FlowPropagator(dis_flow)(source, frames)
    assert masks.shape == (8, 1, HEIGHT // STRIDE, WIDTH // STRIDE)
    min_iou = {1: 0.9, 2: 0.6, 3: 0.45, 4: 0.35}
    for mask, target in zip(masks, frames, strict=True):
        true, distance = target.output.grid_masks, abs(target.index - 4)
        iou = mask_iou(mask, true)
        assert iou > min_iou[distance]
        assert iou > mask_iou(source.output.grid_masks, true) + 0.2
        neighbors = replace(source, index=0), replace(target, index=1)
        (direct,) = FlowPropagator(dis_flow)(neighbors[0], [neighbors[1]])
        assert iou > mask_iou(direct, true) + 0.1 or distance == 1


def test_the_grid_covers_padding_and_frames_are_reduced_for_flow():
    sizes = []

    def known(a, b, device):
        """Everything moves right and down by 16 pixels, one cell."""
        sizes.append(a.shape)
        fractions = torch.tensor([-16 / 240, -16 / 180])
        return fractions[:, None, None].expand(2, *a.shape[:2])

    box = torch.tensor([0.0, 0.0, 16.0 * 16, 16.0 * 13])
    masks = torch.zeros(1, 13, 16)
    masks[:, 4:8, 5:9] = 1
    output = FrameOutput(*[torch.zeros(1)] * 4, masks, box)
    a, b = (Frame(t, np.zeros((180, 240, 3), np.uint8), output) for t in range(2))
    (moved,) = FlowPropagator(known)(a, [b])
    torch.testing.assert_close(moved, masks.roll((1, 1), (1, 2)))
    assert sizes == [(45, 60, 3)]


def test_masks_leave_the_frame():
    frames = Scene({"a": Object([(132, 30), (132, 30)])}).frames()

    def known(a, b, device):
        return torch.tensor([-40 / WIDTH, 0])[:, None, None].expand(2, HEIGHT, WIDTH)

    assert FlowPropagator(known)(frames[0], frames[1:]).max() == 0
    assert FlowPropagator(known)(frames[1], frames[:1]).max() == 0


def test_two_flows_per_frame_for_any_clip_radius():
    pairs = []

    def counting(a, b, device):
        pairs.append((int(a[0, 0, 0]), int(b[0, 0, 0])))
        return torch.zeros(2, HEIGHT, WIDTH)

    frames = Scene({"a": Object([(10, 30)] * 8)}).frames()
    propagate = FlowPropagator(counting)
    for t, frame in enumerate(frames):
        clip = [x for x in frames if abs(x.index - t) <= 3 and x is not frame]
        propagate(frame, clip)
        assert len(propagate._steps) <= 2 * 6
    assert sorted(pairs) == sorted([(t, t + 1) for t in range(7)] + [(t + 1, t) for t in range(7)])


def test_raft_with_weights_from_a_file(tmp_path):
    torch.manual_seed(0)
    network = raft_small()
    torch.save(network.state_dict(), tmp_path / "raft.pth")
    flow = build_flow("raft_small", str(tmp_path / "raft.pth"))
    a, b = (texture(i, 40, 150).astype(np.uint8) for i in range(2))
    assert flow(a, b, torch.device("cpu")).shape == (2, 128, 152)
    enlarged = [cv2.resize(x, (152, 128)) for x in (a, b)]
    images = [torch.from_numpy(x).permute(2, 0, 1)[None] / 127.5 - 1 for x in enlarged]
    with torch.no_grad():
        expected = network.eval()(*images)[-1][0]
    ours = flow(*enlarged, torch.device("cpu"))
    fractions = expected / torch.tensor([152.0, 128.0])[:, None, None]
    torch.testing.assert_close(ours, fractions, atol=1e-4, rtol=1e-3)
    # Loaded once for all videos.
    assert build_flow("raft_small", str(tmp_path / "raft.pth")) is flow


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 200), (33, 47)])
def test_flow_of_small_images(size):
    a = np.full((*size, 3), 90, np.uint8)
    assert dis_flow(a, a, torch.device("cpu")).abs().max() < 1e-3


@pytest.mark.parametrize("method", ["flow", "ensemble"])
def test_wrong_flow_options_are_rejected(tmp_path, method):
    def build(flow_model, flow_weights=""):
        build_tracker(method, None, flow_model=flow_model, flow_weights=str(flow_weights))

    with pytest.raises(InputError, match=r"flow_model must be 'dis', 'raft_small', 'raft_large'"):
        build("flownet")
    with pytest.raises(InputError, match=r"flow_weights is gone.pth: there is no such file"):
        build("raft_small", "gone.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.pth", "text.pth"):
        with pytest.raises(InputError, match=rf"{name}: these are not weights of raft_small"):
            build("raft_small", tmp_path / name)


def test_raft_weights_cannot_be_downloaded(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(InputError, match=r"cannot be downloaded.*raft_small.*FLOW.WEIGHTS"):
        build_flow("raft_small", "")
