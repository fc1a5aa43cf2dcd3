from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scenes import HEIGHT, STRIDE, WIDTH, Object, Scene, texture
from torchvision.models.optical_flow import raft_small

from maskprop_d2.ops.soft_iou import pairwise_soft_iou
from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import build_tracker
from maskprop_d2.tracking.flow import FlowPropagator
from maskprop_d2.tracking.optical_flow import build_flow, dis_flow


def frames_of(scene):
    images = list(scene.images())
    outputs = scene.detect(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    return [Frame(t, *x) for t, x in enumerate(zip(images, outputs, strict=True))]


def overlap(mask, other):
    """IoU of two soft masks, made binary."""
    return pairwise_soft_iou(*((x > 0.5).float().flatten()[None] for x in (mask, other))).item()


def test_masks_follow_their_objects_both_ways_and_in_steps_better_than_at_once():
    frames = frames_of(Scene({"a": Object([(10 + 6 * t, 30 + 2 * t) for t in range(9)])}))
    source = frames.pop(4)
    masks = FlowPropagator(dis_flow)(source, frames)
    assert masks.shape == (8, 1, HEIGHT // STRIDE, WIDTH // STRIDE)
    enough = {1: 0.9, 2: 0.6, 3: 0.45, 4: 0.35}
    for mask, target in zip(masks, frames, strict=True):
        true, distance = target.output.grid_masks, abs(target.index - 4)
        assert overlap(mask, true) > enough[distance]
        assert overlap(mask, true) > overlap(source.output.grid_masks, true) + 0.2
        neighbours = replace(source, index=0), replace(target, index=1)
        (at_once,) = FlowPropagator(dis_flow)(neighbours[0], [neighbours[1]])
        assert overlap(mask, true) > overlap(at_once, true) + 0.1 or distance == 1


def test_a_grid_that_covers_padding_and_frames_larger_than_it_needs():
    sizes = []

    def known(a, b, device):
        """All moves right and down by 16 pixels, one cell."""
        sizes.append(a.shape)
        shares = torch.tensor([-16 / 240, -16 / 180])
        return shares[:, None, None].expand(2, *a.shape[:2])

    box = torch.tensor([0.0, 0.0, 16.0 * 16, 16.0 * 13])
    masks = torch.zeros(1, 13, 16)
    masks[:, 4:8, 5:9] = 1
    output = FrameOutput(*[torch.zeros(1)] * 4, masks, box)
    a, b = (Frame(t, np.zeros((180, 240, 3), np.uint8), output) for t in range(2))
    (moved,) = FlowPropagator(known)(a, [b])
    torch.testing.assert_close(moved, masks.roll((1, 1), (1, 2)))
    assert sizes == [(45, 60, 3)]


def test_what_leaves_the_frame_is_gone():
    frames = frames_of(Scene({"a": Object([(132, 30), (132, 30)])}))

    def known(a, b, device):
        return torch.tensor([-40 / WIDTH, 0])[:, None, None].expand(2, HEIGHT, WIDTH)

    assert FlowPropagator(known)(frames[0], frames[1:]).max() == 0
    assert FlowPropagator(known)(frames[1], frames[:1]).max() == 0


def test_two_flows_a_frame_whatever_the_clip_radius():
    pairs = []

    def counting(a, b, device):
        pairs.append((int(a[0, 0, 0]), int(b[0, 0, 0])))
        return torch.zeros(2, HEIGHT, WIDTH)

    frames = frames_of(Scene({"a": Object([(10, 30)] * 8)}))
    propagate = FlowPropagator(counting)
    for t, frame in enumerate(frames):
        clip = [x for x in frames if abs(x.index - t) <= 3 and x is not frame]
        propagate(frame, clip)
        assert len(propagate._steps) <= 2 * 6
    assert sorted(pairs) == sorted([(t, t + 1) for t in range(7)] + [(t + 1, t) for t in range(7)])


def test_raft_with_weights_of_ones_own(tmp_path):
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
    shares = expected / torch.tensor([152.0, 128.0])[:, None, None]
    torch.testing.assert_close(ours, shares, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 200), (33, 47)])
def test_small_images_have_flow_too(size):
    a = np.full((*size, 3), 90, np.uint8)
    assert dis_flow(a, a, torch.device("cpu")).abs().max() < 1e-3


def test_flow_options_that_cannot_be_used(tmp_path):
    def build(**options):
        build_tracker("flow", clip_radius=1, threshold=0.1, exclusive=True, options=options)

    with pytest.raises(ValueError, match=r"FLOW.MODEL must be 'dis', 'raft_small', 'raft_large'"):
        build(model="flownet")
    with pytest.raises(ValueError, match=r"FLOW.WEIGHTS is gone.pth: there is no such file"):
        build(model="raft_small", weights="gone.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.pth", "text.pth"):
        with pytest.raises(ValueError, match=rf"{name}: these are no weights of raft_small"):
            build(model="raft_small", weights=str(tmp_path / name))


def test_raft_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ValueError, match=r"cannot be downloaded.*raft_small.*FLOW.WEIGHTS"):
        build_flow("raft_small", "")
