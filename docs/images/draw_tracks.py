"""Draw the clip of ``make demo`` with its tracks: ``tracks.webp``, the animation in the README, and
``link.png``, two of its frames with the detections (above) and the tracks (below)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskprop_d2 import link
from maskprop_d2.detections import CocoDetections
from maskprop_d2.structures import Detections
from maskprop_d2.video import VideoFile
from maskprop_d2.video.drawing import contact_sheet, draw_masks, draw_tracks

HERE = Path(__file__).parent
CLIP = HERE.parents[1] / "demo/real"
SHOWN = 64, 70
"""In the first one, a bottle was detected as a toothbrush, in the second one not at all, and the
hand in neither of them."""


def draw_detections(frame: np.ndarray, found: Detections, names: Sequence[str]) -> np.ndarray:
    """Draw detections like tracks, in the order of their positions from left to right."""
    order = np.argsort([np.nonzero(mask)[1].mean() for mask in found.masks])
    texts = [f"{names[found.labels[i]]} {found.scores[i]:.0%}" for i in order]
    return draw_masks(frame, found.masks[order], range(len(order)), texts)


def main() -> None:
    """Write the pictures beside this script."""
    video = VideoFile(CLIP / "bottles.mp4")
    detections = CocoDetections(CLIP / "detections.json", video)
    names = detections.class_names
    found = [detections.frame(index) for index in range(video.num_frames)]
    drawn = [
        draw_tracks(x.frame, x.masks, x.track_ids, [names[label] for label in x.labels], x.scores)
        for x in link(video, found)
    ]
    images = [Image.fromarray(image) for image in drawn]
    images[0].save(
        HERE / "tracks.webp",
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / video.fps),
        loop=0,
        quality=75,
        kmax=1,  # Whole frames: differences leave blocks behind.
    )
    frames = list(video)
    above = [draw_detections(frames[t], found[t], names) for t in SHOWN]
    sheet = contact_sheet([*above, *(drawn[t] for t in SHOWN)], columns=len(SHOWN))
    Image.fromarray(sheet).save(HERE / "link.png", optimize=True)


if __name__ == "__main__":
    main()
