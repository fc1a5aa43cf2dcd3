#!/usr/bin/env python3
"""Kills a training or an evaluation at random moments, and starts it again each time.

    python tools/kill_and_resume.py --kills 20 -- --config-file F [--eval-only] [KEY VALUE ...]

What follows ``--`` is for ``train_net.py``. In the end there must be what a run that nobody killed
leaves; the tests compare the two.
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
    """Prints how many kills hit it, and in how many of them a file was half written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="decides the moments")
    parser.add_argument("--within", type=float, default=0.5, help="seconds that a kill may wait")
    parser.add_argument("arguments", nargs="+", help="of train_net.py, after --")
    args = parser.parse_args()
    command = argument_parser().parse_args(args.arguments)
    moments = random.Random(args.seed)
    output = Path(command.opts[command.opts.index("OUTPUT_DIR") + 1])
    kills = in_writing = 0
    while kills < args.kills:
        before = progress(output)
        process = start(command)
        # Every fourth time it may still be starting.
        while kills % 4 != 3 and progress(output) == before and not ended(process):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, args.within))
        if ended(process):
            sys.exit(f"error: it ended by itself after {kills} kills: give it more to do")
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        kills += 1
        in_writing += any(output.rglob("*.partial"))
        # From now on from the last checkpoint.
        command.resume = True
    _, status = os.waitpid(start(command), 0)
    print(json.dumps({"kills": kills, "while_a_file_was_written": in_writing}))
    sys.exit(os.waitstatus_to_exitcode(status))


def progress(output: Path) -> dict[Path, int]:
    """How far a run has come: the sizes of its checkpoints, and the number of videos in the files
    of an unfinished evaluation, which begin with a line that is none."""
    sizes = {x: x.stat().st_size for x in output.glob("*.pth") if x.exists()}
    lines = {
        x: len(x.read_bytes().splitlines()) for x in output.rglob("unfinished_*") if x.exists()
    }
    return sizes | {x: number - 1 for x, number in lines.items() if number > 1}


def ended(process: int) -> bool:
    """Whether a process has ended; it may still be asked how."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def start(command: argparse.Namespace) -> int:
    """The id of a new process that runs ``train_net.py``, whose modules are loaded already."""
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
