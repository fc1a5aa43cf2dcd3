#!/usr/bin/env python3
"""Kill ``maskprop run`` at random moments, and compare what it ends with to an undisturbed run.

    python tools/kill_archive_run.py --videos 1000 --kills 10 --workers 2

draws short videos with detections into a temporary folder, and runs over them twice: undisturbed,
and killed with SIGKILL and started again. Each fourth kill hits one of the workers alone. All
outputs must be equal, byte for byte. Options after ``--`` are passed on to ``maskprop run``.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskprop_d2.ops.rle import encode
from maskprop_d2.video.writing import VideoWriter

FRAME_SIZE = 48, 64
LENGTH = 4


def main() -> None:
    """Print the number of kills, what they hit, and the seconds of the undisturbed run. Exits with
    status 1 if the outputs differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--within", type=float, default=2, help="longest wait in seconds")
    parser.add_argument("options", nargs="*", help="options of maskprop run, after --")
    args = parser.parse_args()
    options = args.options or ["--tracker", "iou", "--format", "json", "parquet", "--id-masks"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw_archive(folder / "in", args.videos)
        command = [sys.executable, "-m", "maskprop_d2", "run", str(folder / "in")]
        if not {"--model", "--detections"} & set(options):
            options += ["--detections", str(folder / "in/{stem}.json")]
        command += ["--workers", str(args.workers), *options]
        start = time.perf_counter()
        subprocess.run([*command, "--output", str(folder / "undisturbed")], check=True)
        report = {"videos": args.videos, "seconds": round(time.perf_counter() - start, 1)}
        killed = folder / "killed"
        moments = random.Random(args.seed)
        report |= kill_often(
            [*command, "--output", str(killed)], killed, args.kills, args.within, moments
        )
        report["equal"] = digests(folder / "undisturbed") == digests(killed)
        report["files"] = len(digests(killed))
    print(json.dumps(report))
    sys.exit(0 if report["equal"] else 1)


def draw_archive(folder: Path, videos: int) -> None:
    """Draw videos of two blocks that move over noise, and write the blocks as detections."""
    folder.mkdir()
    for i in tqdm(range(videos), desc="drawing", unit="video", disable=None):
        rng = np.random.default_rng(i)
        detections = []
        with VideoWriter(folder / f"v{i:05d}.mp4", 10) as writer:
            starts, steps = rng.integers(0, 30, (2, 2)), rng.integers(-3, 4, (2, 2))
            for t in range(LENGTH):
                frame = rng.integers(0, 80, (*FRAME_SIZE, 3), dtype=np.uint8)
                for block, (y, x) in enumerate(np.maximum(starts + t * steps, 0)):
                    mask = np.zeros(FRAME_SIZE, bool)
                    mask[y : y + 12, x : x + 16] = True
                    frame[mask] = (90 + 100 * block, 200, 90)
                    found = {"image_id": t, "category_name": f"block {block}", "score": 0.9}
                    detections.append({**found, "segmentation": encode(mask)})
                writer.write(frame)
        (folder / f"v{i:05d}.json").write_text(json.dumps(detections))


def kill_often(
    command: list[str], output: Path, kills: int, within: float, moments: random.Random
) -> dict[str, int]:
    """Run a command to its end, but kill it or one of its workers ``kills`` times before.

    Returns:
        the number of kills, of those that hit a worker, and of those that came while a video was
        being written.
    """
    counts = {"kills": 0, "of_workers": 0, "while_a_video_was_written": 0}
    process = subprocess.Popen(command)
    while counts["kills"] < kills:
        before = count_finished(output)
        # Wait for progress, except every fourth time, to also kill during the start.
        while counts["kills"] % 4 != 3 and count_finished(output) <= before:
            if process.poll() is not None:
                sys.exit(f"error: the run ended after {counts['kills']} kills: take more videos")
            time.sleep(0.01)
        time.sleep(moments.uniform(0, within))
        workers = find_workers(process.pid)
        hit_worker = counts["kills"] % 4 == 1 and workers
        counts["while_a_video_was_written"] += any(output.glob(".partial/*/*"))
        try:
            os.kill(moments.choice(workers) if hit_worker else process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        counts["kills"] += 1
        counts["of_workers"] += bool(hit_worker)
        if not hit_worker:
            process.wait()
            process = subprocess.Popen(command)
    if process.wait():
        sys.exit(f"error: the last run ended with status {process.returncode}")
    return counts


def count_finished(output: Path) -> int:
    """The number of finished videos."""
    return sum(1 for _ in output.glob("videos/*/*"))


def find_workers(process: int) -> list[int]:
    """The ids of the processes that those which a process has started have started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of a program, in parentheses, may hold spaces.
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    return [x for x, parent in parents.items() if parents.get(parent) == process]


def digests(output: Path) -> dict[str, str]:
    """SHA-256 of the files of all videos, by their path."""
    files = (path for path in (output / "videos").rglob("*") if path.is_file())
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


if __name__ == "__main__":
    main()
