"""Exporting a model to one file that runs without Detectron2: see ``inference/exported.py``."""

import io
import itertools
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from detectron2.export.torchscript_patch import patch_builtin_len
from torch import Tensor, nn

from ..errors import InputError
from ..files import atomic_file
from ..inference.exported import KEY, VERSION
from ..modeling import MaskProp
from ..modeling.options import part_options, segmenter_options
from .setup import build_trained_model, class_names


class _Detector(nn.Module):
    """What is traced: the methods of ``DetectorNetwork``, from tensors to tensors."""

    def __init__(self, model: MaskProp):
        super().__init__()
        self.model = model

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        """See ``DetectorNetwork.pyramid``."""
        return self.model.pyramid(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """The detections in one image; the size (H', W') and the threshold are tensors, so that
        they do not become constants of the program."""
        predictor = self.model.roi_heads.final_predictor
        of_config = predictor.test_score_thresh
        predictor.test_score_thresh = score_threshold
        try:
            with patch_builtin_len(["maskprop_d2.modeling.roi_heads.hybrid_task_cascade"]):
                (found,) = self.model.find_objects(pyramid, image_size)
        finally:
            predictor.test_score_thresh = of_config
        return tuple(found)


def export_model(cfg: Any, output: str | Path, *, half: bool = False) -> None:
    """Write the model of a config with the weights of ``MODEL.WEIGHTS`` to one file.

    Args:
        cfg: the whole config.
        output: the file; its folder is made if it is not there.
        half: whether the weights are stored in 16 bits. They are computed with in 32 all the same.

    Raises:
        InputError: if the weights are missing, are no weights, or are not those of the whole model.
    """
    model, missing = build_trained_model(cfg)
    if missing:
        parts = sorted({".".join(name.split(".")[:2]) for name in missing})
        raise InputError(
            f"{cfg.MODEL.WEIGHTS} is not of this model: it has nothing for {', '.join(parts)}. "
            "Export with the config that it was trained with"
        )
    weights = {k: v.cpu() for k, v in model.state_dict().items()}
    if half:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights.items()}
    exported = {
        "version": VERSION,
        "torch": str(torch.__version__),
        "class_names": class_names(cfg),
        "score_threshold": cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST,
        "frame_settings": asdict(model.frame_settings),
        **part_options(cfg, model.backbone.output_shape()),
        "segmenter": segmenter_options(cfg),
        # As bytes it would not load as safely: see ``weights_only`` of torch.load.
        "program": torch.frombuffer(bytearray(trace_detector(model)), dtype=torch.uint8),
    }
    with atomic_file(output) as partial:
        torch.save({"model": weights, KEY: exported}, partial)


@torch.no_grad()
def trace_detector(model: MaskProp) -> bytes:
    """The detector as a TorchScript program for any size and number of frames, without those
    values that stand in the model's ``state_dict``."""
    # Noise will do, of unlike sides, so that none is taken for the other.
    images = torch.randn(2, 3, 256, 384, device=model.device)
    size = torch.tensor([250, 380])
    pyramid = {k: v[:1] for k, v in model.pyramid(images).items()}
    with warnings.catch_warnings():
        # Of Python values in Detectron2's code that do not depend on the frame, and of
        # TorchScript's age.
        warnings.simplefilter("ignore")
        program = torch.jit.trace_module(
            _Detector(model).eval(),
            {
                "pyramid": images,
                # Of a threshold of 0, so that the trace sees detections.
                "find_objects": (pyramid, size, torch.tensor(0.0)),
            },
            check_trace=False,
            # Allows for dicts.
            strict=False,
        )
    buffer = io.BytesIO()
    with _emptied(program.model, set(model.state_dict())):
        torch.jit.save(program, buffer)
    return _without_debug_info(buffer.getvalue())


def _without_debug_info(program: bytes) -> bytes:
    """A TorchScript archive without its notes on which line of which file on this machine each
    operation came from; they are more than half of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            if not name.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@contextmanager
def _emptied(model: nn.Module, names: set[str]) -> Iterator[None]:
    """For a while, those of a model's parameters and buffers have no elements."""
    values = [
        value
        for name, value in itertools.chain(model.named_parameters(), model.named_buffers())
        if name in names
    ]
    contents = [value.data for value in values]
    for value in values:
        value.data = value.new_empty(0)
    try:
        yield
    finally:
        for value, content in zip(values, contents, strict=True):
            value.data = content
