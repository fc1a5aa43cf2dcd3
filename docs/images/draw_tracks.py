"""Draw ``tracks.webp``, the animation in the README: the tiny model on a MovingShapes clip."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.video.drawing import Trails, draw_tracks

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.append(str(ROOT / "datasets"))


def main() -> None:
    """Write the animation beside this script."""
    from moving_shapes import draw_video

    model = ROOT / "demo/maskprop_tiny.pt"
    segmenter = VideoSegmenter.from_exported(model, score_threshold=0.6, device="cpu")
    names = segmenter.network.class_names
    frames, _ = draw_video(np.random.default_rng(2), 256, 384, 36, level="plain")
    trails = Trails(length=12)
    images = []
    for x in segmenter.stream(frames):
        labels = [names[label] for label in x.labels]
        drawn = draw_tracks(x.frame, x.masks, x.track_ids, labels, x.scores, trails)
        images.append(Image.fromarray(drawn))
    images[0].save(
        HERE / "tracks.webp",
        save_all=True,
        append_images=images[1:],
        duration=125,
        loop=0,
        quality=60,
        method=6,
    )


if __name__ == "__main__":
    main()
