#!/usr/bin/env python3
"""Cut annotations and results into tiles, to evaluate videos with very many objects.

    python datasets/cut_tiles.py --annotations datasets/hela/val.json --tile 350 --output tiles \\
        --results output/maskprop_hela/inference/results.json
    maskprop evaluate tiles/annotations.json tiles/results.json --hota

Video AP counts the best 100 tracks of a video and category, so that a video with 264 cells cannot
have more than AP 38. Each tile is a video of its own. Its frames are not cut.
"""

import argparse
from pathlib import Path
from typing import Any

from convert_to_ctc import read_results
from windows import Window, make_windows

from maskprop_d2.commands.arguments import at_least
from maskprop_d2.errors import run_command
from maskprop_d2.evaluation.tracks import Track, Video, read_videos
from maskprop_d2.ops.rle import decode, encode
from maskprop_d2.ytvis import load_json
from maskprop_d2.ytvis.writing import track_fields, write_json_files


def cut_mask(rle: dict[str, Any] | None, window: Window) -> dict[str, Any] | None:
    """The RLE of the part of a mask in a window, None if there is none."""
    part = window.cut(decode(rle)) if rle else None
    return encode(part) if part is not None and part.any() else None


def cut_tracks(tracks: list[Track], video: Video, window: Window) -> list[dict[str, Any]]:
    """Entries of the tracks that are seen in a window."""
    size = [video.height, video.width]
    entries = []
    for track in tracks:
        rles = [c and {"size": size, "counts": c.decode()} for c in track.counts]
        parts = [cut_mask(rle, window) for rle in rles]
        if any(parts):
            fields = track_fields(parts)
            entries.append({"category_id": track.category_id, "score": track.score, **fields})
    return entries


def convert(args: argparse.Namespace) -> None:
    """Read, cut and write.

    Raises:
        AnnotationError: if a file cannot be used.
    """
    data = load_json(args.annotations)
    videos = read_videos(data, args.annotations)
    read_results(args.results, data, videos)
    names = {x["id"]: x["file_names"] for x in data["videos"]}
    tiles, truth, results = [], [], []
    for video in videos.values():
        for window in make_windows(f"video {video.id}", video.height, video.width, 0, args.tile):
            entry = {"id": len(tiles) + 1, "height": args.tile, "width": args.tile}
            tiles.append({**entry, "file_names": names[video.id], "length": video.length})
            video_id = {"video_id": len(tiles)}
            truth += [{**video_id, **x} for x in cut_tracks(video.truth, video, window)]
            results += [{**video_id, **x} for x in cut_tracks(video.predictions, video, window)]
    truth = [{"id": i, "iscrowd": 0, **x} for i, x in enumerate(truth, start=1)]
    annotations = {"videos": tiles, "categories": data["categories"], "annotations": truth}
    args.output.mkdir(parents=True, exist_ok=True)
    write_json_files(
        {args.output / "annotations.json": annotations, args.output / "results.json": results}
    )
    print(f"Wrote {args.output}: {len(tiles)} tiles, {len(truth)} objects, {len(results)} tracks")


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--annotations", type=Path, required=True, help="json file")
    parser.add_argument("--results", type=Path, required=True, help="json file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--tile", type=at_least(1), required=True, metavar="SIDE", help="in pixels")
    args = parser.parse_args(argv)
    run_command(lambda: convert(args))


if __name__ == "__main__":
    main()
