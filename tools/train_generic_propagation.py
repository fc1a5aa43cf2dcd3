"""
Train the generic propagation network, which propagates masks of any detector's objects.

No labels are needed: the training clips are images and frames of videos that are moved and
deformed, with pieces of others pasted on them. The weights are written in 16 bits.
"""

import argparse
import copy
import math
import time
from pathlib import Path

import numpy as np
import torch
from propagation_training.backbone import load_backbone
from propagation_training.clips import Clip, load_files, make_clip
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from maskprop_d2.networks.generic_propagation import GenericPropagation, MemoryFrame
from maskprop_d2.ops.masks import soft_masks
from maskprop_d2.ops.soft_iou import soft_iou_terms

DECAY = 0.998
"""Of the average of the weights over the iterations, which is what is written."""

FROZEN_BLOCKS = 3
"""The blocks up to stride 4, which stay as they are."""


class Clips(IterableDataset):
    """An endless stream of clips."""

    def __init__(self, folders: list[Path], length: int, seed: int):
        self.folders, self.length, self.seed = folders, length, seed

    def __iter__(self):
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        files = load_files(self.folders)
        while True:
            yield make_clip(files, self.length, rng)


def clip_loss(network: GenericPropagation, clip: Clip, rng: np.random.Generator) -> Tensor:
    """Propagate the masks of the first frame through the clip; the mean loss of the others."""
    frames = torch.from_numpy(clip.frames).permute(0, 3, 1, 2)
    masks = torch.from_numpy(clip.masks).float()
    encoded = network.encode(frames)
    masks = F.avg_pool2d(masks, 2)
    memory = [MemoryFrame(clip.times[0], encoded[0].keys, masks[0])]
    losses = []
    for k in range(1, len(encoded)):
        logits = network(memory, encoded[k], clip.times[k])
        losses.append(mask_loss(logits, masks[k]))
        new = MemoryFrame(clip.times[k], encoded[k].keys, soft_masks(logits))
        kept = memory if rng.random() < 0.3 else memory[:1]
        memory = [*kept, new] if rng.random() < 0.8 else memory
    return torch.stack(losses).mean()


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross entropy over objects and background, and 1 - soft IoU of each object.

    Args:
        logits: (N, h, w); the background has 0.
        masks: (N, h, w) true soft masks.
    """
    scores = torch.cat([logits, torch.zeros_like(logits[:1])])
    truth = torch.cat([masks, 1 - masks.sum(0, keepdim=True)])
    entropy = -(truth * scores.log_softmax(0)).sum(0)
    overlap, union = soft_iou_terms(soft_masks(logits).flatten(1), masks.flatten(1))
    # Half of the weight goes to the objects, however small they are.
    near = F.max_pool2d(masks.amax(0, keepdim=True), 15, 1, 7)[0]
    focused = (entropy * near).sum() / near.sum().clamp(min=1)
    return entropy.mean() + focused + (1 - (overlap + 8) / (union + 8)).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, nargs="+", required=True, metavar="DIR")
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--backbone", type=Path, help="start from these EfficientNet-Lite0 weights")
    origin.add_argument("--weights", type=Path, help="start from what this script has written")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--clips", type=int, default=2, help="clips per iteration")
    parser.add_argument("--length", type=int, default=4, help="frames per clip")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    network = GenericPropagation()
    if args.weights:
        network.load_state_dict(torch.load(args.weights, weights_only=True))
    else:
        network.backbone = load_backbone(args.backbone)
    average = copy.deepcopy(network)
    # Early layers are as good for any image, and training them takes longest.
    for early in (network.backbone.stem, *network.backbone.blocks[:FROZEN_BLOCKS]):
        early.requires_grad_(False)
    backbone = [p for p in network.backbone.parameters() if p.requires_grad]
    rest = [p for n, p in network.named_parameters() if not n.startswith("backbone.")]
    optimizer = torch.optim.AdamW(
        [{"params": rest}, {"params": backbone, "factor": 0.1}], weight_decay=1e-4
    )
    loader = DataLoader(Clips(args.images, args.length, args.seed), batch_size=None, num_workers=1)
    clips = iter(loader)
    next(clips)
    start, iteration, mean = time.monotonic(), 0, 0.0
    while (progress := (time.monotonic() - start) / 60 / args.minutes) < 1:
        rate = args.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        rate *= min(1, (iteration + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)
        optimizer.zero_grad()
        for _ in range(args.clips):
            loss = clip_loss(network, next(clips), rng) / args.clips
            loss.backward()
            mean += 0.01 * (loss.item() * args.clips - mean)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        iteration += 1
        decay = min(DECAY, iteration / (iteration + 10))
        with torch.no_grad():
            for a, p in zip(average.parameters(), network.parameters(), strict=True):
                a.lerp_(p, 1 - decay)
        if iteration % 100 == 0:
            print(
                f"{iteration} iterations, {60 * args.minutes * progress:.0f} s, loss {mean:.3f}",
                flush=True,
            )
        if iteration % 500 == 0:
            save(average, args.output)
    save(average, args.output)


def save(network: GenericPropagation, path: Path) -> None:
    """Write the weights in 16 bits."""
    torch.save({k: v.half() for k, v in network.state_dict().items()}, path)


if __name__ == "__main__":
    main()
