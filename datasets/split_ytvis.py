#!/usr/bin/env python3
"""Hold out some training videos for validation, since the annotations of the public validation
sets are hidden.

    python datasets/split_ytvis.py --dataset ytvis_2019 --fraction 0.1 --seed 1

writes train_split.json and val_split.json into the dataset's folder: the datasets
ytvis_2019_train_split and ytvis_2019_val_split. With --json they are written next to that file.
The split depends only on the video ids, the fraction and the seed.
"""

import argparse
import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.ytvis import check_ground_truth, load_json
from maskprop_d2.ytvis.layout import data_set_folder, find_split
from maskprop_d2.ytvis.writing import write_json_files


def hold_out(categories_of: dict[int, set[int]], fraction: float, seed: int) -> set[int]:
    """Choose videos such that each category, and the total, has its share of them, at least one.

    The categories choose the videos they lack one after the other, the rarest first. Videos that
    would leave a category without training videos, or whose categories have enough videos already,
    are chosen last. Ties are broken by a hash, which is the same on every machine.

    Args:
        categories_of: the categories in each video, by video id.
        fraction: of the videos of each category.
        seed: changes the split.

    Returns:
        the ids of the chosen videos.
    """
    # None is a category that all videos have: it stands for the total.
    labels_of = {video: {*labels, None} for video, labels in categories_of.items()}
    videos_of = defaultdict(set)
    for video, labels in labels_of.items():
        for label in labels:
            videos_of[label].add(video)
    # At least one for validation, but not the last one for training.
    wanted = {
        label: min(max(round(fraction * len(videos)), 1), len(videos) - 1)
        for label, videos in videos_of.items()
    }

    def cost(video: int) -> tuple[bool, int, bytes]:
        labels = labels_of[video]
        used_up = any(taken[x] + 1 == len(videos_of[x]) for x in labels)
        return used_up, sum(taken[x] >= wanted[x] for x in labels), rank[video]

    rank = {x: hashlib.sha256(f"{seed}:{x}".encode()).digest() for x in labels_of}
    chosen: set[int] = set()
    taken: Counter = Counter()
    for label in sorted(videos_of, key=lambda x: (x is None, len(videos_of[x]), x)):
        while taken[label] < wanted[label]:
            video = min(videos_of[label] - chosen, key=cost)
            chosen.add(video)
            taken.update(labels_of[video])
    return chosen


def split(args: argparse.Namespace) -> None:
    """Read, split, write and print the counts.

    Raises:
        AnnotationError: if the file cannot be used, or another split exists.
    """
    source, folder = args.json, args.json and args.json.parent
    if args.dataset:
        folder = data_set_folder(args.dataset)
        source = Path(find_split(folder, "train")[0])
    data = load_json(source)
    check_ground_truth(data, source)
    annotations = data.get("annotations") or []
    if not annotations or len(data["videos"]) < 2:
        raise AnnotationError(f"{source} needs annotations and at least two videos")
    categories_of: dict[int, set[int]] = {video["id"]: set() for video in data["videos"]}
    for annotation in annotations:
        categories_of[annotation["video_id"]].add(annotation["category_id"])
    val = hold_out(categories_of, args.fraction, args.seed)
    how = {"of": source.name, "fraction": args.fraction, "seed": args.seed}
    files = {
        folder / "train_split.json": {**_part(data, categories_of.keys() - val), "split": how},
        folder / "val_split.json": {**_part(data, val), "split": how},
    }
    for path, part in files.items():
        if path.exists() and load_json(path) != json.loads(json.dumps(part)):
            raise AnnotationError(
                f"{path} is another split: a model trained on it must not be evaluated on the new "
                "one. To replace it, remove it first"
            )
    write_json_files(files)
    _print_counts(data, categories_of, val)
    print(f"wrote {' and '.join(map(str, files))}")


def _part(data: dict[str, Any], videos: set[int]) -> dict[str, Any]:
    """The file with only these videos, in the same order."""
    return {
        **data,
        "videos": [x for x in data["videos"] if x["id"] in videos],
        "annotations": [x for x in data["annotations"] if x["video_id"] in videos],
    }


def _print_counts(data: dict[str, Any], categories_of: dict[int, set[int]], val: set[int]) -> None:
    print(f"{'videos with':<24}{'train':>8}{'val':>8}")
    for category in sorted(data["categories"], key=lambda x: x["id"]):
        videos = {x for x, seen in categories_of.items() if category["id"] in seen}
        print(f"{category['name']:<24}{len(videos - val):>8}{len(videos & val):>8}")
    print(f"{'all':<24}{len(categories_of) - len(val):>8}{len(val):>8}")


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--dataset",
        choices=["ytvis_2019", "ytvis_2021", "ovis"],
        help="a dataset in $DETECTRON2_DATASETS",
    )
    source.add_argument("--json", type=Path, help="any annotation file in YouTube-VIS format")
    parser.add_argument(
        "--fraction", type=float, default=0.1, help="of videos to hold out (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    args = parser.parse_args(argv)
    if not 0 < args.fraction < 1:
        parser.error(f"--fraction must be between 0 and 1, not {args.fraction}")
    run_command(lambda: split(args))


if __name__ == "__main__":
    main()
