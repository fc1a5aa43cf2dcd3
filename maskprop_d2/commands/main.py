"""``maskprop COMMAND ...``: one entry point for all commands."""

import argparse
import sys
from importlib import import_module

COMMANDS = {
    "track": "segment and track real objects in a video, without training",
    "models": "list the published models that track can use",
    "demo": "segment and track with a model that you have trained",
    "link": "link the masks of any detector into tracks",
    "run": "track the objects in thousands of videos, resumable",
    "annotations": "convert tracks to and from CVAT, labelme, Label Studio, COCO and YOLO",
    "results": "convert the tracks of a run to Parquet or YouTube-VIS json, and back",
    "propagate": "carry the objects of one frame through a video",
    "train": "train a model, or evaluate it (--eval-only)",
    "validate": "check a dataset for errors",
    "evaluate": "compute the metrics of a results file",
    "compare": "compare the results of models, with confidence intervals",
    "diagnose": "say what costs AP",
    "visualize": "write an HTML page of results",
    "convert": "convert a checkpoint of mmdetection or mmtracking",
    "export": "export a model that runs without Detectron2",
    "install-detectron2": "install Detectron2 without compiling it",
}
"""Help texts. Each command is the function ``main(argv, prog)`` of the module with its name, with
``_`` for ``-``."""

EXAMPLES = """\
examples:
  maskprop track my_video.mp4
  maskprop train --config-file configs/moving_shapes/maskprop_tiny.yaml
  maskprop evaluate annotations.json results.json

Run "maskprop COMMAND --help" for the options of a command. "train", "convert" and "export" need
Detectron2; "track", "run" and "demo" need it for some models: maskprop install-detectron2
"""


def main(argv: list[str] | None = None) -> None:
    """Run the command named by the first argument with the remaining ones."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="maskprop",
        usage="maskprop COMMAND ...",
        description="Video instance segmentation with mask propagation.\n\ncommands:\n"
        + "\n".join(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    arguments = sys.argv[1:] if argv is None else argv
    # Only the first argument is ours: "maskprop demo --help" is the help of the demo.
    name = parser.parse_args(arguments[:1]).command
    module = name.replace("-", "_")
    try:
        import_module(f".{module}", __package__).main(arguments[1:], prog=f"maskprop {name}")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name != "detectron2":
            raise
        print(
            f'error: "maskprop {name}" needs Detectron2, which is not installed: '
            "maskprop install-detectron2",
            file=sys.stderr,
        )
        sys.exit(2)
