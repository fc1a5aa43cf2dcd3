"""Export a trained model to one file that runs without Detectron2 (see docs/export.md)."""

import argparse
import logging

from ..engine import export_model, load_config
from ..errors import run_command
from .log_setup import setup_logging


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--config-file", required=True, metavar="F", help="config of the model")
    parser.add_argument("--weights", metavar="W", required=True, help="a checkpoint of the model")
    parser.add_argument("--output", required=True, metavar="O", help="the file to write")
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    setup_logging()

    def export() -> None:
        cfg = load_config(args.config_file, [*args.opts, "MODEL.WEIGHTS", args.weights])
        export_model(cfg, args.output, half=args.half)

    run_command(export)
    print(f"wrote {args.output}")
