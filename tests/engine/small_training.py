"""Trainings and evaluations that take seconds."""

import contextlib
import gc
import io
import logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from detectron2.utils.logger import setup_logger
from make_moving_shapes import main as make_moving_shapes

from maskprop_d2.commands.train import main as train

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/moving_shapes/maskprop_tiny.yaml"
WEIGHTS = ROOT / "demo/maskprop_tiny.pt"


def small_data_sets(root, **arguments):
    """A folder for DETECTRON2_DATASETS with tiny videos."""
    arguments = {"train": 3, "val": 2, "seed": 3, "height": 48, "width": 64, **arguments}
    options = [f"--{k}={v}" for k, v in {"length": 4, **arguments}.items()]
    make_moving_shapes(["--output", str(root / "moving_shapes"), *options])
    return root


def small(output, max_iter, *more):
    """Config keys of a training that takes seconds."""
    options = {
        "OUTPUT_DIR": str(output),
        "DATASETS.TRAIN": "('moving_shapes_train',)",
        "INPUT.MIN_SIZE_TRAIN": "(48,)",
        "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice",
        "INPUT.MIN_SIZE_TEST": "48",
        "SOLVER.IMS_PER_BATCH": "2",
        "SOLVER.MAX_ITER": str(max_iter),
        "SOLVER.CHECKPOINT_PERIOD": "2",
        # Low, so that an untrained network gives tracks.
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "0.01",
        "DATALOADER.NUM_WORKERS": "0",
    }
    return [*(x for pair in options.items() for x in pair), *more]


def command(*options, script="train_net.py"):
    return [sys.executable, str(ROOT / script), "--config-file", str(TINY), *options]


def run(arguments, **options):
    """Run a command in a subprocess."""
    result = subprocess.run(arguments, capture_output=True, text=True, **options)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    result.stderr = without_cuda_message(result.stderr)
    return result


def without_cuda_message(text):
    """Without what torch before 2.6 prints where CUDA is installed but no GPU."""
    return re.sub(r"^No CUDA runtime is found.*\n", "", text, flags=re.MULTILINE)


def run_here(*options, config_file=TINY, status=0):
    """Run ``maskprop train`` in this process, which saves the time of imports. Returns what it
    prints to standard output and standard error, without what other processes print."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            train(["--config-file", str(config_file), *options])
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        for name in ("detectron2", "fvcore", "maskprop_d2"):
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()
            logger.propagate = True
        setup_logger.cache_clear()
    assert code == status, out.getvalue()[-3000:] + err.getvalue()[-3000:]
    return out.getvalue(), without_cuda_message(err.getvalue())


def start(main, log, *, ignore_sigint=False):
    """Fork a process that calls a function, with its output in a file: a new process would import
    everything first. It is in a new process group.

    Args:
        ignore_sigint: as in the background of a shell script.
    """

    def call():
        os.setsid()
        signal.signal(
            signal.SIGINT, signal.SIG_IGN if ignore_sigint else signal.default_int_handler
        )
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with log.open("w", buffering=1) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.stdout = sys.stderr = file
            # Handlers of earlier tests write to streams that are closed.
            logging.raiseExceptions = False
            main()

    # The child would wait for threads of video decoders that were not collected here.
    gc.collect()
    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def wait_for(path, process, log, seconds=200):
    """Wait until a running process has written a file."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.is_alive(), log.read_text()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(group, seconds):
    """Whether all processes of a group end within some time. Kills them otherwise."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.2)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return False
