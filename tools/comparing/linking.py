"""Linking the same detections by one method after the other."""

import sys
import time
from collections.abc import Iterable, Iterator
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
from maskprop_d2.tracking import FrameNetwork, MaskPropagator
from maskprop_d2.ytvis.writing import tracks_to_results


class Replay(FrameNetwork):
    """A network that detects in each video once, and then gives the same detections again."""

    def __init__(self, network: FrameNetwork):
        self._network = network
        self._outputs: list[FrameOutput] = []
        self._next = 0

    def next_video(self, batches: Iterable[Tensor]) -> None:
        """Detect in all frames of a video, in place of the one before."""
        self._outputs = list(self._network.detect_stream(batches))
        self._next = 0

    def rewind(self) -> None:
        """Back to the first frame."""
        self._next = 0

    def detect(self, frames: Tensor) -> list[FrameOutput]:
        """What was detected in the next so many frames."""
        start, self._next = self._next, self._next + len(frames)
        return self._outputs[start : self._next]

    def propagate(self, source: FrameOutput, targets: list[FrameOutput]) -> Tensor:
        """See ``FrameNetwork.propagate``."""
        return self._network.propagate(source, targets)

    def mask_propagator(self, method: str) -> MaskPropagator:
        """See ``FrameNetwork.mask_propagator``."""
        return self._network.mask_propagator(method)


def in_batches(frames: list[np.ndarray], size: int) -> Iterator[Tensor]:
    """(H, W, 3) frames as a network takes them, ``size`` at a time: (B, 3, H, W)."""
    for i in range(0, len(frames), size):
        yield torch.from_numpy(np.stack(frames[i : i + size])).permute(0, 3, 1, 2)


@torch.inference_mode()
def link_all(
    cfg: Any,
    network: FrameNetwork,
    dataset: str,
    compared: dict[str, list[str]],
    *,
    may_leave_out: bool,
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float], list[str]]:
    """Run each setting over the whole data set.

    Args:
        cfg: the whole config.
        network: what detects, with all that the methods need of their own.
        dataset: the name of the data set.
        compared: config keys and values of each setting, by its name.
        may_leave_out: whether to go on without those whose weights are missing.

    Returns:
        by setting, the results in YouTube-VIS's format, and the milliseconds a frame of all that
        follows the detector; also of the detector itself, as "detector". Then a line on each
        setting that is left out.

    Raises:
        MissingWeightsError: if one would be left out that may not.
    """
    loader = build_test_loader(cfg, dataset)
    ids = MetadataCatalog.get(dataset).thing_dataset_id_to_contiguous_id
    to_dataset_id = {v: k for k, v in ids.items()}
    replay = Replay(network)
    segmenters = {}
    for name, overrides in compared.items():
        changed = cfg.clone()
        changed.merge_from_list(overrides)
        segmenters[name] = VideoSegmenter.from_options(replay, **segmenter_options(changed))
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in compared}
    seconds = dict.fromkeys(["detector", *compared], 0.0)
    left_out: list[str] = []
    frames_seen = 0
    for (video,) in tqdm(loader, desc=dataset, unit="video", disable=not sys.stderr.isatty()):
        frames = list(video["frames"])
        frames_seen += len(frames)
        start = time.perf_counter()
        replay.next_video(in_batches(frames, cfg.MODEL.MASKPROP.FRAMES_PER_BATCH))
        seconds["detector"] += time.perf_counter() - start
        for name, segmenter in list(segmenters.items()):
            replay.rewind()
            start = time.perf_counter()
            try:
                tracks = segmenter.segment(frames)
            except MissingWeightsError as error:
                if not may_leave_out:
                    raise
                left_out.append(f"{name} is left out: {error}, or in --weights {name}=FILE.")
                del segmenters[name], results[name]
                continue
            seconds[name] += time.perf_counter() - start
            results[name] += tracks_to_results(video["video_id"], tracks.as_dict(), to_dataset_id)
    return results, {name: 1000 * x / frames_seen for name, x in seconds.items()}, left_out
