"""Checkpoints that are whole, and that are read without running anything of theirs."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from ..errors import InputError, MissingWeightsError, TrainingError, WeightsFileError
from ..files import atomic_file
from ..tracking import OWN_WEIGHTS
from ..weights_file import read_weights


class Checkpointer(DetectionCheckpointer):
    """Detectron2's, which writes each file beside its place and reads weights alone.

    ``last_checkpoint`` names a whole file at any moment.

    Attributes:
        missing: names of the model's weights that the last file that was loaded has not.
        averaged: if not None, a copy of the model whose weights are saved as those of the model.
    """

    missing: Sequence[str] = ()
    averaged: torch.nn.Module | None = None

    def save(self, name: str, **kwargs: Any) -> None:
        """As in the base class.

        Raises:
            TrainingError: if the weights are not finite, so that no good checkpoint is followed by
                a useless one, or if the file cannot be written.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        path = os.path.join(self.save_dir, f"{name}.pth")
        weights = (self.averaged or self.model).state_dict()
        for key, value in weights.items():
            if value.is_floating_point() and not value.isfinite().all():
                raise TrainingError(
                    f"{path} is not written: {key} is not finite any more. Lower SOLVER.BASE_LR, "
                    "or set SOLVER.CLIP_GRADIENTS.ENABLED True"
                )
        others = {key: x.state_dict() for key, x in self.checkpointables.items()}
        self.logger.info("Saving checkpoint to %s", path)
        try:
            with atomic_file(path) as partial:
                torch.save({"model": weights, **others, **kwargs}, partial)
            self.tag_last_checkpoint(f"{name}.pth")
        # torch tells of a full disk as of any error of its own.
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise TrainingError(
                f"{path} cannot be written: is the disk full? ({reason})"
            ) from error

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """As in the base class."""
        with atomic_file(os.path.join(self.save_dir, "last_checkpoint")) as partial:
            partial.write_text(last_filename_basename)

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As in the base class.

        Raises:
            WeightsFileError: if the file is missing, damaged, or more than weights.
        """
        try:
            return super().load(path, *args, **kwargs)
        except InputError:
            raise
        # What is in a checkpoint reaches the model, the optimizer and the scheduler.
        except Exception as error:
            raise WeightsFileError(path, " ".join(str(error).split())) from error
        finally:
            # Else the base class refuses to load another.
            self._parsed_url_during_load = None

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        incompatible = super()._load_model(checkpoint)
        self.missing = incompatible.missing_keys
        return incompatible

    def _load_file(self, filename: str) -> dict[str, Any]:
        """The kinds of files that the base class knows."""
        contents = read_weights(filename)
        if filename.endswith(".pkl") and "__author__" not in contents:
            # Of Caffe2 or the first Detectron.
            weights = contents.get("blobs", contents)
            weights = {k: v for k, v in weights.items() if not k.endswith("_momentum")}
            return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}
        if filename.endswith(".pyth"):
            weights = contents["model_state"]
            return {"model": weights, "__author__": "pycls", "matching_heuristics": True}
        contents = contents if "model" in contents else {"model": contents}
        if "matching_heuristics=True" in self._parsed_url_during_load.query:
            contents["matching_heuristics"] = True
        return contents


def load_weights(cfg: Any, model: torch.nn.Module, *, resume: bool = False) -> Sequence[str]:
    """Load ``MODEL.WEIGHTS`` to run the model with them; a training may begin with less.

    Args:
        cfg: the whole config.
        model: what was built of it.
        resume: whether to prefer the last checkpoint in ``OUTPUT_DIR``.

    Returns:
        names of the model's weights that the file has not: they stay random.

    Raises:
        WeightsFileError: if the file is missing, damaged, or more than weights.
        MissingWeightsError: if it lacks those of a tracking method that the model is built for.
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
