"""
Reading exported models, which run without Detectron2.

The file is a checkpoint as Detectron2 loads it, ``{"model": weights by name, ...}``, in which one
more entry, ``KEY``, holds the rest as plain values: the detector as a TorchScript program without
its weights, and the options around it. ``engine/export.py`` writes it.
"""

import io
import itertools
from pathlib import Path
from typing import Any

import torch

# Its operators must be known before a program that uses them is loaded.
import torchvision  # noqa: F401
from torch import Tensor

from ..errors import InputError
from ..propagation import PropagationBranch
from .frame_network import Detections, DetectorNetwork, FrameSettings
from .weights_file import WeightsFileError, read_weights

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
        prefix = "propagation."
        self.propagation.load_state_dict(
            {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        )
        self.propagation.to(self.device).eval()
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
    try:
        contents = read_weights(path)
    except WeightsFileError as error:
        raise ModelFileError(f"{path} is no exported model: {error.reason}") from error
    if not isinstance(contents.get(KEY), dict):
        raise ModelFileError(
            f"{path} is no exported model: make one of a config and weights with "
            "tools/export_model.py"
        )
    version = contents[KEY].get("version")
    if version != VERSION:
        raise ModelFileError(
            f"{path} is an exported model of version {version}, but only version {VERSION} can be "
            "read: export it anew with tools/export_model.py of this version of maskprop_d2"
        )
    return contents["model"], contents[KEY]
