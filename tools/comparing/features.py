"""Propagated features, like Figure 5 of the paper.

The paper shows one random channel of the features that are propagated from frame t. This shows the
norm of the instance features g_i over all channels. They are computed only by the literal
implementation of propagation, which has the same parameters as the fused one.
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
from maskprop_d2.video.images import read_image

MAX_COLUMNS = 7
MAX_OBJECTS = 3
CAPTION = (
    "Norm of the propagated instance features, relative to the object's maximum; white: "
    "outline of its mask, detected in frame t, propagated elsewhere"
)


def draw_features(cfg: Any, dataset: str, video_id: int | None, t: int | None, path: Path) -> None:
    """Draw a row of frames, and a row of features for each of the best detections in frame t.

    Args:
        cfg: the whole config.
        dataset: name of the dataset.
        video_id: None for the first video.
        t: frame index; None for the frame with the most objects, the nearest to the middle.
        path: where to write the PNG.

    Raises:
        InputError: if there is no such video or frame, or no detection in it.
    """
    records = load_records(cfg, dataset)
    record = next((x for x in records if video_id in (None, x["video_id"])), None)
    if record is None:
        raise InputError(f"'{dataset}' has no video {video_id}")
    length, video = record["length"], f"video {record['video_id']}"
    if t is None:
        objects = [len(x) for x in record["annotations"]]
        t = max(range(length), key=lambda t: (objects[t], -abs(t - length // 2)))
    elif not 0 <= t < length:
        raise InputError(f"{video} has no frame {t}, only 0 to {length - 1}")
    radius = cfg.MODEL.MASKPROP.CLIP_RADIUS
    indices = {t + round(x) for x in np.linspace(-radius, radius, MAX_COLUMNS)}
    images = {s: read_image(record["file_names"][s]) for s in sorted(indices & {*range(length)})}
    cfg = cfg.clone()
    options = cfg.MODEL.MASKPROP
    options.PROPAGATION.IMPL, options.TRACKER = "literal", "maskprop"
    # The features are computed here, without the network's mixed precision.
    options.PRECISION = "float32"
    network = build_segmenter(cfg).network
    frames = torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2)
    with torch.inference_mode():
        found = network.detect_stream(frames.split(options.FRAMES_PER_BATCH))
        outputs = dict(zip(images, found, strict=True))
    if not len(outputs[t]):
        raise InputError(f"no detection in frame {t} of {video}: choose another --frame")
    chosen = outputs[t].scores.argsort(descending=True)[:MAX_OBJECTS]
    norms, masks = propagate(network, outputs, t, chosen)
    names = MetadataCatalog.get(dataset).thing_classes
    labels, scores = outputs[t].labels[chosen], outputs[t].scores[chosen]
    titles = [f"{names[k]} {x:.0%}" for k, x in zip(labels, scores, strict=True)]
    title = f"{dataset}, {video}: features propagated from frame {t}"
    _draw_sheet(images, t, norms, masks, outputs[t].grid_box_video.tolist(), titles, title, path)


@torch.inference_mode()
def propagate(
    network: Any, outputs: dict[int, FrameOutput], t: int, chosen: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Propagate some detections of frame t to all frames.

    Args:
        network: has a propagation branch with the literal implementation.
        outputs: of S frames by index, including t.
        t: index of the source frame.
        chosen: (N,) indices of its detections.

    Returns:
        (S, N, h, w) norms of the propagated features; and (S, N, h, w) soft masks, those of the
        detector in frame t, propagated ones elsewhere.
    """
    source, targets = outputs[t], list(outputs.values())
    grid_masks = source.grid_masks[chosen]
    norms = [
        network.propagation.instance_features(grid_masks, source.maps, x.maps).norm(dim=1)
        for x in targets
    ]
    masks = network.propagate(source, targets)[:, chosen]
    masks[list(outputs).index(t)] = grid_masks
    return torch.stack(norms).cpu().numpy(), masks.cpu().numpy()


def _draw_sheet(
    images: dict[int, np.ndarray],
    t: int,
    norms: np.ndarray,
    masks: np.ndarray,
    grid_box: list[float],
    titles: list[str],
    title: str,
    path: Path,
) -> None:
    """Draw (S, N, h, w) norms and masks, which fill ``grid_box``, over the images of S frames."""
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
        relative = norms[:, i] / (norms[:, i].max() or 1)
        for cell_content in zip(row, images.values(), relative, masks[:, i], strict=True):
            _draw_cell(*cell_content, grid_box)
    figure.suptitle(title)
    figure.supxlabel(CAPTION, fontsize="small")
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
    plt.close(figure)


def _draw_cell(
    axes: Axes, image: np.ndarray, values: np.ndarray, mask: np.ndarray, grid_box: list[float]
) -> None:
    """Draw (h, w) values in [0, 1] and the outline of a (h, w) mask over a gray frame."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = grid_box
    place = {"extent": (x0, x1, y1, y0), "origin": "upper"}
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    axes.imshow(gray, cmap="gray", vmin=-100, vmax=350, extent=(0, width, height, 0))
    axes.imshow(
        values, interpolation="bilinear", cmap="inferno", vmin=0, vmax=1, alpha=values, **place
    )
    if mask.max() > 0.5:
        axes.contour(mask, levels=[0.5], colors="white", linewidths=1, **place)
    # The grid also covers the padding of the network's input.
    axes.set(xlim=(0, width), ylim=(height, 0))
