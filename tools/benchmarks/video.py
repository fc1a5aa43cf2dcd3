"""What video costs beyond its frames: the detector alone, frame by frame, as Detectron2's own
predictor runs it; our detector pass, batched; and the whole of MaskProp, split by stage.

The weights are random (time does not depend on them), and each frame has a fixed number of
detections. Each of the three runs in a process of its own, which tells its peak memory."""

import argparse
import multiprocessing
import resource
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from benchmarking import seconds
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model

from maskprop_d2.engine import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The model and the video."""
    parser.add_argument("--config-file", default="configs/youtubevis_2019/maskprop_R_50_FPN.yaml")
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each of the three."""
    rows: list[dict[str, Any]] = []
    for measure in (predictor, detector_pass, whole):
        context = multiprocessing.get_context("spawn")
        with context.Pool(1) as pool:
            row = pool.apply(measured, (measure, args))
        row["to_predictor"] = row["ms_a_frame"] / (rows[0] if rows else row)["ms_a_frame"]
        rows.append(row)
        print("  ".join(f"{k} {v:.4g}" if k != "what" else v for k, v in row.items()), flush=True)
    return rows


def measured(measure: Callable[..., Any], args: argparse.Namespace) -> dict[str, Any]:
    """Run one of the three several times, after once to warm up."""
    # The size of the video is the size that the network sees.
    size = [str(min(args.height, args.width)), str(max(args.height, args.width))]
    options = [
        *("MODEL.WEIGHTS", ""),
        *("INPUT.MIN_SIZE_TEST", size[0], "INPUT.MAX_SIZE_TEST", size[1]),
        *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0", "MODEL.MASKPROP.DUPLICATE_THRESH", "1.0"),
        *("TEST.DETECTIONS_PER_IMAGE", str(args.instances)),
    ]
    cfg = load_config(args.config_file, [*options, *args.opts])
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (args.frames, args.height, args.width, 3), dtype=np.uint8))
    torch.manual_seed(0)
    step = measure(cfg)
    stages: dict[str, list[float]] = defaultdict(list)
    step(frames[:2])
    for _ in range(args.repeats):
        start = seconds()
        split = step(frames)
        stages["ms_a_frame"].append(seconds() - start)
        for stage, taken in split.items():
            stages[stage].append(taken)
    return {
        "what": measure.__name__,
        "threads": torch.get_num_threads(),
        **{k: 1000 * statistics.median(v) / args.frames for k, v in stages.items()},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        # 0 without a GPU.
        "gpu_peak_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


def predictor(cfg: Any) -> Callable[[list[np.ndarray]], dict[str, float]]:
    """Detectron2's own, with masks at the size of the frame."""
    cfg = cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    predict = DefaultPredictor(cfg)

    def step(frames: list[np.ndarray]) -> dict[str, float]:
        for frame in frames:
            predict(frame)
        return {}

    return step


def detector_pass(cfg: Any) -> Callable[[list[np.ndarray]], dict[str, float]]:
    """Frames in batches through backbone, RPN and heads, and all that is computed once a frame
    for propagation; masks on the grid only."""
    model = build_model(cfg).eval()
    size = cfg.MODEL.MASKPROP.FRAMES_PER_BATCH

    @torch.inference_mode()
    def step(frames: list[np.ndarray]) -> dict[str, float]:
        starts = range(0, len(frames), size)
        batches = (torch.from_numpy(np.stack(frames[i : i + size])) for i in starts)
        for _ in model.detect_stream(x.permute(0, 3, 1, 2) for x in batches):
            pass
        return {}

    return step


def whole(cfg: Any) -> Callable[[list[np.ndarray]], dict[str, float]]:
    """From frames to finished masks."""
    segmenter = build_model(cfg).eval().segmenter

    def step(frames: list[np.ndarray]) -> dict[str, float]:
        taken: dict[str, float] = defaultdict(float)
        stream = segmenter.stream(frames)
        stages = {
            "detect": (segmenter.network, "detect_stream", timed_items),
            "propagate": (segmenter.network, "propagate", timed),
            "link": (stream, "_track", timed),
            "finish": (stream, "_finish_next", timed),
        }
        with ExitStack() as stack:
            for stage, (owner, method, measured) in stages.items():
                run = measured(getattr(owner, method), stage, taken)
                stack.enter_context(mock.patch.object(owner, method, run))
            for _ in stream:
                pass
        # The tracking method has the masks propagated.
        taken["link"] -= taken["propagate"]
        return {f"{stage}_ms": taken[stage] for stage in stages}

    return step


def timed(run: Callable[..., Any], stage: str, taken: dict[str, float]) -> Callable[..., Any]:
    """The same function, which adds what it takes to ``taken[stage]``."""

    def run_timed(*args: Any) -> Any:
        start = seconds()
        result = run(*args)
        taken[stage] += seconds() - start
        return result

    return run_timed


def timed_items(
    run: Callable[..., Iterator[Any]], stage: str, taken: dict[str, float]
) -> Callable[..., Iterator[Any]]:
    """The same for a function that gives an iterator: the time that its items take."""
    return lambda *args: iter(timed(partial(next, run(*args), None), stage, taken), None)
