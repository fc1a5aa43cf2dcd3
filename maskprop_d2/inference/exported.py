"""
Reading exported models, which run without Detectron2.

The file is a checkpoint as Detectron2 loads it, ``{"model": weights by name, ...}``, in which one
more entry, ``KEY``, holds the rest as plain values: the detector as a TorchScript program without
its weights, and the options around it. ``engine/export.py`` writes it.
"""

import io
import itertools
import warnings
import zipfile
import zlib
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

# Its operators must be known before a program that uses them is loaded.
import torchvision  # noqa: F401
from torch import Tensor, nn

from ..errors import InputError
from ..propagation import PropagationBranch
from .frame_network import Detections, DetectorNetwork, FrameSettings, build_mask_propagators

# Of Detectron2's code, as it is and as a program: nothing that one could do about.
warnings.filterwarnings("ignore", "torch.meshgrid")

KEY = "maskprop_exported"
VERSION = 1
"""Of what stands under ``KEY``; only this one is read."""


class ModelFileError(InputError):
    """A file that cannot be used as an exported model; the message says which and why."""


class ExportedNetwork(DetectorNetwork):
    """The frame network of an exported model.

    Attributes:
        class_names: the K categories.
        segmenter_options: arguments of ``VideoSegmenter.from_options`` besides the network.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        score_threshold: float | None = None,
        device: str | torch.device | None = None,
    ):
        """See ``VideoSegmenter.from_exported``."""
        weights, exported = _read(path)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.class_names: list[str] = exported["class_names"]
        self.segmenter_options: dict[str, Any] = exported["segmenter"]
        self.frame_settings = FrameSettings(**exported["frame_settings"])
        if score_threshold is None:
            score_threshold = exported["score_threshold"]
        self._score_threshold = torch.tensor(score_threshold)
        self.propagation = PropagationBranch(**exported["propagation"])
        self.mask_propagators = build_mask_propagators(
            exported["segmenter"]["tracker"]["name"], exported["propagation"]["in_channels"]
        )
        self._load("propagation.", self.propagation, weights)
        self._load("mask_propagators.", self.mask_propagators, weights)
        try:
            program = io.BytesIO(exported["program"].numpy().tobytes())
            self._program = torch.jit.load(program, map_location=self.device)
        except RuntimeError as error:
            raise ModelFileError(
                f"{path} was exported with torch {exported['torch']}: torch {torch.__version__} "
                "cannot run its program. Export it anew with the older of the two."
            ) from error
        model = self._program.model
        for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
            # What no checkpoint has, like the anchors, is in the program.
            if name in weights:
                value.data = weights[name].to(self.device, value.dtype)

    def _load(self, prefix: str, module: nn.Module, weights: dict[str, Tensor]) -> None:
        """Give a module those weights whose names have a prefix."""
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        )
        module.to(self.device).eval()

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """See ``DetectorNetwork.pyramid``."""
        return self._program.pyramid(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """See ``DetectorNetwork.find_objects``."""
        # The program takes one frame at a time: a trace goes through as many as it has seen.
        size, threshold = torch.tensor(image_size), self._score_threshold
        frames = zip(*(level.split(1) for level in pyramid.values()), strict=True)
        return [
            Detections(
                *self._program.find_objects(
                    dict(zip(pyramid, levels, strict=True)), size, threshold
                )
            )
            for levels in frames
        ]


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights, and what stands under ``KEY``.

    Raises:
        ModelFileError: if there is no such file, or it is no exported model, damaged, or of
            another version.
    """
    if not Path(path).is_file():
        raise ModelFileError(f"{path}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} is not what was written")
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
        raise ModelFileError(f"{path} is damaged or no exported model: {error}") from error
    # It is whole, but an archive of something else, or of more than weights and plain values.
    except (RuntimeError, UnpicklingError):
        contents = None
    if not isinstance(contents, dict) or KEY not in contents:
        raise ModelFileError(
            f"{path} is no exported model: make one of a config and weights with `maskprop export`"
        )
    version = contents[KEY].get("version")
    if version != VERSION:
        raise ModelFileError(
            f"{path} is an exported model of version {version}, but only version {VERSION} can be "
            "read: export it anew with `maskprop export` of this version of maskprop_d2"
        )
    return contents["model"], contents[KEY]
