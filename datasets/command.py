"""Running a command of this folder."""

import sys
from collections.abc import Callable

from maskprop_d2.evaluation import AnnotationError
from maskprop_d2.inference import VideoError


def run_command(command: Callable[[], None]) -> None:
    """Run it: one clear line and exit status 2 for input that cannot be used."""
    try:
        command()
    except (AnnotationError, VideoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
