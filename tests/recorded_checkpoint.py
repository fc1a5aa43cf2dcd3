"""The checkpoint of a tiny Hybrid Task Cascade, and what mmdetection computed with it.

``tools/convert_check/record.py`` recorded it: ResNeXt with deformable convolutions, 5 categories.
"""

from pathlib import Path

import torch

from maskprop_d2.weights_file import read_weights


def recording():
    """``image``, (H, W, 3) uint8 BGR, and ``outputs`` by name."""
    return read_weights(Path(__file__).with_name("mmdetection") / "htc.pth")


def checkpoint():
    """The contents of the file that mmdetection would write."""
    recorded = recording()
    shapes = recorded["shapes"]
    sizes = [torch.Size(x).numel() for x in shapes.values()]
    parts = recorded["weights"].float().split(sizes)
    weights = {name: x.view(shapes[name]) for name, x in zip(shapes, parts, strict=True)}
    return {"meta": dict(recorded["meta"]), "state_dict": weights}


def masktrack():
    """The weights of a MaskTrack R-CNN with random heads on the same backbone."""
    generator = torch.Generator().manual_seed(0)

    def new(*shape):
        return torch.randn(*shape, generator=generator) * 0.05

    given = checkpoint()["state_dict"]
    weights = {f"detector.{k}": v for k, v in given.items() if not k.startswith("roi_head.")}
    head = "detector.roi_head."
    shapes = {"bbox_head.fc_cls": (41, 8), "bbox_head.fc_reg": (160, 8)}
    shapes |= {"bbox_head.shared_fcs.0": (8, 8 * 49), "bbox_head.shared_fcs.1": (8, 8)}
    shapes |= {f"mask_head.convs.{i}.conv": (8, 8, 3, 3) for i in range(4)}
    shapes |= {"mask_head.upsample": (8, 8, 2, 2), "mask_head.conv_logits": (40, 8, 1, 1)}
    shapes = {f"{head}{k}": v for k, v in shapes.items()}
    shapes |= {"track_head.embed_head.fcs.0": (16, 8 * 49), "track_head.embed_head.fcs.1": (16, 16)}
    for name, shape in shapes.items():
        weights[f"{name}.weight"], weights[f"{name}.bias"] = new(*shape), new(shape[0])
    return {"meta": {}, "state_dict": weights}
