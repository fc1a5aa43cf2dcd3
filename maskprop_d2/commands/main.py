"""``maskprop COMMAND ...``: one entry to all commands."""

import argparse
import sys
from importlib import import_module

COMMANDS = {
    "demo": ("maskprop_d2.commands.demo", "segment and track the objects of a video"),
    "train": ("maskprop_d2.commands.train", "train a model, or evaluate it (--eval-only)"),
    "validate": ("maskprop_d2.commands.validate", "find what is wrong with a data set"),
    "evaluate": ("maskprop_d2.evaluation.__main__", "score a results file by video AP and AR"),
    "visualize": ("maskprop_d2.commands.visualize", "make a page of results to look at"),
    "export": ("maskprop_d2.commands.export", "write a model that runs without Detectron2"),
}
"""For each command the module whose ``main`` it is, and what it does."""

EXAMPLES = """\
examples:
  maskprop demo --model demo/maskprop_tiny.pt --video-input my_video.mp4 --output annotated.mp4
  maskprop train --config-file configs/moving_shapes/maskprop_tiny.yaml
  maskprop evaluate annotations.json results.json

"maskprop COMMAND --help" tells more of each. "train" and "export" need Detectron2, and so does
"demo" for a model that is not exported.
"""


def main(argv: list[str] | None = None) -> None:
    """Run the command that is named first, with the rest of the command line."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="maskprop",
        usage="maskprop COMMAND ...",
        description="Video instance segmentation with mask propagation.\n\ncommands:\n"
        + "\n".join(f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    arguments = sys.argv[1:] if argv is None else argv
    # What follows the command is the command's own, its --help too.
    name = parser.parse_args(arguments[:1]).command
    # The name under which the command speaks of itself.
    sys.argv[0] = f"maskprop {name}"
    try:
        import_module(COMMANDS[name][0]).main(arguments[1:])
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name != "detectron2":
            raise
        print(
            f'error: "maskprop {name}" needs Detectron2, which is not installed: see the README',
            file=sys.stderr,
        )
        sys.exit(2)
