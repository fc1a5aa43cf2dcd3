#!/usr/bin/env python3
"""
Run the tiny model on a clip of MovingShapes that is not in its training set (``make demo-shapes``).
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from maskprop_d2.commands.demo import main as demo
from maskprop_d2.video import VideoFile
from maskprop_d2.video.drawing import contact_sheet
from maskprop_d2.video.writing import VideoWriter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "datasets"))

from moving_shapes import draw_video  # noqa: E402

SEED = 20_200_614
HEIGHT, WIDTH, LENGTH, FPS = 256, 384, 48, 8


def main(argv: list[str] | None = None) -> None:
    """Draw a clip, run the demo on it, and write a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("output/demo_shapes"), help="output folder"
    )
    output: Path = parser.parse_args(argv).output
    clip, annotated = output / "clip.mp4", output / "annotated.mp4"
    frames, _ = draw_video(np.random.default_rng(SEED), HEIGHT, WIDTH, LENGTH, level="hard")
    with VideoWriter(clip, FPS) as writer:
        for frame in frames:
            writer.write(frame)
    model = str(ROOT / "demo/maskprop_tiny.pt")
    demo(["--model", model, "--video-input", str(clip), "--output", str(annotated)])
    image = contact_sheet(list(VideoFile(annotated))[12:24], columns=4)
    sheet = output / "contact_sheet.png"
    cv2.imwrite(str(sheet), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    print(f"wrote the clip {clip} and the contact sheet {sheet}")


if __name__ == "__main__":
    main()
