"""Results in YouTube-VIS's format."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import atomic_file


def as_results(
    video_id: int, output: dict[str, Any], to_dataset_id: dict[int, int]
) -> list[dict[str, Any]]:
    """A model's output for a video as entries of YouTube-VIS's results format.

    Args:
        video_id: the video's id in the data set.
        output: ``VideoTracks.as_dict()``.
        to_dataset_id: from category index to the data set's own category id.
    """
    tracks = zip(output["pred_labels"], output["pred_scores"], output["pred_masks"], strict=True)
    return [
        {
            "video_id": video_id,
            "category_id": to_dataset_id[label],
            "score": score,
            "segmentations": masks,
        }
        for label, score, masks in tracks
    ]


def write_entries(entries: Iterable[dict[str, Any]], path: Path) -> None:
    """Write a json list, one entry in memory at a time; the file is there when it is whole."""
    with atomic_file(path) as partial, partial.open("w") as file:
        file.write("[")
        for i, entry in enumerate(entries):
            file.write(",\n" if i else "")
            file.write(json.dumps(entry))
        file.write("]")


def write_results(results: list[dict[str, Any]], path: Path) -> None:
    """Write a results file, and a ``.zip`` of it alone beside it, each whole or not at all."""
    with atomic_file(path) as results_file:
        results_file.write_text(json.dumps(results))
        with (
            atomic_file(path.with_suffix(".zip")) as archive_file,
            zipfile.ZipFile(archive_file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            archive.write(results_file, path.name)
