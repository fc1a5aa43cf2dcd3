"""Propagated activations, like Figure 5 of the paper.

The paper shows one random channel of what is propagated from frame t. Here it is the norm over all
channels of the propagated instance features g_i, which does not depend on luck. They exist in the
literal way to propagate alone; its parameters are those of the fused one.
"""

from pathlib import Path
from typing import Any

import cv2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.data import MetadataCatalog
from matplotlib.axes import Axes

from maskprop_d2.data.loaders import load_records
from maskprop_d2.engine import build_segmenter
from maskprop_d2.errors import InputError
from maskprop_d2.files import atomic_file
from maskprop_d2.structures import FrameOutput
from maskprop_d2.tracking import FrameNetwork
from maskprop_d2.video.images import read_image

COLUMNS = 7
OBJECTS = 3


def draw_features(
    cfg: Any, dataset: str, video_id: int | None, frame: int | None, path: Path
) -> None:
    """Draw a sheet: a row of frames, and one for each of the surest detections of frame t.

    Args:
        cfg: the whole config.
        dataset: name of the data set.
        video_id: None for its first video.
        frame: t; None for the frame, of those with most objects, that is nearest the middle.
        path: of the PNG.

    Raises:
        InputError: if there is no such video or frame, or nothing is detected in it.
    """
    record = _find_video(load_records(cfg, dataset), dataset, video_id)
    t = _find_frame(record, frame)
    radius = cfg.MODEL.MASKPROP.CLIP_RADIUS
    around = {t + round(x) for x in np.linspace(-radius, radius, COLUMNS)}
    images = {s: read_image(record["file_names"][s]) for s in sorted(around) if _has(record, s)}
    literal = cfg.clone()
    options = literal.MODEL.MASKPROP
    options.PROPAGATION.IMPL, options.TRACKER = "literal", "maskprop"
    # What is shown is computed from the maps here, not by the network.
    options.PRECISION = "float32"
    network = build_segmenter(literal).network
    outputs = detect(network, images, cfg.MODEL.MASKPROP.FRAMES_PER_BATCH)
    if not len(outputs[t]):
        raise InputError(
            f"nothing is detected in frame {t} of video {record['video_id']}: name another --frame"
        )
    chosen = outputs[t].scores.argsort(descending=True)[:OBJECTS]
    names = MetadataCatalog.get(dataset).thing_classes
    labels = outputs[t].class_scores[chosen, :-1].argmax(1)
    scores = outputs[t].scores[chosen]
    titles = [f"{names[k]} {x:.0%}" for k, x in zip(labels, scores, strict=True)]
    heat, masks = propagate(network, outputs, t, chosen)
    title = f"{dataset}, video {record['video_id']}: features propagated from frame {t}"
    _draw_sheet(images, t, heat, masks, outputs[t].grid_box_video.tolist(), titles, title, path)


def _find_video(
    records: list[dict[str, Any]], dataset: str, video_id: int | None
) -> dict[str, Any]:
    for record in records:
        if video_id in (None, record["video_id"]):
            return record
    raise InputError(f"'{dataset}' has no video {video_id}")


def _find_frame(record: dict[str, Any], frame: int | None) -> int:
    length, objects = record["length"], [len(x) for x in record["annotations"]]
    if frame is None:
        return max(range(length), key=lambda t: (objects[t], -abs(t - length // 2)))
    if not _has(record, frame):
        raise InputError(f"video {record['video_id']} has no frame {frame}, but 0 to {length - 1}")
    return frame


def _has(record: dict[str, Any], frame: int) -> bool:
    return 0 <= frame < record["length"]


@torch.inference_mode()
def detect(
    network: FrameNetwork, images: dict[int, np.ndarray], at_once: int
) -> dict[int, FrameOutput]:
    """What a network finds in each frame."""
    frames = torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2)
    return dict(zip(images, network.detect_stream(frames.split(at_once)), strict=True))


@torch.inference_mode()
def propagate(
    network: Any, outputs: dict[int, FrameOutput], t: int, chosen: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """What reaches each frame from frame t.

    Args:
        network: with a propagation branch that is "literal".
        outputs: of S frames, t among them.
        t: where the objects are.
        chosen: (N,) which of its detections.

    Returns:
        (S, N, h, w) norms of the propagated features, and the soft masks: those of the detector
        in frame t, propagated ones in the others.
    """
    source, targets = outputs[t], list(outputs.values())
    grid_masks = source.grid_masks[chosen]
    heat = [
        network.propagation.instance_features(grid_masks, source.maps, x.maps).norm(dim=1)
        for x in targets
    ]
    masks = network.propagate(source, targets)[:, chosen]
    masks[list(outputs).index(t)] = grid_masks
    return torch.stack(heat).cpu().numpy(), masks.cpu().numpy()


def _draw_sheet(
    images: dict[int, np.ndarray],
    t: int,
    heat: np.ndarray,
    masks: np.ndarray,
    grid_box: list[float],
    titles: list[str],
    title: str,
    path: Path,
) -> None:
    """``heat`` and ``masks`` are (S, N, h, w) and fill ``grid_box``, x0, y0, x1, y1."""
    height, width = images[t].shape[:2]
    cell = 2.0, 2.0 * height / width
    size = cell[0] * len(images) + 0.4, cell[1] * (len(titles) + 1) + 0.9
    figure, rows = plt.subplots(
        len(titles) + 1, len(images), figsize=size, layout="constrained", squeeze=False
    )
    for (s, image), column in zip(images.items(), rows.T, strict=True):
        column[0].set_title(f"frame {s}" if s != t else f"frame {s} (t)", fontsize="medium")
        for axes in column:
            axes.set(xticks=[], yticks=[])
        column[0].imshow(image)
    for i, (name, row) in enumerate(zip(titles, rows[1:], strict=True)):
        row[0].set_ylabel(name)
        most = heat[:, i].max()
        for image, values, mask, axes in zip(
            images.values(), heat[:, i] / (most or 1), masks[:, i], row, strict=True
        ):
            _draw_cell(axes, image, values, mask, grid_box)
    figure.suptitle(title)
    figure.supxlabel(
        "Norm of the propagated instance features, relative to the object's largest; white: "
        "outline of its mask, detected in frame t, propagated elsewhere",
        fontsize="small",
    )
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    plt.close(figure)


def _draw_cell(
    axes: Axes, image: np.ndarray, values: np.ndarray, mask: np.ndarray, grid_box: list[float]
) -> None:
    """One object's activations, (h, w) in [0, 1], over a frame without its colours."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = grid_box
    place = {"extent": (x0, x1, y1, y0), "origin": "upper"}
    axes.imshow(
        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
        cmap="gray",
        vmin=-100,
        vmax=350,
        extent=(0, width, height, 0),
    )
    axes.imshow(
        values, interpolation="bilinear", cmap="inferno", vmin=0, vmax=1, alpha=values, **place
    )
    if mask.max() > 0.5:
        axes.contour(mask, levels=[0.5], colors="white", linewidths=1, **place)
    # The grid goes beyond the frame, which is padded.
    axes.set(xlim=(0, width), ylim=(height, 0))
