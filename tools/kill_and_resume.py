#!/usr/bin/env python3
"""Kill and resume a training or an evaluation at random moments.

    python tools/kill_and_resume.py --kills 20 -- --config-file F [--eval-only] [KEY VALUE ...]

The arguments after ``--`` are those of ``train_net.py``. The results must equal those of a run that
was not killed, which the tests check.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

from maskprop_d2.commands.train import argument_parser, run


def main() -> None:
    """Print the number of kills, and how many of them came while a file was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--within", type=float, default=0.5, help="longest wait in seconds")
    parser.add_argument("arguments", nargs="+", help="arguments of train_net.py, after --")
    args = parser.parse_args()
    command = argument_parser().parse_args(args.arguments)
    moments = random.Random(args.seed)
    output = Path(command.opts[command.opts.index("OUTPUT_DIR") + 1])
    kills = while_writing = 0
    while kills < args.kills:
        before = progress(output)
        process = start(command)
        # Wait for progress, except every fourth time, to also kill during the start.
        while kills % 4 != 3 and progress(output) == before and not has_ended(process):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, args.within))
        if has_ended(process):
            sys.exit(f"error: the run ended after {kills} kills: make it longer")
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        kills += 1
        while_writing += any(output.rglob("*.partial"))
        command.resume = True
    _, status = os.waitpid(start(command), 0)
    print(json.dumps({"kills": kills, "while_a_file_was_written": while_writing}))
    sys.exit(os.waitstatus_to_exitcode(status))


def progress(output: Path) -> dict[Path, int]:
    """The sizes of all checkpoints and of the results of videos in an unfinished evaluation."""
    files = [*output.glob("*.pth"), *output.rglob("unfinished_*/*.json")]
    return {x: x.stat().st_size for x in files if x.exists()}


def has_ended(process: int) -> bool:
    """Whether a process has ended, without reaping it."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def start(command: argparse.Namespace) -> int:
    """Fork a process that runs ``train_net.py``, and return its id. All modules are imported
    already."""
    process = os.fork()
    if process:
        return process
    try:
        run(command)
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main()
