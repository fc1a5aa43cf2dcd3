"""Install Detectron2 without compiling it.

Its compiled operators serve rotated boxes, faster COCO evaluation, and its own deformable
convolutions (this project uses torchvision's instead). With --compile they are built too, which
takes minutes and a C++ compiler.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ..errors import InputError, run_command

REPOSITORY = "https://github.com/facebookresearch/detectron2.git"
COMMIT = "02b5c4e295e990042a714712c21dc79b731e8833"
"""The commit that this project is tested with."""

PATCH = Path(__file__).with_name("detectron2.patch")
EPILOG = """\
Where GitHub cannot be reached: copy a clone of the repository to the machine, and name it with
--source. pip still needs the packages that Detectron2 requires, and setuptools, from an index, or
from a folder that PIP_FIND_LINKS names.
"""


def parse_args(argv: list[str] | None, prog: str | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--compile", action="store_true", help="also build the operators in C++ and CUDA"
    )
    parser.add_argument(
        "--source",
        default=REPOSITORY,
        metavar="URL",
        help="git repository to install from: an address or a folder (default: %(default)s)",
    )
    return parser.parse_args(argv)


def call(*command: str, **environment: str) -> None:
    """Run a program, whose output is shown.

    Raises:
        InputError: if it is not there or fails.
    """
    try:
        subprocess.run(command, env={**os.environ, **environment}, check=True)
    except FileNotFoundError as error:
        raise InputError(f"{command[0]} is not installed, but needed for Detectron2") from error
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"Detectron2 was not installed: '{' '.join(command[:4])} ...' failed (see above)"
        ) from error


def check_out(source: str, folder: str) -> None:
    """Write the files of ``COMMIT`` to a folder, with the changes of ``PATCH``.

    Args:
        source: address or path of the repository.
        folder: an empty folder.

    Raises:
        InputError: if git is missing or fails.
    """
    # Contents of files are fetched for this commit alone, where the server can do that.
    call("git", "clone", "--quiet", "--filter=blob:none", "--no-checkout", source, folder)
    call("git", "-C", folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", COMMIT)
    call("git", "-C", folder, "apply", str(PATCH))


def install(source: str, *, compiled: bool) -> None:
    """Install Detectron2 into the environment of this Python.

    Args:
        source: address or path of the repository.
        compiled: also build the operators.

    Raises:
        InputError: if git or pip are missing or fail.
    """
    pip = sys.executable, "-m", "pip", "install", "--quiet"
    with tempfile.TemporaryDirectory() as folder:
        check_out(source, folder)
        if compiled:
            call("git", "-C", folder, "checkout", "--quiet", "setup.py")
            # Its setup imports torch, and builds for the version that it finds.
            call(*pip, "setuptools", "wheel")
            call(*pip, "--no-build-isolation", folder)
        else:
            # "pip list" then shows which of both it is.
            call(*pip, folder, D2_VERSION_SUFFIX="+python")


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; on failure, print one line and exit with status 2."""
    args = parse_args(argv, prog)
    run_command(lambda: install(args.source, compiled=args.compile))
