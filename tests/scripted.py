"""A frame network that sees what a script says, and propagates perfectly."""

import numpy as np
import torch

from maskprop_d2.structures import FrameOutput
from maskprop_d2.tracking.base import FrameNetwork

HEIGHT, WIDTH, STRIDE = 32, 48, 4


def frame_of(t):
    """A frame that carries its own index."""
    return np.full((HEIGHT, WIDTH, 3), t, np.uint8)


class ScriptedNetwork(FrameNetwork):
    """Each frame's detections are (object, box, category); K = 3.

    An object's mask fills its box. Propagation gives the object's box in the target frame, as
    ``boxes[object][s]``, whether or not the script detects it there.
    """

    def __init__(self, script, boxes):
        self.script = script
        self.boxes = boxes
        self.detected_batches = []

    def detect(self, frames):
        self.detected_batches.append(len(frames))
        outputs = []
        for t in frames[:, 0, 0, 0].tolist():
            objects = self.script[t]
            boxes = torch.tensor([self.boxes[i][t] for i, _ in objects]).reshape(-1, 4).float()
            class_scores = torch.full((len(objects), 4), 0.1)
            for row, (_, category) in zip(class_scores, objects, strict=True):
                row[category] = 0.7
            outputs.append(
                FrameOutput(
                    boxes_video=boxes,
                    scores=torch.full((len(objects),), 0.7),
                    class_scores=class_scores,
                    box_masks=torch.ones(len(objects), 8, 8),
                    grid_masks=self.grid_masks(boxes),
                    grid_box_video=torch.tensor([0.0, 0.0, WIDTH, HEIGHT]),
                    maps={"frame": torch.tensor([t]), "objects": [i for i, _ in objects]},
                )
            )
        return outputs

    def propagate(self, source, targets):
        boxes = [
            torch.tensor([self.boxes[i][int(x.maps["frame"])] for i in source.maps["objects"]])
            for x in targets
        ]
        return torch.stack([self.grid_masks(b.float()) for b in boxes])

    @staticmethod
    def grid_masks(boxes):
        masks = torch.zeros(len(boxes), HEIGHT // STRIDE, WIDTH // STRIDE)
        for mask, box in zip(masks, (boxes / STRIDE).round().int().tolist(), strict=True):
            mask[max(box[1], 0) : max(box[3], 0), max(box[0], 0) : max(box[2], 0)] = 1
        return masks
