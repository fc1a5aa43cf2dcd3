"""Saving and loading checkpoints."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from ..errors import InputError, MissingWeightsError, TrainingError, WeightsFileError
from ..files import atomic_file
from ..mmdetection import convert, is_foreign
from ..tracking import OWN_WEIGHTS
from ..weights_file import read_weights, write_weights


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer, which writes files atomically and loads weights without running
    code in the file, also those of mmdetection and mmtracking.

    ``last_checkpoint`` names a complete file at any time.

    Attributes:
        missing: the model's weights that the last loaded file did not have.
        averaged: if not None, a copy of the model whose weights are saved instead of the model's.
    """

    missing: Sequence[str] = ()
    averaged: torch.nn.Module | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        """
        Raises:
            TrainingError: if weights are not finite, so that a good checkpoint stays the last one,
                or if the file cannot be written.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        path = os.path.join(self.save_dir, f"{name}.pth")
        weights = (self.averaged or self.model).state_dict()
        for key, value in weights.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise TrainingError(
                    f"{path} is not saved: {key} is not finite. Lower SOLVER.BASE_LR or set "
                    "SOLVER.CLIP_GRADIENTS.ENABLED True"
                )
        others = {key: x.state_dict() for key, x in self.checkpointables.items()}
        self.logger.info("Saving checkpoint to %s", path)
        try:
            write_weights({"model": weights, **others, **kwargs}, path)
            self.tag_last_checkpoint(f"{name}.pth")
        # torch.save raises RuntimeError if the disk is full.
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise TrainingError(
                f"{path} cannot be written: is the disk full? ({reason})"
            ) from error

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        with atomic_file(os.path.join(self.save_dir, "last_checkpoint")) as partial:
            partial.write_text(last_filename_basename)

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """
        Raises:
            WeightsFileError: if the file is missing, damaged, or contains more than weights.
        """
        self._match_names = "?matching_heuristics=True" in path
        try:
            return super().load(path, *args, **kwargs)
        except InputError:
            raise
        # The model, optimizer and scheduler can raise anything if the contents do not fit.
        except Exception as error:
            raise WeightsFileError(path, " ".join(str(error).split())) from error

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        incompatible = super()._load_model(checkpoint)
        self.missing = incompatible.missing_keys
        return incompatible

    def _load_file(self, filename: str) -> dict[str, Any]:
        contents = read_weights(filename)
        if filename.endswith(".pkl") and "__author__" not in contents:
            # From Caffe2 or the first Detectron.
            weights = contents.get("blobs", contents)
            weights = {k: v for k, v in weights.items() if not k.endswith("_momentum")}
            return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
        if filename.endswith(".pyth"):
            weights = contents["model_state"]
            return {"model": weights, "__author__": "pycls", "matching_heuristics": True}
        if is_foreign(contents):
            try:
                return {"model": convert(contents).weights}
            except InputError as error:
                raise WeightsFileError(filename, str(error)) from error
        contents = contents if "model" in contents else {"model": contents}
        if self._match_names:
            contents["matching_heuristics"] = True
        return contents


def load_weights(cfg: Any, model: torch.nn.Module, *, resume: bool = False) -> Sequence[str]:
    """Load ``MODEL.WEIGHTS`` for inference.

    Args:
        cfg: the whole config.
        model: the model built from it.
        resume: prefer the last checkpoint in ``OUTPUT_DIR``.

    Returns:
        names of the model's weights that the file does not have; they stay random.

    Raises:
        WeightsFileError: if the file is missing, damaged, or contains more than weights.
        MissingWeightsError: if it lacks the weights of the model's tracking method.
    """
    checkpointer = Checkpointer(model, save_dir=cfg.OUTPUT_DIR)
    path = cfg.MODEL.WEIGHTS
    if resume and checkpointer.has_checkpoint():
        path = checkpointer.get_checkpoint_file()
    checkpointer.load(path)
    for method, prefix in OWN_WEIGHTS.items():
        if any(name.startswith(prefix) for name in checkpointer.missing):
            raise MissingWeightsError(method, path)
    return checkpointer.missing
