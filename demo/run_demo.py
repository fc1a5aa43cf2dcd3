#!/usr/bin/env python3
"""``make demo``: the tiny model on a MovingShapes clip that it has never seen."""

import argparse
import importlib.util
import sys
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "datasets")]

SEED = 20_200_614
HEIGHT, WIDTH, LENGTH, FPS = 256, 384, 48, 8


def main() -> None:
    """Draw a clip, run ``demo.py`` on it, and put some frames on a sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="a folder")
    output: Path = parser.parse_args().output
    from moving_shapes import draw_video

    from demo import main as run_on_video
    from maskprop_d2.video import VideoFile
    from maskprop_d2.video.drawing import contact_sheet
    from maskprop_d2.video.writing import VideoWriter

    clip, annotated = output / "clip.mp4", output / "annotated.mp4"
    frames, _ = draw_video(np.random.default_rng(SEED), HEIGHT, WIDTH, LENGTH, hard=True)
    with VideoWriter(clip, FPS) as writer:
        for frame in frames:
            writer.write(frame)
    # One file is both the exported model and the weights.
    config_file, tiny = HERE.parent / "configs/moving_shapes/maskprop_tiny.yaml", "maskprop_tiny.pt"
    model = ["--config-file", str(config_file), "--opts", "MODEL.WEIGHTS", str(HERE / tiny)]
    if importlib.util.find_spec("detectron2") is None:
        print("Detectron2 is not installed: running the exported model, which needs none.")
        model = ["--model", str(HERE / tiny)]
    run_on_video(["--video-input", str(clip), "--output", str(annotated), *model])
    sheet = contact_sheet(list(VideoFile(annotated))[12:24], columns=4)
    sheet_path = output / "contact_sheet.png"
    cv2.imwrite(str(sheet_path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    print(f"the clip is {clip}, a sheet of some annotated frames {sheet_path}")


if __name__ == "__main__":
    main()
