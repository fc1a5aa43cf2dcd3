"""Train MaskProp, or evaluate it with ``--eval-only``."""

import argparse
import os
import signal
import sys
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from torch.multiprocessing import ProcessExitedException

from ..engine import Trainer, check_weights, load_config, load_weights
from ..engine.failures import failure_reason, message_in_one_line
from ..engine.reproducibility import choose_seed, record_run
from ..engine.setup import cores_per_process, find_config
from ..errors import RESUME_HINT, InputError
from .log_setup import setup_logging

EXAMPLES = """\
examples:
  maskprop train --config-file configs/moving_shapes/maskprop_tiny.yaml
  maskprop train --config-file F --num-gpus 8 OUTPUT_DIR output SOLVER.BASE_LR 0.001
  maskprop train --config-file F --eval-only MODEL.WEIGHTS output/model_final.pth
"""


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Train or evaluate on one or several machines, with Detectron2's ``launch`` or under
    ``torchrun``. For input that cannot be used, print one line and exit with status 2."""
    parser = argument_parser(prog)
    args = parser.parse_args(argv)
    if not args.config_file:
        parser.error("--config-file is required, for example one of configs/")
    if args.num_machines > 1 and args.dist_url == "auto":
        parser.error("several machines need a port of the first: --dist-url tcp://HOST:PORT")
    if dist.is_torchelastic_launched():
        if args.num_gpus != 1 or args.num_machines != 1:
            parser.error("torchrun starts the processes: omit --num-gpus and --num-machines")
        run_under_torchrun(args)
        return
    try:
        launch(
            run,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except KeyboardInterrupt:
        print(f"Interrupted. {RESUME_HINT}", file=sys.stderr)
        sys.exit(130)
    except ProcessExitedException as error:
        if error.exit_code == 2:
            # A process has printed an error, and torch has stopped the others.
            sys.exit(2)
        if error.signal_name is None:
            raise
        fail(
            f"process {error.error_index} of {args.num_gpus} was killed by {error.signal_name}, so "
            "the others were stopped. If memory was short, lower SOLVER.IMS_PER_BATCH or "
            f"DATALOADER.NUM_WORKERS. {RESUME_HINT}"
        )


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = default_argument_parser(epilog=EXAMPLES)
    parser.description = "Train MaskProp, or evaluate it with --eval-only."
    if prog is not None:
        parser.prog = prog
    # Detectron2's default is a fixed port, with which two trainings on a machine would collide.
    parser.set_defaults(dist_url="auto")
    return parser


def run_under_torchrun(args: argparse.Namespace) -> None:
    """Run one of the processes that ``torchrun`` has started."""
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    run(args)
    dist.destroy_process_group()


def run(args: argparse.Namespace) -> Any:
    """Run one process. For input that cannot be used and for known failures, print one line and
    exit with status 2."""
    setup_logging()
    try:
        return train_or_evaluate(args)
    except InputError as error:
        fail(message_in_one_line(error))
    except Exception as error:
        # Trainer explains failures within an iteration; this one is outside, as in an evaluation.
        if reason := failure_reason(error):
            fail(f"{reason}. {RESUME_HINT}")
        if isinstance(error, OSError) and error.filename is not None:
            fail(str(error))
        raise


def fail(message: str) -> NoReturn:
    """Print one line and exit with status 2."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(2)


def train_or_evaluate(args: argparse.Namespace) -> Any:
    """Train or evaluate in one process."""
    rank, processes = comm.get_rank(), comm.get_local_size()
    if processes > 1:
        # If the main process dies, torch stops the others with SIGINT. Processes that a script
        # starts in the background ignore it by default and would train on.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    setup_logger(distributed_rank=rank, name="maskprop_d2")
    # Detectron2's setup reads the file too.
    args.config_file = str(find_config(args.config_file))
    cfg = load_config(args.config_file, args.opts)
    if not args.resume:
        check_weights(cfg)
    choose_seed(cfg, args.resume)
    cfg.freeze()
    default_setup(cfg, args)
    # Now that the output folder exists, also log to a file.
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=rank, name="maskprop_d2", configure_stdout=False)
    if cfg.MODEL.DEVICE == "cpu":
        # By default each process would use all cores of the machine, also those that it may not
        # use. OMP_NUM_THREADS may limit it further, but torchrun always sets that to 1.
        limit = cores_per_process() if dist.is_torchelastic_launched() else torch.get_num_threads()
        torch.set_num_threads(min(limit, cores_per_process()))
    if args.eval_only:
        model = Trainer.build_model(cfg)
        load_weights(cfg, model, resume=args.resume)
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    if comm.is_main_process():
        record_run(cfg, sys.argv)
    return trainer.train()
