"""Export a model to one file that runs without Detectron2 (``inference/exported.py``)."""

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
from ..inference.exported import KEY, VERSION
from ..modeling import MaskProp
from ..modeling.options import network_options, segmenter_options
from ..weights_file import write_weights
from .setup import build_trained_model, class_names


class _Detector(nn.Module):
    """The methods of ``DetectorNetwork`` that are traced, from tensors to tensors."""

    def __init__(self, model: MaskProp):
        super().__init__()
        self.model = model

    def pyramid(self, images: Tensor) -> dict[str, Tensor]:
        return self.model.pyramid(images)

    def find_objects(
        self, pyramid: dict[str, Tensor], image_size: Tensor, score_threshold: Tensor
    ) -> tuple[Tensor, ...]:
        """Detect objects in one image.

        The size (H', W') and the threshold are tensors, since numbers would become constants of the
        program.
        """
        predictor = self.model.roi_heads.final_predictor
        config_threshold = predictor.test_score_thresh
        predictor.test_score_thresh = score_threshold
        try:
            with patch_builtin_len(["maskprop_d2.modeling.roi_heads.hybrid_task_cascade"]):
                (found,) = self.model.find_objects(pyramid, image_size)
        finally:
            predictor.test_score_thresh = config_threshold
        return tuple(found)


def export_model(cfg: Any, output: str | Path, *, half: bool = False) -> None:
    """Export the model of a config with the weights of ``MODEL.WEIGHTS``.

    Args:
        cfg: the whole config.
        output: the file to write; its folder is created if necessary.
        half: store the weights in 16 bits; computation stays in 32 bits.

    Raises:
        InputError: if the weights cannot be read, or do not cover the whole model.
    """
    model, missing = build_trained_model(cfg)
    if missing:
        parts = sorted({".".join(name.split(".")[:2]) for name in missing})
        raise InputError(
            f"{cfg.MODEL.WEIGHTS} does not fit the config: it has no weights for "
            f"{', '.join(parts)}. Export with the config of its training"
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
        **network_options(cfg, model.backbone.output_shape()),
        "segmenter": segmenter_options(cfg),
        # A tensor, since torch.load(weights_only=True) allows no bytes.
        "program": torch.frombuffer(bytearray(trace_detector(model)), dtype=torch.uint8),
    }
    write_weights({"model": weights, KEY: exported}, output)


@torch.no_grad()
def trace_detector(model: MaskProp) -> bytes:
    """Trace the detector for any size and number of frames.

    Returns:
        a TorchScript archive without the values of the model's ``state_dict``.
    """
    # Noise, with different sides, so that neither is mistaken for the other.
    images = torch.randn(2, 3, 256, 384, device=model.device)
    size = torch.tensor([250, 380])
    pyramid = {k: v[:1] for k, v in model.pyramid(images).items()}
    with warnings.catch_warnings():
        # They concern Python values that do not depend on the frame, and TorchScript itself.
        warnings.simplefilter("ignore")
        program = torch.jit.trace_module(
            _Detector(model).eval(),
            {
                "pyramid": images,
                # With a threshold of 0 the trace sees detections.
                "find_objects": (pyramid, size, torch.tensor(0.0)),
            },
            check_trace=False,
            # Allows dicts.
            strict=False,
        )
    buffer = io.BytesIO()
    with _emptied(program.model, set(model.state_dict())):
        torch.jit.save(program, buffer)
    return _without_debug_info(buffer.getvalue())


def _without_debug_info(program: bytes) -> bytes:
    """Remove the source lines and file paths of all operations, more than half of an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            if not name.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(name), old.read(name), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@contextmanager
def _emptied(model: nn.Module, names: set[str]) -> Iterator[None]:
    """Empty the named parameters and buffers of a model within a ``with`` block."""
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    values = [value for name, value in tensors if name in names]
    contents = [value.data for value in values]
    for value in values:
        value.data = value.new_empty(0)
    try:
        yield
    finally:
        for value, content in zip(values, contents, strict=True):
            value.data = content
