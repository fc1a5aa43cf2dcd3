#!/usr/bin/env python3
"""Convert tracks in YouTube-VIS format to folders of the Cell Tracking Challenge.

    python datasets/convert_to_ctc.py --annotations datasets/hela/val.json --border 25 \\
        --results output/maskprop_hela/inference/results.json --output ctc

writes ctc/01_RES/mask000.tif, ... and res_track.txt for the video with frames in a folder "01".
Without --results, the annotations become ctc/01_GT/TRA and ctc/01_GT/SEG.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from ctc_files import CellTrack, write_tracks

from maskprop_d2.commands.arguments import at_least
from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.evaluation.predictions import describe, read_predictions
from maskprop_d2.evaluation.tracks import Track, Video, read_videos
from maskprop_d2.files import atomic_folder
from maskprop_d2.ops.rle import decode_box
from maskprop_d2.video.id_masks import MAX_ID
from maskprop_d2.ytvis import iterate_json, load_json
from maskprop_d2.ytvis.checks import is_id
from maskprop_d2.ytvis.problems import ProblemReport


class Lineage(NamedTuple):
    """Tracks as the challenge takes them: without gaps.

    Attributes:
        tracks: the lines of ``res_track.txt``.
        labels: the label in it by track and frame.
    """

    tracks: list[CellTrack]
    labels: dict[tuple[int, int], int]


def split_at_gaps(seen: dict[int, list[int]], parents: dict[int, int]) -> Lineage:
    """Give the part of a track after a gap a label of its own, with the part before as its parent.

    Args:
        seen: by track, the frames in which it is seen, in order.
        parents: by track, the track that divided.
    """
    lineage = Lineage([], {})
    last_label: dict[int, int] = {}
    # Parents come before their daughters.
    for track in sorted(seen, key=lambda x: seen[x][0]):
        parent = last_label.get(parents.get(track, -1), 0)
        frames = np.array(seen[track])
        for run in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1):
            label = len(lineage.tracks) + 1
            lineage.tracks.append(CellTrack(label, int(run[0]), int(run[-1]), parent))
            lineage.labels.update(((track, t), label) for t in run.tolist())
            parent = label
        last_label[track] = parent
    return lineage


def draw_tracks(tracks: list[Track], video: Video, t: int) -> np.ndarray:
    """(H, W) int32: the index of each pixel's track in frame t plus 1, 0 for none. Where masks
    overlap, the better score wins."""
    image = np.zeros((video.height, video.width), np.int32)
    for i in sorted(range(len(tracks)), key=lambda i: tracks[i].score):
        counts = tracks[i].counts[t]
        if counts is not None:
            size = [video.height, video.width]
            x0, y0, mask = decode_box({"size": size, "counts": counts.decode()})
            image[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]][mask] = i + 1
    return image


def label_images(
    tracks: list[Track], parents: dict[int, int], video: Video
) -> tuple[list[CellTrack], Iterator[np.ndarray]]:
    """The lines of ``res_track.txt``, and an (H, W) uint16 label image for each frame.

    Raises:
        AnnotationError: if there are more tracks than labels.
    """
    seen: dict[int, list[int]] = {}
    for t in range(video.length):
        for value in np.unique(draw_tracks(tracks, video, t)).tolist():
            if value:
                seen.setdefault(value - 1, []).append(t)
    lineage = split_at_gaps(seen, parents)
    if len(lineage.tracks) > MAX_ID:
        raise AnnotationError(
            f"video {video.id} has {len(lineage.tracks)} tracks, but label images have at most "
            f"{MAX_ID} labels"
        )

    def draw() -> Iterator[np.ndarray]:
        for t in range(video.length):
            table = np.zeros(len(tracks) + 1, np.uint16)
            for i in range(len(tracks)):
                table[i + 1] = lineage.labels.get((i, t), 0)
            yield table[draw_tracks(tracks, video, t)]

    return lineage.tracks, draw()


def parent_indices(tracks: list[tuple[Any, Any]]) -> dict[int, int]:
    """By index of a track, the index of its parent.

    Args:
        tracks: for each track its id and that of its parent, if they have one.
    """
    index = {own: i for i, (own, _) in enumerate(tracks) if is_id(own)}
    return {i: index[p] for i, (_, p) in enumerate(tracks) if is_id(p) and p in index}


def write_video(folder: Path, names: list[str], track_file: str, lineage: Any, border: int) -> None:
    """Write label images and the list of tracks.

    Args:
        folder: where to.
        names: the names of the images before the number, each set written once.
        track_file: name of the list, in the folder of the first set.
        lineage: from ``label_images``.
        border: pixels to add at each edge.
    """
    tracks, images = lineage
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for t, image in enumerate(images):
        image = np.pad(image, border)
        for name in names:
            cv2.imwrite(str(folder / f"{name}{t:03d}.tif"), image)
    write_tracks((folder / names[0]).parent / track_file, tracks)


def read_results(
    path: Path, data: dict[str, Any], videos: dict[int, Video]
) -> dict[int, list[tuple[Any, Any]]]:
    """Read the predictions of a results file into ``videos``, those of the annotations ``data``.

    Returns:
        for each prediction of a video its id and that of its parent, by the id of the video.

    Raises:
        AnnotationError: if it cannot be used, or does not match the annotations.
    """
    category_ids = {x["id"] for x in data["categories"]}
    report = ProblemReport()
    for video, track in read_predictions(iterate_json(path), videos, category_ids, report):
        video.predictions.append(track)
    if report.counts:
        raise AnnotationError(f"{path}: {'; '.join(describe(report))}")
    ids: dict[int, list[tuple[Any, Any]]] = {video_id: [] for video_id in videos}
    for entry in iterate_json(path):
        ids[entry["video_id"]].append((entry.get("track_id"), entry.get("parent_id")))
    return ids


def convert(args: argparse.Namespace) -> None:
    """Read, convert and write.

    Raises:
        AnnotationError: if a file cannot be used.
    """
    data = load_json(args.annotations)
    videos = read_videos(data, args.annotations)
    folders = {x["id"]: Path(x["file_names"][0]).parent.name for x in data["videos"]}
    counts = Counter(folders.values())
    ids = read_results(args.results, data, videos) if args.results else {}
    args.output.mkdir(parents=True, exist_ok=True)
    for video in videos.values():
        name = folders[video.id] if counts[folders[video.id]] == 1 else f"{video.id:02d}"
        if args.results:
            folder, names, track_file = f"{name}_RES", ["mask"], "res_track.txt"
            pairs = zip(video.predictions, ids[video.id], strict=True)
            kept = [x for x in pairs if x[0].score >= args.score_threshold]
            parents = parent_indices([x[1] for x in kept])
            lineage = label_images([x[0] for x in kept], parents, video)
        else:
            folder, track_file = f"{name}_GT", "man_track.txt"
            names = ["TRA/man_track", "SEG/man_seg"]
            tracks = [x for x in data["annotations"] if x["video_id"] == video.id]
            parents = parent_indices([(x.get("label"), x.get("parent")) for x in tracks])
            lineage = label_images(video.truth, parents, video)
        with atomic_folder(args.output / folder) as partial:
            write_video(partial, names, track_file, lineage, args.border)
        print(f"Wrote {args.output / folder}: {video.length} frames, {len(lineage[0])} tracks")


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", type=Path, required=True, help="json file")
    parser.add_argument("--results", type=Path, help="json file (default: the annotations)")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument(
        "--border",
        type=at_least(0),
        default=0,
        metavar="E",
        help="add this many pixels at each edge: the --border of convert_ctc.py",
    )
    parser.add_argument(
        "--score-threshold",
        type=float,
        default=0.0,
        metavar="X",
        help="drop tracks with a lower score (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
