"""Drawn scenes, and a network with perfect detections and perfect propagation in them."""

import cv2
import numpy as np
import torch

from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import FrameNetwork, build_tracker, option_names

HEIGHT, WIDTH, STRIDE, SIDE = 96, 160, 4, 28


def texture(seed, height=SIDE, width=SIDE, color=(127, 127, 127)):
    """Random blots around a colour."""
    blots = np.random.default_rng(seed).integers(-60, 61, (height // 4, width // 4, 3))
    return (cv2.resize(blots.astype(np.float32), (width, height)) + color).clip(0, 255)


class Object:
    """A textured square; ``places`` holds its upper left corner in each frame.

    Embeddings of equal appearances, in 0..7, have a dot product of 31.5, others of -4.5.
    """

    def __init__(self, places, appearance=0, category=0, color=(200, 60, 60)):
        self.places = places
        self.embedding = 6 * (torch.eye(8)[appearance] - 1 / 8)
        self.category = category
        self.texture = texture(appearance, color=color)


class Scene(FrameNetwork):
    """Objects by name, the last one in front, over a static background.

    ``missed`` holds the (name, t) that are not detected. Those in ``doubled`` are detected a second
    time, with a lower score and eight pixels below.
    """

    def __init__(self, objects, missed=(), doubled=()):
        self.objects, self.missed, self.doubled = objects, set(missed), set(doubled)
        self.length = len(next(iter(objects.values())).places)

    def images(self):
        """The first pixel holds the frame index."""
        background = texture(99, HEIGHT, WIDTH, (60, 110, 60))
        for t in range(self.length):
            image = background.copy()
            for x in self.objects.values():
                left, top = x.places[t]
                image[top : top + SIDE, left : left + SIDE] = x.texture
            image[0, 0] = t
            yield image.astype(np.uint8)

    def frames(self):
        """The input of a tracker."""
        images = list(self.images())
        outputs = self.detect(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
        return [Frame(t, *x) for t, x in enumerate(zip(images, outputs, strict=True))]

    def detections(self, t):
        """N names, (N, 4) boxes and (N,) scores, in another order each frame."""
        found = []
        for name, x in self.objects.items():
            left, top = x.places[t]
            if (name, t) in self.doubled:
                found.append((f"{name} again", left, top + 8, 0.5))
            if (name, t) not in self.missed:
                found.append((name, left, top, 0.9))
        if found:
            found = found[t % len(found) :] + found[: t % len(found)]
        corners = torch.tensor([x[1:3] for x in found]).reshape(-1, 2).float()
        return [x[0] for x in found], boxes_at(corners), torch.tensor([x[3] for x in found])

    # The methods of FrameNetwork.

    def detect(self, frames):
        return [self._output(t) for t in frames[:, 0, 0, 0].tolist()]

    def _output(self, t):
        names, boxes, scores = self.detections(t)
        class_scores, embeddings = torch.full((len(names), 4), 0.05), torch.zeros(len(names), 8)
        for row, embedding, name in zip(class_scores, embeddings, names, strict=True):
            found = self.objects[name.split()[0]]
            row[found.category] = 0.85
            embedding[:] = found.embedding
        return FrameOutput(
            boxes_video=boxes,
            scores=scores,
            class_scores=class_scores,
            box_masks=torch.ones(len(names), 8, 8),
            grid_masks=grid_masks(boxes),
            grid_box_video=torch.tensor([0.0, 0.0, WIDTH, HEIGHT]),
            maps={"t": t},
            embeddings=embeddings,
            crop_scores=class_scores[:, :-1] / class_scores[:, :-1].sum(1, keepdim=True),
        )

    def propagate(self, source, targets):
        """Masks move with their objects."""
        names, boxes, _ = self.detections(source.maps["t"])
        masks = []
        for target in targets:
            moved = boxes.clone()
            for box, name in zip(moved, names, strict=True):
                places = self.objects[name.split()[0]].places
                now, then = places[source.maps["t"]], places[target.maps["t"]]
                box += torch.tensor([then[0] - now[0], then[1] - now[1]] * 2)
            masks.append(grid_masks(moved))
        return torch.stack(masks)

    def mask_propagator(self, method):
        return ScriptedPropagator(self)


class ScriptedPropagator:
    """Recognises objects by their masks, and moves the visible part of their masks with them."""

    def __init__(self, scene):
        self.scene = scene

    def templates(self, masks, maps):
        """The names of the objects."""
        names, boxes, _ = self.scene.detections(maps["t"])
        known = grid_masks(boxes)
        return [names[[torch.equal(mask, x) for x in known].index(True)] for mask in masks]

    def propagate(self, masks, source, target, templates):
        assert len(masks) == len(templates) and target["t"] == source["t"] + 1
        names = list(self.scene.objects)
        corners = torch.tensor([x.places[target["t"]] for x in self.scene.objects.values()])
        moved = []
        for name in templates:
            i = names.index(name.split()[0])
            corner = corners[i] + torch.tensor([0, 8 * name.endswith("again")])
            own, *in_front = grid_masks(boxes_at(torch.cat([corner[None], corners[i + 1 :]])))
            moved.append(own * (1 - sum(in_front, torch.zeros(()))).clamp(min=0))
        return torch.stack(moved)


def boxes_at(corners):
    """(N, 4) boxes of objects by their upper left corners."""
    return torch.cat([corners, corners + SIDE], dim=1).float()


def grid_masks(boxes):
    """(N, h, w) the covered fraction of each cell."""
    fine = torch.zeros(len(boxes), HEIGHT, WIDTH)
    for mask, (x0, y0, x1, y1) in zip(fine, boxes.clamp(min=0).int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = 1
    return torch.nn.functional.avg_pool2d(fine[:, None], STRIDE)[:, 0]


def make_tracker(method, network, **options):
    """A tracker with those of the options that the method has."""
    return build_tracker(
        method, network, **{k: v for k, v in options.items() if k in option_names(method)}
    )


def track(method, scene, radius=3):
    """The ids of each object in all frames; None where it is not detected."""
    tracker = make_tracker(method, scene, clip_radius=radius, threshold=0.1)
    tracked = [x for frame in scene.frames() for x in tracker.add(frame)] + tracker.finish()
    assert [x.index for x in tracked] == list(range(scene.length))
    found = {}
    for t, frame in enumerate(tracked):
        for name, track_id in zip(scene.detections(t)[0], frame.ids, strict=True):
            found.setdefault(name, [None] * scene.length)[t] = track_id
    return found


def id_runs(ids):
    """The ids of an object without repetitions: [0, 0, None, 2] -> [0, 2]."""
    seen = [x for x in ids if x is not None]
    return [x for i, x in enumerate(seen) if i == 0 or x != seen[i - 1]]
