"""Linking the same detections by several methods."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from torch import Tensor
from tqdm import tqdm

from maskprop_d2.data import build_test_loader
from maskprop_d2.errors import MissingWeightsError
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.modeling.options import segmenter_options
from maskprop_d2.structures import FrameOutput
from maskprop_d2.tracking import FrameNetwork
from maskprop_d2.ytvis.writing import tracks_to_results


class Replay(FrameNetwork):
    """A network that repeats given detections for every frame of a video.

    Attributes:
        outputs: the detections.
    """

    def __init__(self, network: FrameNetwork):
        """``network``: propagates masks."""
        self.outputs: list[FrameOutput] = []
        self.propagate = network.propagate
        self.mask_propagator = network.mask_propagator

    def detect_stream(self, batches: Iterable[Tensor]) -> Iterator[FrameOutput]:
        outputs = iter(self.outputs)
        for frames in batches:
            yield from islice(outputs, len(frames))


@torch.inference_mode()
def link_all(
    cfg: Any,
    network: FrameNetwork,
    dataset: str,
    settings: dict[str, list[str]],
    *,
    skip_missing: bool,
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float], list[str]]:
    """Detect once in each video of a dataset, and link the detections with each setting.

    Args:
        cfg: the whole config.
        network: the detector and the networks of the methods.
        dataset: name of the dataset.
        settings: config keys and values of each setting, by its name.
        skip_missing: skip settings whose weights are missing.

    Returns:
        results in YouTube-VIS format by setting; milliseconds per frame by setting, without the
        detector, and of the detector as "detector"; and a line about each skipped setting.

    Raises:
        MissingWeightsError: if weights are missing and ``skip_missing`` is False.
    """
    loader = build_test_loader(cfg, dataset)
    ids = MetadataCatalog.get(dataset).thing_dataset_id_to_contiguous_id
    to_dataset_id = {v: k for k, v in ids.items()}
    replay = Replay(network)
    segmenters = {}
    for name, overrides in settings.items():
        changed = cfg.clone()
        changed.merge_from_list(overrides)
        segmenters[name] = VideoSegmenter.from_options(replay, **segmenter_options(changed))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in settings}
    seconds = dict.fromkeys(["detector", *settings], 0.0)
    skipped: list[str] = []
    num_frames = 0
    for (video,) in tqdm(loader, desc=dataset, unit="video", disable=None):
        frames = list(video["frames"])
        num_frames += len(frames)
        start = time.perf_counter()
        batches = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
        batches = batches.split(cfg.MODEL.MASKPROP.FRAMES_PER_BATCH)
        replay.outputs = list(network.detect_stream(batches))
        seconds["detector"] += time.perf_counter() - start
        for name, segmenter in list(segmenters.items()):
            start = time.perf_counter()
            try:
                tracks = segmenter.segment(frames)
            except MissingWeightsError as error:
                if not skip_missing:
                    raise
                skipped.append(f"{name} is skipped: {error}, or in --weights {name}=FILE.")
                del segmenters[name], results[name]
                continue
            seconds[name] += time.perf_counter() - start
            results[name] += tracks_to_results(video["video_id"], tracks.as_dict(), to_dataset_id)
    return results, {name: 1000 * x / num_frames for name, x in seconds.items()}, skipped
