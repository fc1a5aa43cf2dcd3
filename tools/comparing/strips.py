"""Film strips, like Figure 7 of the paper, of the videos in which the methods differ most.

They differ by IDF1: it counts the masks that are drawn, frame by frame, and falls where an object
changes its identity. AP of a single video also depends on tracks that score too low to be drawn.
"""

import base64
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from maskprop_d2.evaluation.page import shown_predictions, video_name
from maskprop_d2.evaluation.timeline import video_timeline
from maskprop_d2.evaluation.tracks import Track, Video
from maskprop_d2.files import atomic_file
from maskprop_d2.video.drawing import draw_mask, track_color
from maskprop_d2.video.images import read_image

from .scoring import Scored

VIDEOS = 5
FRAMES = 8
WIDTH = 240
"""Pixels: wider frames are made smaller."""

PAGE = Path(__file__).with_name("strips.html")

Colored = list[tuple[Track, int]]
"""Tracks of one video, each with the number of its colour."""


def write_strips(
    ground_truth: dict[str, Any],
    scored: dict[str, Scored],
    images: Path,
    dataset: str,
    path: Path,
) -> None:
    """Write the page, all in one file.

    Args:
        ground_truth: annotations in YouTube-VIS's format.
        scored: at least two methods, by name.
        images: the folder that ``file_names`` are relative to.
        dataset: the data set's name.
        path: of the page.

    Raises:
        VideoError: if a frame cannot be read.
    """
    entries = {x["id"]: x for x in ground_truth["videos"]}
    videos = [_video(entries[x], scored, images) for x in most_different(scored)]
    page = Template(PAGE.read_text(encoding="utf-8")).substitute(
        dataset=escape(dataset),
        videos="\n".join(videos) or "<p>They are equally good in every video.</p>",
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def most_different(scored: dict[str, Scored]) -> list[int]:
    """The ids of a few videos in which the IDF1 of the methods has the largest deviations."""
    spread = {
        video_id: float(np.std([x.identity(video_id)["IDF1"] for x in scored.values()]))
        for video_id in next(iter(scored.values())).videos
    }
    order = sorted(spread, key=lambda x: -spread[x])
    return [x for x in order if spread[x] > 0][:VIDEOS]


def _video(entry: dict[str, Any], scored: dict[str, Scored], images: Path) -> str:
    """The strips of one video as HTML."""
    names = entry["file_names"]
    shown = sorted({round(t) for t in np.linspace(0, len(names) - 1, FRAMES)})
    frames = {t: read_image(str(images / names[t])) for t in shown}
    identity = {name: x.identity(entry["id"]) for name, x in scored.items()}
    best = max(x["IDF1"] for x in identity.values())
    video = next(iter(scored.values())).videos[entry["id"]]
    objects = [x for x in video.truth if not x.is_crowd]
    rows = [
        _row("frames", "", frames.values()),
        _row("ground truth", "", _drawn(frames, [(x, i) for i, x in enumerate(objects)], video)),
    ]
    for name, method in scored.items():
        figures = identity[name]
        note = f"IDF1 {figures['IDF1']:.1f}, ID switches: {figures['ID_switches']}"
        tracks = colored_predictions(method, entry["id"])
        style = ' class="best"' if figures["IDF1"] == best else ""
        rows.append(_row(name, note, _drawn(frames, tracks, video), style))
    head = "".join(f"<th>frame {t}</th>" for t in shown)
    return (
        f"<h2>{escape(video_name(entry))}</h2>\n<table>\n<thead><tr><th></th>{head}</tr></thead>\n"
        f"<tbody>\n{''.join(rows)}</tbody>\n</table>"
    )


def colored_predictions(method: Scored, video_id: int) -> Colored:
    """The predictions that are drawn. Objects have the colours 0, 1, ...; a prediction has that of
    the object that it finds in most frames, one to one, and any other has one of its own."""
    video = method.videos[video_id]
    predictions = shown_predictions(video, method.threshold)
    _, lines = video_timeline(video, predictions, method.pairs[video_id], method.threshold)
    return [(track, line.color) for track, line in zip(predictions, lines, strict=True)]


def _drawn(frames: dict[int, np.ndarray], tracks: Colored, video: Video) -> Iterator[np.ndarray]:
    """The tracks over each frame without its own colours, which would mix with theirs."""
    for t, frame in frames.items():
        grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        image = cv2.convertScaleAbs(grey, alpha=0.6, beta=60)
        # The best last, so that it lies above.
        for track, color in reversed(tracks):
            counts = track.counts[t]
            if counts is not None:
                rle = {"size": [video.height, video.width], "counts": counts.decode()}
                draw_mask(image, rle, track_color(color))
        yield image


def _row(name: str, note: str, images: Iterable[np.ndarray], style: str = "") -> str:
    cells = "".join(f'<td><img src="{_data_uri(x)}" alt=""></td>' for x in images)
    return f"<tr{style}><th>{escape(name)}<small>{note}</small></th>{cells}</tr>\n"


def _data_uri(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    if width > WIDTH:
        size = WIDTH, max(1, round(height * WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
