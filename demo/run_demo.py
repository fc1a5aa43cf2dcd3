#!/usr/bin/env python3
"""Link a detector's masks in the real clip of ``demo/real`` into tracks (``make demo``)."""

import argparse
import shlex
from pathlib import Path

import cv2

from maskprop_d2.commands.link import main as link
from maskprop_d2.video import VideoFile
from maskprop_d2.video.drawing import contact_sheet

CLIP = Path(__file__).parent / "real"


def main(argv: list[str] | None = None) -> None:
    """Run ``maskprop link``, and write a contact sheet of every fourth frame."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("output/demo"), help="output folder")
    output: Path = parser.parse_args(argv).output
    annotated, sheet = output / "annotated.mp4", output / "contact_sheet.png"
    inputs = ["--detections", CLIP / "detections.json", "--video-input", CLIP / "bottles.mp4"]
    command = [*map(str, inputs), "--output", str(annotated)]
    print("maskprop link", shlex.join(command), flush=True)
    link(command)
    image = contact_sheet(list(VideoFile(annotated))[::4], columns=4)
    cv2.imwrite(str(sheet), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    print(f"wrote {sheet}")


if __name__ == "__main__":
    main()
