"""
Reading exported models, which run without Detectron2.

The file is a checkpoint as Detectron2 loads it, ``{"model": weights by name, ...}``, in which one
more entry, ``KEY``, holds the rest as plain values: the detector as a TorchScript program without
its weights, and the options around it. ``engine/export.py`` writes it.
"""

import io
import itertools
import reprlib
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

# Its operators must be known before a program that uses them is loaded.
import torchvision  # noqa: F401
from torch import Tensor, nn

from ..errors import ModelFileError, WeightsFileError
from ..networks.crop_classifier import CropClassifier
from ..networks.embedding import EmbeddingHead
from ..networks.propagation import PropagationBranch
from ..networks.refinement import MaskRefinement
from ..networks.stsn import SpatiotemporalSampling, split_frames
from ..weights_file import read_weights
from .detector_network import Detections, DetectorNetwork, FrameSettings, build_mask_propagators

# Of Detectron2's code, as it is and as a program: nothing that one could do about.
warnings.filterwarnings("ignore", "torch.meshgrid")

Part = TypeVar("Part", bound=nn.Module)

KEY = "maskprop_exported"
VERSION = 1
"""Of what stands under ``KEY``; only this one is read."""


MAX_PROGRAM = 2**28
"""Bytes of a program, which is without weights: far more than any has."""
WRONG_ENTRY = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
"""What building from an entry of another kind, or another value, raises."""
BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What reading a damaged zip archive raises."""


def not_as_exported(path: str | Path, error: Exception) -> ModelFileError:
    """For a file whose entries are not of the kind that an exported model has."""
    reason = " ".join(str(error).split())[:200]
    return ModelFileError(f"{path} is damaged: its entries are not as exported: {reason}")


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
        try:
            self._build(weights, exported, score_threshold)
        # What stands in the file may be of any kind.
        except (*WRONG_ENTRY, RuntimeError) as error:
            raise not_as_exported(path, error) from error
        try:
            self._program = self._load_program(exported["program"], weights)
        except RuntimeError as error:
            raise ModelFileError(
                f"{path} was exported with torch {exported.get('torch')}: torch "
                f"{torch.__version__} cannot run its program. Export it anew with the older of "
                "the two."
            ) from error
        except (*WRONG_ENTRY, *BAD_ARCHIVE) as error:
            raise not_as_exported(path, error) from error

    def _build(
        self, weights: dict[str, Tensor], exported: dict[str, Any], score_threshold: float | None
    ) -> None:
        """All but the program."""
        self.class_names: list[str] = exported["class_names"]
        self.segmenter_options: dict[str, Any] = exported["segmenter"]
        self.frame_settings = FrameSettings(**exported["frame_settings"])
        if score_threshold is None:
            score_threshold = exported["score_threshold"]
        self._score_threshold = torch.tensor(score_threshold)
        # The weights of the file say how much there is to build, not its options.
        options, largest = exported["propagation"], weights["propagation.deform_weight"]
        sizes = len(options["dilations"]), options["in_channels"]
        if tuple(largest.shape[:2]) != sizes or not largest.numel():
            raise ValueError(f"{sizes} dilations and channels do not fit the weights")

        def optional(name: str, kind: Callable[..., Part]) -> Part | None:
            return self._part(name, kind, exported[name], weights) if name in exported else None

        self.propagation = self._part("propagation", PropagationBranch, options, weights)
        self.stsn = optional("stsn", SpatiotemporalSampling)
        self.refinement = optional("refinement", MaskRefinement)
        self.embedding = optional("embedding", EmbeddingHead)
        self.crop_classifier = optional("crop_classifier", CropClassifier)
        self.mask_propagators = (
            optional("mask_propagators", build_mask_propagators) or nn.ModuleDict()
        )

    def _part(
        self, name: str, kind: Callable[..., Part], options: Any, weights: dict[str, Tensor]
    ) -> Part:
        """A part of this kind and these options, with the weights of its name."""
        # Nothing is allocated for options that the weights do not fit.
        with torch.device("meta"):
            part = kind(**options)
        part.load_state_dict(
            {
                k.removeprefix(f"{name}."): self._loaded(v, torch.float32)
                for k, v in weights.items()
                if k.startswith(f"{name}.")
            },
            assign=True,
        )
        return part.eval()

    def _load_program(self, program: Tensor, weights: dict[str, Tensor]) -> Any:
        """The detector, with its weights."""
        archive = io.BytesIO(program.numpy().tobytes())
        with zipfile.ZipFile(archive) as entries:
            if sum(x.file_size for x in entries.infolist()) > MAX_PROGRAM or entries.testzip():
                raise zipfile.BadZipFile("the program is damaged")
        archive.seek(0)
        loaded = torch.jit.load(archive, map_location=self.device)
        model = loaded.model
        for name, value in itertools.chain(model.named_parameters(), model.named_buffers()):
            # What no checkpoint has, like the anchors, is in the program.
            if name in weights:
                value.data = self._loaded(weights[name], value.dtype)
        return loaded

    def _loaded(self, weight: Tensor, dtype: torch.dtype) -> Tensor:
        # A copy, so that the file may change.
        return weight.to(self.device, dtype, copy=True)

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """See ``DetectorNetwork.pyramid``."""
        return self._program.pyramid(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: tuple[int, int]
    ) -> list[Detections]:
        """See ``DetectorNetwork.find_objects``."""
        # The program takes one frame at a time: a trace goes through as many as it has seen.
        size, threshold = torch.tensor(image_size), self._score_threshold
        return [
            Detections(*self._program.find_objects(levels, size, threshold))
            for levels in split_frames(pyramid)
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
            f"{path} is no exported model: make one of a config and weights with `maskprop export`"
        )
    version = contents[KEY].get("version")
    if version != VERSION:
        raise ModelFileError(
            f"{path} is an exported model of version {reprlib.repr(version)}, but only version "
            f"{VERSION} can be read: export it anew with `maskprop export` of this version of "
            "maskprop_d2"
        )
    return contents["model"], contents[KEY]
