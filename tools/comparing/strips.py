"""Film strips, like Figure 7 of the paper, of the videos in which the methods differ most.

They differ by IDF1, which counts the drawn masks frame by frame and falls with every change of
identity. AP of a single video also depends on tracks whose scores are too low to be drawn.
"""

import base64
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np

from maskprop_d2.evaluation.page_data import shown_predictions, video_name
from maskprop_d2.evaluation.timeline import video_timeline
from maskprop_d2.evaluation.tracks import Track, Video
from maskprop_d2.files import atomic_file
from maskprop_d2.video.drawing import draw_mask, track_color
from maskprop_d2.video.images import read_image

from .scoring import Scored

MAX_VIDEOS = 5
NUM_FRAMES = 8
MAX_WIDTH = 240
"""Width in pixels to which wider frames are reduced."""

PAGE = Path(__file__).with_name("strips.html")

ColoredTracks = list[tuple[Track, int]]
"""Tracks of one video and the indices of their colours."""


def write_strips(
    ground_truth: dict[str, Any],
    scored: dict[str, Scored],
    image_root: Path,
    dataset: str,
    path: Path,
) -> None:
    """Write an HTML page, with images included.

    Args:
        ground_truth: annotations in YouTube-VIS format.
        scored: at least two methods, by name.
        image_root: the folder that ``file_names`` are relative to.
        dataset: name of the dataset.
        path: where to write the page.

    Raises:
        VideoError: if a frame cannot be read.
    """
    entries = {x["id"]: x for x in ground_truth["videos"]}
    videos = [_video_html(entries[x], scored, image_root) for x in most_different(scored)]
    page = Template(PAGE.read_text(encoding="utf-8")).substitute(
        dataset=escape(dataset),
        videos="\n".join(videos) or "<p>All methods are equally good in every video.</p>",
    )
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def most_different(scored: dict[str, Scored]) -> list[int]:
    """The ids of up to ``MAX_VIDEOS`` videos in which IDF1 differs most between the methods."""
    deviations = {
        video_id: float(np.std([x.identity(video_id)["IDF1"] for x in scored.values()]))
        for video_id in next(iter(scored.values())).videos
    }
    order = sorted(deviations, key=lambda x: -deviations[x])
    return [x for x in order if deviations[x] > 0][:MAX_VIDEOS]


def _video_html(entry: dict[str, Any], scored: dict[str, Scored], image_root: Path) -> str:
    names = entry["file_names"]
    indices = sorted({round(t) for t in np.linspace(0, len(names) - 1, NUM_FRAMES)})
    frames = {t: read_image(str(image_root / names[t])) for t in indices}
    identity = {name: x.identity(entry["id"]) for name, x in scored.items()}
    best = max(x["IDF1"] for x in identity.values())
    video = next(iter(scored.values())).videos[entry["id"]]
    objects = [(x, i) for i, x in enumerate(x for x in video.truth if not x.is_crowd)]
    rows = [
        _row_html("frames", "", frames.values()),
        _row_html("ground truth", "", _draw(frames, objects, video)),
    ]
    for name, method in scored.items():
        figures = identity[name]
        note = f"IDF1 {figures['IDF1']:.1f}, ID switches: {figures['ID_switches']}"
        style = ' class="best"' if figures["IDF1"] == best else ""
        tracks = colored_predictions(method, entry["id"])
        rows.append(_row_html(name, note, _draw(frames, tracks, video), style))
    head = "".join(f"<th>frame {t}</th>" for t in indices)
    return (
        f"<h2>{escape(video_name(entry))}</h2>\n<table>\n<thead><tr><th></th>{head}</tr></thead>\n"
        f"<tbody>\n{''.join(rows)}</tbody>\n</table>"
    )


def colored_predictions(method: Scored, video_id: int) -> ColoredTracks:
    """The drawn predictions. Objects have the colours 0, 1, ... Each object gives its colour to the
    prediction that finds it in most frames; other predictions have colours of their own."""
    video = method.videos[video_id]
    predictions = shown_predictions(video, method.threshold)
    _, lines = video_timeline(video, predictions, method.pairs[video_id], method.threshold)
    return [(track, line.color) for track, line in zip(predictions, lines, strict=True)]


def _draw(
    frames: dict[int, np.ndarray], tracks: ColoredTracks, video: Video
) -> Iterator[np.ndarray]:
    """Draw tracks over gray frames, whose colours would mix with those of the tracks."""
    for t, frame in frames.items():
        gray = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        image = cv2.convertScaleAbs(gray, alpha=0.6, beta=60)
        # Tracks are sorted by score: the best one is drawn on top.
        for track, color in reversed(tracks):
            counts = track.counts[t]
            if counts is not None:
                rle = {"size": [video.height, video.width], "counts": counts.decode()}
                draw_mask(image, rle, track_color(color))
        yield image


def _row_html(name: str, note: str, images: Iterable[np.ndarray], style: str = "") -> str:
    cells = "".join(f'<td><img src="{_data_uri(x)}" alt=""></td>' for x in images)
    return f"<tr{style}><th>{escape(name)}<small>{note}</small></th>{cells}</tr>\n"


def _data_uri(image: np.ndarray) -> str:
    height, width = image.shape[:2]
    if width > MAX_WIDTH:
        size = MAX_WIDTH, max(1, round(height * MAX_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"
