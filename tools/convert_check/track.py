#!/usr/bin/env python3
r"""
Compare MaskTrack R-CNN's memory and embedding head with mmtracking's own, on random sequences.

Prints the largest differences; `--output` records a few sequences for tests/mmdetection. Needs what
compare.py needs, and mmtracking's source. Its package is not installed: most of it is not imported.

    git clone --depth 1 --branch v0.14.0 https://github.com/open-mmlab/mmtracking MMTRACKING
    PYTHONPATH=OUTSIDE:. python tools/convert_check/track.py --mmtracking MMTRACKING \
        [--output tests/mmdetection/masktrack.npz]
"""

import argparse
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import compiled_operators

compiled_operators.install()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from maskprop_d2.networks.embedding import EmbeddingHead  # noqa: E402
from maskprop_d2.structures import Frame, FrameOutput  # noqa: E402
from maskprop_d2.tracking import build_tracker  # noqa: E402

CATEGORIES, DIMENSIONS, LENGTH, FC_DIM = 4, 8, 50, 16
HEIGHT, WIDTH = 256, 384


def main() -> None:
    """Print the largest differences, or write a recording."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--mmtracking", required=True, help="folder with mmtracking's source")
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--output", help="record three sequences in this file instead")
    args = parser.parse_args()
    import_mmtracking(Path(args.mmtracking))
    with torch.inference_mode():
        if args.output:
            sequences = [run(random_sequence(seed)) for seed in range(3)]
            np.savez_compressed(args.output, **pack(sequences), **random_regions(0))
            return
        compare_memories(args.sequences)
        recorded = {k: torch.from_numpy(x) for k, x in random_regions(1).items()}
        difference = (our_embeddings(recorded) - recorded["head_embeddings"]).abs().max()
        print(f"embeddings: {difference:.1e} of {recorded['head_embeddings'].max():.3g}")


def import_mmtracking(folder: Path) -> None:
    """Import the tracker and its head, without the rest of mmtracking."""
    for name in ("", ".core", ".core.track", ".models", ".models.trackers", ".models.track_heads"):
        module = ModuleType(f"mmtrack{name}")
        module.__path__ = [str(folder.joinpath("mmtrack", *name.split(".")))]
        sys.modules[module.__name__] = module
    from mmtrack.core.track.similarity import embed_similarity
    from mmtrack.models.builder import TRACKERS

    sys.modules["mmtrack.core"].embed_similarity = embed_similarity
    sys.modules["mmtrack.models"].TRACKERS = TRACKERS


def random_sequence(seed: int) -> list[dict[str, Tensor]]:
    """Detections of objects that move, hide for some frames or long, look alike, change category,
    and are found twice; with false detections, and a stretch of frames without any."""
    draw = np.random.default_rng(seed)
    count = 5
    # Of some objects so long that their appearance outweighs another category.
    looks = np.maximum(draw.normal(0, 1.2, (count, DIMENSIONS)), 0)
    looks *= draw.choice([1, 2], (count, 1))
    looks[1] = looks[0] + 0.1
    categories = draw.integers(0, CATEGORIES, count)
    corners, speeds = draw.uniform(0, 200, (count, 2)), draw.normal(0, 4, (count, 2))
    sides = draw.uniform(20, 90, (count, 2))
    hidden = draw.integers(0, LENGTH, count), draw.choice([3, 10, 19, 20, 21, 30], count)
    empty = draw.integers(5, 20), draw.choice([4, 25])
    frames = []
    for t in range(LENGTH):
        found = []
        for i in range(count):
            visible = not 0 <= t - hidden[0][i] < hidden[1][i] and draw.random() > 0.1
            times = int(visible) * draw.choice([1, 2, 3], p=[0.7, 0.2, 0.1])
            found += [(looks[i], categories[i], corners[i] + t * speeds[i], sides[i])] * times
        for _ in range(draw.choice([0, 1], p=[0.8, 0.2])):
            corner, side = draw.uniform(0, 200, 2), draw.choice([0.0, 40.0], 2)
            look = np.maximum(draw.normal(0, 1.2, DIMENSIONS), 0)
            found.append((look, draw.integers(CATEGORIES), corner, side))
        if 0 <= t - empty[0] < empty[1]:
            found = []
        draw.shuffle(found)
        rows: dict[str, list[Any]] = {"boxes": [], "scores": [], "labels": [], "embeddings": []}
        for look, category, corner, side in found:
            corner = corner + (draw.normal(0, 3, 2) if side.all() else 0)
            rows["boxes"].append([*corner, *(corner + side)])
            rows["scores"].append(draw.uniform(0.01, 1))
            rows["labels"].append(category if draw.random() < 0.85 else draw.integers(CATEGORIES))
            rows["embeddings"].append(np.maximum(look + draw.normal(0, 0.2, DIMENSIONS), 0))
        shapes = {"boxes": (4,), "scores": (), "labels": (), "embeddings": (DIMENSIONS,)}
        frame = {k: torch.tensor(np.array(rows[k])).reshape(-1, *x) for k, x in shapes.items()}
        frames.append({k: x.long() if k == "labels" else x.float() for k, x in frame.items()})
    return frames


def run(frames: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Add mmtracking's ``ids``, -1 for detections that it drops, and its matching ``table``,
    (N, 1 + Y), whose first column is for a new object; it is empty if nothing is remembered."""
    from mmtrack.models.track_heads.roi_embed_head import RoIEmbedHead
    from mmtrack.models.trackers.masktrack_rcnn_tracker import MaskTrackRCNNTracker

    tables: list[Tensor] = []

    class Recorder(MaskTrackRCNNTracker):
        def get_match_score(self, *args: Any) -> Tensor:
            tables.append(super().get_match_score(*args))
            return tables[-1]

    # As in all published configs.
    tracker = Recorder(
        match_weights={"det_score": 1.0, "iou": 2.0, "det_label": 10.0}, num_frames_retain=20
    )
    # Without layers it takes embeddings as they are.
    embed_head = RoIEmbedHead(num_fcs=0)
    track_head = SimpleNamespace(
        extract_roi_feats=lambda x, _: (x, None),
        simple_test=lambda x, y: embed_head(x, y, [len(x)], [len(y)])[0],
    )
    recorded = []
    for t, frame in enumerate(frames):
        tables.clear()
        number = len(frame["scores"])
        *_, rows, kept = tracker.track(
            img=None,
            img_metas=None,
            model=SimpleNamespace(track_head=track_head),
            feats=frame["embeddings"],
            bboxes=torch.cat([frame["boxes"], frame["scores"][:, None]], 1),
            labels=frame["labels"],
            # It returns the masks of those that it keeps.
            masks=torch.arange(number),
            frame_id=t,
        )
        ids = torch.full((number,), -1)
        ids[rows] = kept
        table = tables[0] if tables else torch.zeros(number, 0)
        recorded.append({**frame, "ids": ids, "table": table})
    return recorded


def pack(sequences: list[list[dict[str, Tensor]]]) -> dict[str, np.ndarray]:
    """All frames in one array for each name; ``counts`` holds N and the columns of ``table``."""
    frames = [frame for sequence in sequences for frame in sequence]
    arrays = {k: torch.cat([x[k].flatten() for x in frames]).numpy() for k in frames[0]}
    arrays["counts"] = np.array([x["table"].shape for x in frames])
    arrays["lengths"] = np.array([len(x) for x in sequences])
    return arrays


def compare_memories(number: int) -> None:
    """Print how often ids differ, and the largest difference of matching scores."""
    detections, differing, dropped, shared, largest, highest = 0, 0, 0, 0, 0.0, 0.0
    for seed in range(number):
        tracker = build_tracker("masktrack", None, variant="mmtracking")
        for t, x in enumerate(run(random_sequence(seed))):
            frame = Frame(t, None, our_output(x))
            if x["table"].numel():
                known, new = tracker.scores(frame.output)
                table = torch.cat([new[:, None], known], 1)
                if table.shape != x["table"].shape:
                    print(f"sequence {seed}, frame {t}: {table.shape} and {x['table'].shape}")
                    differing += len(table)
                    break
                largest = max(largest, float((table - x["table"]).abs().max()))
                highest = max(highest, float(table.abs().max()))
            expected = last_of_each(x["ids"].tolist())
            ours = [-1 if y is None else y for y in tracker.link(frame)]
            detections += len(ours)
            differing += sum(a != b for a, b in zip(ours, expected, strict=True))
            dropped += x["ids"].tolist().count(-1)
            shared += sum(a != b for a, b in zip(x["ids"].tolist(), expected, strict=True))
    print(
        f"{detections} detections in {number} sequences: {differing} ids differ, matching scores "
        f"by up to {largest:.1e} of {highest:.3g}; {dropped} are dropped by both, {shared} share "
        "the id of a better one in mmtracking and are dropped here"
    )


def last_of_each(ids: list[int]) -> list[int]:
    """-1 for an id that a later detection of the frame, a better one, has too."""
    return [-1 if x in ids[i + 1 :] else x for i, x in enumerate(ids)]


def our_output(x: dict[str, Tensor]) -> FrameOutput:
    """The detections as this project's network gives them."""
    class_scores = torch.eye(CATEGORIES + 1)[x["labels"]]
    masks = torch.zeros(len(x["boxes"]), 1, 1)
    output = FrameOutput(x["boxes"], x["scores"], class_scores, masks, masks, torch.zeros(4))
    output.embeddings = x["embeddings"]
    return output


def random_regions(seed: int) -> dict[str, np.ndarray]:
    """A pyramid, regions, weights, and the embeddings of mmtracking's head with them."""
    from mmtrack.models.track_heads.roi_track_head import RoITrackHead

    generator = torch.Generator().manual_seed(seed)
    head = RoITrackHead(
        roi_extractor={
            "type": "SingleRoIExtractor",
            "roi_layer": {"type": "RoIAlign", "output_size": 7, "sampling_ratio": 0},
            "out_channels": 1,
            "featmap_strides": [4, 8, 16, 32],
        },
        embed_head={
            "type": "RoIEmbedHead",
            "num_fcs": 2,
            "roi_feat_size": 7,
            "in_channels": 1,
            "fc_out_channels": FC_DIM,
        },
    )
    arrays = {}
    for i, layer in enumerate(head.embed_head.fcs):
        for name, value in layer.named_parameters():
            std = 1.0 if value.dim() == 1 else (2 / value.shape[1]) ** 0.5
            value.copy_((torch.randn(value.shape, generator=generator) * std).half())
            arrays[f"head_{name}_{i}"] = value.numpy()
    sizes = [(HEIGHT >> i, WIDTH >> i) for i in range(2, 6)]
    # Stored in 16 bits.
    levels = [torch.randn(1, 1, *x, generator=generator).half() for x in sizes]
    arrays |= {f"p{i}": x.numpy() for i, x in enumerate(levels, 2)}
    corners = torch.rand(12, 2, generator=generator) * torch.tensor([WIDTH / 2, HEIGHT / 2])
    sides = torch.rand(12, 2, generator=generator) ** 2 * 250 + 4
    boxes = torch.cat([corners, corners + sides], 1)
    regions, _ = head.extract_roi_feats([x.float() for x in levels], [boxes])
    (embeddings,) = head.embed_head._forward(regions, [len(boxes)])
    return {**arrays, "head_boxes": boxes.numpy(), "head_embeddings": embeddings.numpy()}


def our_embeddings(x: dict[str, Tensor]) -> Tensor:
    """This project's embeddings for what ``random_regions`` returns."""
    names = [f"p{i}" for i in range(2, 6)]
    head = EmbeddingHead(
        levels=names, stride=4, in_channels=1, resolution=7, fc_dim=FC_DIM, variant="mmtracking"
    )
    for i, layer in enumerate((head.layers[1], head.layers[3])):
        layer.load_state_dict({k: x[f"head_{k}_{i}"] for k in ("weight", "bias")})
    return head({name: x[name] for name in names}, [x["head_boxes"]])[0]


if __name__ == "__main__":
    main()
