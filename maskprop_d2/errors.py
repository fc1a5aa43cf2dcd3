"""All exceptions of the package, and how commands report them."""

import sys
from collections.abc import Callable
from pathlib import Path


class InputError(ValueError):
    """Input that cannot be used. The message says what is wrong, where, and what to do.

    Commands print the message and exit with status 2.
    """


class VideoError(InputError):
    """A video or frame that cannot be read."""


class AnnotationError(InputError):
    """A YouTube-VIS file that cannot be used."""


class DetectionsError(InputError):
    """Detections of another model that cannot be used."""


class MaskSizeError(ValueError):
    """A mask whose size is not its frame's."""


class ConfigError(InputError):
    """A config that cannot be used, or weights it names that are missing."""


class WeightsFileError(InputError):
    """A weights file that cannot be loaded.

    Attributes:
        reason: what is wrong, without the file name.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: cannot be loaded as weights: {reason}")
        self.reason = reason


class FetchError(InputError):
    """Published weights that cannot be fetched, or that differ from what was published."""


class ModelFileError(InputError):
    """A file that cannot be used as an exported model."""


class MissingWeightsError(InputError):
    """A tracking method needs trained weights that the model does not have."""

    def __init__(self, method: str, where: str):
        """
        Args:
            method: a name in ``tracking.OWN_WEIGHTS``.
            where: the file or model that lacks the weights.
        """
        super().__init__(
            f"{where} has no weights for the tracking method '{method}'. Train them on top of a "
            "detector: put its weights in MODEL.WEIGHTS, set MODEL.MASKPROP.TRACKER to "
            f"{method} and SOLVER.FROZEN to ['detector'] (for MovingShapes use "
            f"configs/moving_shapes/maskprop_tiny_{method}.yaml), then name the trained file in "
            "MODEL.WEIGHTS"
        )


RESUME_HINT = "Checkpoints in OUTPUT_DIR are kept: continue from the last one with --resume"


class TrainingError(InputError):
    """A training that cannot go on."""

    def __init__(self, message: str):
        super().__init__(f"{message}. {RESUME_HINT}")


def run_command(command: Callable[[], None]) -> None:
    """Run a command; for input that cannot be used print one line and exit with status 2."""
    try:
        command()
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
