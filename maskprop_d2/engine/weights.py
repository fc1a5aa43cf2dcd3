"""Loading the weights of a model that is to be used as it is."""

from typing import Any

from .checkpoint import Checkpointer

from ..errors import UntrainedError


class TrainedCheckpointer(Checkpointer):
    """Detectron2's, which only logs what a file lacks, since a training may begin with less."""

    def load(self, path: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As in the base class.

        Raises:
            UntrainedError: if the file has no weights of an embedding head that the model has.
        """
        self._path = path
        return super().load(path, *args, **kwargs)

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        incompatible = super()._load_model(checkpoint)
        if any(name.startswith("embedding.") for name in incompatible.missing_keys):
            raise UntrainedError(
                f"{self._path} has no weights of an embedding head, which the tracking method "
                "masktrack needs. Train one on top of it: set it as MODEL.WEIGHTS of a config like "
                "configs/moving_shapes/maskprop_tiny_masktrack.yaml, and use what comes out"
            )
        return incompatible
