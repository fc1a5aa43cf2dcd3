"""The errors that commands report in one line, and how they do."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where and why.

    Commands print the message and end with status 2.
    """


class VideoError(InputError):
    """A video, or a frame of it, that cannot be read; the message says which and why."""


class MissingWeightsError(InputError):
    """A tracking method needs trained weights that are not given."""

    def __init__(self, method: str, where: str):
        """
        Args:
            method: a name in ``tracking.OWN_WEIGHTS``.
            where: what lacks the weights.
        """
        super().__init__(
            f"{where} has no weights of the tracking method '{method}'. Train them over a detector "
            f"(its weights in MODEL.WEIGHTS, MODEL.MASKPROP.TRACKER {method}, "
            "MODEL.MASKPROP.FREEZE_DETECTOR True; for MovingShapes that is "
            f"configs/moving_shapes/maskprop_tiny_{method}.yaml), and name the file that training "
            "writes in MODEL.WEIGHTS"
        )


def run_command(command: Callable[[], None]) -> None:
    """Run it: one clear line and exit status 2 for input that cannot be used."""
    try:
        command()
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
