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
from ..engine.failures import explain
from ..engine.reproducibility import choose_seed, record_run
from ..engine.setup import cores_per_process
from ..errors import RESUME_HINT, InputError

EXAMPLES = """\
examples:
  maskprop train --config-file configs/moving_shapes/maskprop_tiny.yaml
  maskprop train --config-file F --num-gpus 8 OUTPUT_DIR output SOLVER.BASE_LR 0.001
  maskprop train --config-file F --eval-only MODEL.WEIGHTS output/model_final.pth
"""


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """The command: on one machine or many, by Detectron2's own ``launch`` or under ``torchrun``."""
    parser = argument_parser(prog)
    args = parser.parse_args(argv)
    if not args.config_file:
        parser.error("--config-file is missing: configs/ has some")
    if args.num_machines > 1 and args.dist_url == "auto":
        parser.error("with many machines name a port of the first: --dist-url tcp://HOST:PORT")
    if dist.is_torchelastic_launched():
        if args.num_gpus != 1 or args.num_machines != 1:
            parser.error("torchrun starts the processes: leave out --num-gpus and --num-machines")
        run_as_worker_of_torchrun(args)
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
            # One of many processes has said what is wrong, and torch has ended the others.
            sys.exit(2)
        if error.signal_name is None:
            raise
        fail(
            f"process {error.error_index} of {args.num_gpus} was ended by {error.signal_name}, "
            "and the others with it. If memory was short, lower SOLVER.IMS_PER_BATCH or "
            f"DATALOADER.NUM_WORKERS. {RESUME_HINT}"
        )


def argument_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The command line."""
    parser = default_argument_parser(epilog=EXAMPLES)
    if prog is not None:
        parser.prog = prog
    # A free port: with Detectron2's fixed one, two trainings on a machine would collide.
    parser.set_defaults(dist_url="auto")
    return parser


def run_as_worker_of_torchrun(args: argparse.Namespace) -> None:
    """One of the processes that ``torchrun`` has started; it tells them apart by environment."""
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    comm.synchronize()
    run(args)
    dist.destroy_process_group()


def run(args: argparse.Namespace) -> Any:
    """One process, with one clear line and exit status 2 for input that cannot be used."""
    try:
        return train_or_evaluate(args)
    except InputError as error:
        # What comes from a data loader's process has that process's traceback before it.
        fail(str(error).strip().splitlines()[-1])
    # Of what happens outside of an iteration, as while it is evaluated.
    except (OSError, RuntimeError, MemoryError) as error:
        reason = explain(error)
        if reason is None:
            raise
        fail(f"{reason}. {RESUME_HINT}")


def fail(message: str) -> NoReturn:
    """End with one line and exit status 2."""
    print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(2)


def train_or_evaluate(args: argparse.Namespace) -> Any:
    """Run one process of a training or an evaluation."""
    rank, processes = comm.get_rank(), comm.get_local_size()
    if processes > 1:
        # By this signal torch ends the others with the first process. One that a script starts in
        # the background is born deaf to it, and would train on with nobody to stop it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    setup_logger(distributed_rank=rank, name="maskprop_d2")
    cfg = load_config(args.config_file, args.opts)
    if not args.resume:
        check_weights(cfg)
    choose_seed(cfg, args.resume)
    cfg.freeze()
    default_setup(cfg, args)
    # The folder of its log file is known only now.
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=rank, name="maskprop_d2", configure_stdout=False)
    if cfg.MODEL.DEVICE == "cpu" and processes > 1:
        # Else each process would start a thread for every core. OMP_NUM_THREADS may ask for less,
        # but torchrun sets it to 1 by itself.
        asked = cores_per_process() if dist.is_torchelastic_launched() else torch.get_num_threads()
        torch.set_num_threads(min(asked, cores_per_process()))
    if args.eval_only:
        model = Trainer.build_model(cfg)
        load_weights(cfg, model, resume=args.resume)
        return Trainer.test(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    if comm.is_main_process():
        record_run(cfg, sys.argv)
    return trainer.train()
