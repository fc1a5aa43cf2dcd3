"""Running a command of this folder."""

import sys
from collections.abc import Callable

from maskprop_d2.errors import InputError


def run_command(command: Callable[[], None]) -> None:
    """Run it: one clear line and exit status 2 for input that cannot be used."""
    try:
        command()
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
