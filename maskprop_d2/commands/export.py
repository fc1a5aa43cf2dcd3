"""Export a trained model to one file that runs without Detectron2, or the detector of such a file
to ONNX (see docs/export.md)."""

import argparse
import logging
from pathlib import Path

from ..errors import run_command
from .log_setup import setup_logging


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config-file", metavar="F", help="config of the model")
    source.add_argument(
        "--onnx", metavar="M", help="an exported model, whose detector is written as ONNX"
    )
    parser.add_argument("--weights", metavar="W", help="a checkpoint of the model")
    parser.add_argument("--output", required=True, metavar="O", help="the file to write")
    parser.add_argument("--half", action="store_true", help="store the weights as float16")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="config keys")
    args = parser.parse_args(argv)
    if args.onnx and (args.weights or args.half or args.opts):
        parser.error("--onnx takes an exported model as it is: no --weights, --half or --opts")
    if args.onnx and Path(args.output).suffix != ".onnx":
        parser.error(f"--output {args.output}: the name of an ONNX file ends in .onnx")
    if args.config_file and not args.weights:
        parser.error("--config-file needs --weights")
    logging.basicConfig(format="%(levelname)s: %(message)s")
    setup_logging()
    run_command(lambda: _export(args))
    print(f"wrote {args.output}")


def _export(args: argparse.Namespace) -> None:
    if args.onnx:
        from ..inference.onnx_export import export_onnx

        export_onnx(args.onnx, args.output)
        return
    # Needs Detectron2.
    from ..engine import export_model, load_config

    cfg = load_config(args.config_file, [*args.opts, "MODEL.WEIGHTS", args.weights])
    export_model(cfg, args.output, half=args.half)
