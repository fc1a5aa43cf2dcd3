"""The detector of an exported model as an ONNX file (docs/export.md)."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..files import atomic_file
from .exported import ExportedNetwork

OPSET = 17
OUTPUTS = ("boxes", "scores", "class_scores", "box_masks", "features")


class _Detector(nn.Module):
    """From a resized frame to its detections and its features for propagation."""

    def __init__(self, network: ExportedNetwork):
        super().__init__()
        self._program = network.program
        self._settings = network.frame_settings
        self._threshold = network.score_threshold

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        # Not frame.shape, which would become a constant.
        size = torch._shape_as_tensor(frame)[-2:]
        pyramid = self._program.pyramid(self._settings.pad(self._settings.normalize(frame)))
        found = self._program.find_objects(pyramid, size, self._threshold)
        return (*found, pyramid[self._settings.propagation_feature])


def export_onnx(model: str | Path, output: str | Path) -> None:
    """Write the detector of an exported model as ONNX, for frames of any size.

    Its input is ``frame``, a (1, 3, h, w) float RGB frame in 0..255, resized as
    ``FrameSettings.resized`` says. Its outputs are those of ``Detections``, with the score
    threshold of the model, and ``features``, the pyramid level for propagation.

    Args:
        model: a file of ``maskprop export``.
        output: the file to write.

    Raises:
        ModelFileError: if the model cannot be used.
        InputError: if the package onnx is missing.
    """
    if not find_spec("onnx"):
        raise InputError("writing ONNX needs the package onnx: pip install 'maskprop-d2[onnx]'")
    detector = _Detector(ExportedNetwork(model, device="cpu"))
    # Different sides, so that neither is mistaken for the other. Noise, with many detections.
    frame = torch.rand(1, 3, 256, 384) * 255
    sizes = {"frame": {2: "h", 3: "w"}, "features": {2: "feature_h", 3: "feature_w"}}
    with torch.no_grad(), warnings.catch_warnings(), atomic_file(output) as partial:
        # They concern Python values that do not depend on the frame, and TorchScript itself.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(detector.eval(), (frame,), check_trace=False)
        torch.onnx.export(
            traced,
            (frame,),
            str(partial),
            # The newer exporter takes no TorchScript.
            dynamo=False,
            opset_version=OPSET,
            input_names=["frame"],
            output_names=list(OUTPUTS),
            dynamic_axes={**sizes, **{name: {0: "n"} for name in OUTPUTS[:4]}},
        )
