"""
Exported models, which run without Detectron2.

An exported file is a Detectron2 checkpoint, ``{"model": weights by name, ...}``, with one more
entry, ``KEY``: the detector as a TorchScript program without its weights, and the options of all
other networks as plain values. ``engine/export.py`` writes it, docs/export.md describes it.
"""

import io
import itertools
import reprlib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

# Registers the operators that the program uses.
import torchvision  # noqa: F401
from torch import Tensor

from ..devices import choose_device
from ..errors import InputError, ModelFileError, WeightsFileError
from ..networks.base import FrameSettings
from ..networks.stsn import split_frames
from ..weights_file import read_weights
from .detector_network import Detections, DetectorNetwork
from .parts import build_networks

KEY = "maskprop_exported"
VERSION = 1
"""Version of the entry ``KEY``; files of other versions are rejected."""

MAX_PROGRAM = 2**28
"""Size limit of a program in bytes, far above that of any real one."""
WRONG_ENTRY = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""Errors from building a network with entries of wrong types or values."""
BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""Errors from reading a damaged zip archive."""


def not_as_exported(path: str | Path, error: Exception) -> ModelFileError:
    """The error for a file with an entry that no exported model has."""
    reason = _shorten(error)
    return ModelFileError(f"{path} is damaged: its entries are not as exported: {reason}")


def wrong_option(path: str | Path, error: InputError) -> ModelFileError:
    """The error for a file with an option of another version of this package."""
    return ModelFileError(f"{path}: {_shorten(error)}")


def _shorten(error: Exception) -> str:
    """One line, also if the message has a long value of the file."""
    return " ".join(str(error).split())[:200]


class ExportedNetwork(DetectorNetwork):
    """The frame network of an exported model.

    Attributes:
        class_names: names of the K categories.
        segmenter_options: arguments of ``VideoSegmenter.from_options`` besides the network.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        score_threshold: float | None = None,
        device: str | torch.device | None = None,
    ):
        """
        Args:
            path: the file.
            score_threshold: drop detections scored below this (default: as exported).
            device: where to run (default: on a GPU if there is one).

        Raises:
            ModelFileError: if the file is not an exported model, damaged, or of another version.
        """
        super().__init__()
        weights, exported = _read(path)
        self.device = choose_device(device)
        try:
            self._build(weights, exported, score_threshold)
        # The entries may have any type.
        except (*WRONG_ENTRY, RuntimeError) as error:
            raise not_as_exported(path, error) from error
        try:
            self.program = self._load_program(exported["program"], weights)
        except RuntimeError as error:
            raise ModelFileError(
                f"{path} was exported with torch {exported.get('torch')}: torch "
                f"{torch.__version__} cannot run its program. Export it again with the older of "
                "the two versions."
            ) from error
        except (*WRONG_ENTRY, *BAD_ARCHIVE) as error:
            raise not_as_exported(path, error) from error

    def _build(
        self, weights: dict[str, Tensor], exported: dict[str, Any], score_threshold: float | None
    ) -> None:
        """Build everything except the program."""
        self.class_names: list[str] = exported["class_names"]
        self.segmenter_options: dict[str, Any] = exported["segmenter"]
        self.frame_settings = FrameSettings(**exported["frame_settings"])
        if score_threshold is None:
            score_threshold = exported["score_threshold"]
        self.score_threshold = torch.tensor(score_threshold)
        # A wrong file could ask for any number of dilations: compare it with the weights first.
        options, deform_weight = exported["propagation"], weights["propagation.deform_weight"]
        sizes = len(options["dilations"]), options["in_channels"]
        if tuple(deform_weight.shape[:2]) != sizes or not deform_weight.numel():
            raise ValueError(f"{sizes} dilations and channels do not fit the weights")
        # On the meta device nothing is allocated before the sizes are compared with the weights.
        with torch.device("meta"):
            networks = build_networks(exported)
        for name, network in networks.items():
            network.load_state_dict(
                {
                    k.removeprefix(f"{name}."): self._load(v, torch.float32)
                    for k, v in weights.items()
                    if k.startswith(f"{name}.")
                },
                assign=True,
            )
            self.add_module(name, network.eval())

    def _load_program(self, program: Tensor, weights: dict[str, Tensor]) -> Any:
        """Load the TorchScript program of the detector and give it its weights."""
        archive = io.BytesIO(program.numpy().tobytes())
        with zipfile.ZipFile(archive) as entries:
            if sum(x.file_size for x in entries.infolist()) > MAX_PROGRAM or entries.testzip():
                raise zipfile.BadZipFile("the program is damaged")
        archive.seek(0)
        loaded = torch.jit.load(archive, map_location=self.device)
        model = loaded.model
        for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
            # Buffers that are not in the checkpoint, such as anchors, are in the program.
            if name in weights:
                value.data = self._load(weights[name], value.dtype)
        return loaded

    def _load(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        # A copy, since the file may be memory-mapped and change.
        return weight.to(self.device, dtype, copy=True)

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        return self.program.pyramid(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        # The program was traced with one frame and takes one at a time.
        size, threshold = torch.tensor(image_size), self.score_threshold
        return [
            Detections(*self.program.find_objects(levels, size, threshold))
            for levels in split_frames(pyramid)
        ]


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the weights and the entry ``KEY`` of an exported file.

    Raises:
        ModelFileError: if the file is missing, not an exported model, damaged, or of another
            version.
    """
    try:
        contents = read_weights(path)
    except WeightsFileError as error:
        raise ModelFileError(f"{path} is not an exported model: {error.reason}") from error
    if not isinstance(contents.get(KEY), dict):
        raise ModelFileError(
            f"{path} is not an exported model: create one from a config and weights with "
            "`maskprop export`"
        )
    version = contents[KEY].get("version")
    if version != VERSION:
        raise ModelFileError(
            f"{path} is an exported model of version {reprlib.repr(version)}, but this version of "
            f"maskprop_d2 reads only version {VERSION}: export it again with `maskprop export`"
        )
    return contents["model"], contents[KEY]
