"""Time and memory per frame of three programs: Detectron2's predictor, frame by frame; our
detector alone, in batches; and all of MaskProp, also by stage.

The weights are random, and each frame has a fixed number of detections. Each program runs in its
own process, which reports its peak memory."""

import argparse
import multiprocessing
import resource
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.clock import seconds
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
    """One row per program."""
    rows: list[dict[str, Any]] = []
    context = multiprocessing.get_context("forkserver")
    # Import once for all programs.
    context.set_forkserver_preload([__name__])
    for program in (predictor, detector_pass, whole):
        with context.Pool(1) as pool:
            row = pool.apply(measure, (program, args))
        row["to_predictor"] = row["ms_per_frame"] / (rows[0] if rows else row)["ms_per_frame"]
        rows.append(row)
        print("  ".join(f"{k} {v:.4g}" if k != "what" else v for k, v in row.items()), flush=True)
    return rows


def measure(program: Callable[..., Any], args: argparse.Namespace) -> dict[str, Any]:
    """Median times of one program, after a warm-up."""
    # The frames are not resized.
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
    process = program(cfg)
    times: dict[str, list[float]] = defaultdict(list)
    process(frames[:2])
    for _ in range(args.repeats):
        start = seconds()
        stages = process(frames)
        times["ms_per_frame"].append(seconds() - start)
        for stage, taken in stages.items():
            times[stage].append(taken)
    return {
        "what": program.__name__,
        "threads": torch.get_num_threads(),
        **{k: 1000 * statistics.median(v) / args.frames for k, v in times.items()},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        # 0 without a GPU.
        "gpu_peak_mb": torch.cuda.max_memory_allocated() / 2**20,
    }


def predictor(cfg: Any) -> Callable[[list[np.ndarray]], dict[str, float]]:
    """Detectron2's predictor, with masks at the size of the frame."""
    cfg = cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    predict = DefaultPredictor(cfg)

    def process(frames: list[np.ndarray]) -> dict[str, float]:
        for frame in frames:
            predict(frame)
        return {}

    return process


def detector_pass(cfg: Any) -> Callable[[list[np.ndarray]], dict[str, float]]:
    """Batches of frames through backbone, RPN and heads, and the maps for propagation; masks only
    on the grid."""
    model = build_model(cfg).eval()
    size = cfg.MODEL.MASKPROP.FRAMES_PER_BATCH

    @torch.inference_mode()
    def process(frames: list[np.ndarray]) -> dict[str, float]:
        starts = range(0, len(frames), size)
        batches = (torch.from_numpy(np.stack(frames[i : i + size])) for i in starts)
        for _ in model.detect_stream(x.permute(0, 3, 1, 2) for x in batches):
            pass
        return {}

    return process


def whole(cfg: Any) -> Callable[[list[np.ndarray]], dict[str, float]]:
    """From frames to final masks; returns the seconds of each stage."""
    segmenter = build_model(cfg).eval().segmenter
    network = segmenter.network
    taken: dict[str, float] = defaultdict(float)
    # The time of an iterator is that of its items.
    detect_stream = network.detect_stream
    network.detect_stream = lambda *args: timed_items(detect_stream(*args), "detect", taken)
    network.propagate = timed(network.propagate, "propagate", taken)

    def process(frames: list[np.ndarray]) -> dict[str, float]:
        taken.clear()
        stream = segmenter.stream(frames)
        stream.tracker.add = timed(stream.tracker.add, "link", taken)
        stream.tracker.finish = timed(stream.tracker.finish, "link", taken)
        stream._finish_next = timed(stream._finish_next, "finish", taken)
        for _ in stream:
            pass
        # Linking includes the calls to propagate.
        taken["link"] -= taken["propagate"]
        return {f"{stage}_ms": x for stage, x in taken.items()}

    return process


def timed(function: Callable[..., Any], stage: str, taken: dict[str, float]) -> Callable[..., Any]:
    """The function, adding its time to ``taken[stage]``."""

    def run_timed(*args: Any) -> Any:
        start = seconds()
        result = function(*args)
        taken[stage] += seconds() - start
        return result

    return run_timed


def timed_items(items: Iterator[Any], stage: str, taken: dict[str, float]) -> Iterator[Any]:
    """The items, adding the time of each to ``taken[stage]``."""
    return iter(timed(partial(next, items, None), stage, taken), None)
