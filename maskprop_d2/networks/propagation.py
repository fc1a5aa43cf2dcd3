"""
The mask propagation branch (Sec. 4.2 of the paper).

Shapes are named as in ``maskprop_d2.structures``. In addition, B is a batch of frames, S the
number of target frames, G the number of dilations and R = 9 * G the number of sampling taps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..ops.deform import deform_masked_features, sample_and_sum
from .affinity import AffinityReadout

CPU_BATCH_NUMEL = 2**21
"""On a CPU, target frames are processed in batches whose motion maps have at most this many
elements (8 MB in float32), so that they stay in the cache."""


class OffsetPredictor(nn.Module):
    """Predicts sampling offsets from the difference of two frames' features (a residual block).

    The block's first convolution and its shortcut projection are linear, so they commute with the
    difference. :meth:`encode` therefore runs them once per frame, and :meth:`forward` runs the
    rest once per pair of frames. They have no bias because it would cancel.
    """

    def __init__(self, in_channels: int, channels: int, dilations: list[int], num_groups: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.projection = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm1 = nn.GroupNorm(num_groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(num_groups, channels)
        for conv in (self.conv1, self.projection, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.offsets = nn.ModuleList()
        for dilation in dilations:
            conv = nn.Conv2d(channels, 2 * 9, 3, padding=dilation, dilation=dilation, bias=False)
            # With zero offsets the warp copies the mask, a good starting point.
            nn.init.zeros_(conv.weight)
            self.offsets.append(conv)

    def encode(self, features: Tensor) -> Tensor:
        """Apply the linear first step: (B, C, h, w) features -> (B, 2 * channels, h, w)."""
        # Dilated convolutions are a third faster in this format on CPUs; later layers keep it.
        features = features.contiguous(memory_format=torch.channels_last)
        # A matrix product, because DistributedDataParallel warns about the strides of a 1x1
        # convolution's gradient in mixed precision.
        weight = self.projection.weight[:, :, 0, 0]
        projected = F.linear(features.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
        return torch.cat([self.conv1(features), projected], dim=1)

    def forward(self, encoded_difference: Tensor) -> Tensor:
        """Encoded f_t minus encoded f_s, (S, 2 * channels, h, w) -> (S, R, 2, h, w) offsets."""
        x, shortcut = encoded_difference.chunk(2, dim=1)
        x = self.norm2(self.conv2(F.relu(self.norm1(x))))
        x = F.relu(x + shortcut)
        offsets = torch.cat([conv(x) for conv in self.offsets], dim=1)
        return offsets.unflatten(1, (-1, 2))


class PropagationBranch(nn.Module):
    """Propagates the instance masks of frame t to target frames s.

    ``impl`` selects one of two implementations of the same function of the same parameters:

    * ``literal`` follows the paper step by step: masked features, deformable convolutions, the sum
      with f_s, the mask classifier.
    * ``fused`` folds the classifier's first, linear layer into the deformable convolutions, so
      that only R * D single-channel maps per frame are sampled.

    With ``affinity``, which the paper does not have, the logits of an :class:`AffinityReadout` are
    added to those of the classifier.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        offset_channels: int,
        num_groups: int,
        dilations: list[int],
        hidden_dim: int,
        background: bool,
        impl: str,
        affinity: dict[str, int] | None = None,
    ):
        """
        Args:
            in_channels: C, channels of the pyramid level.
            offset_channels: channels of the residual block that predicts the offsets.
            num_groups: groups of the residual block's GroupNorm.
            dilations: the G dilation rates.
            hidden_dim: D, channels of the classifier's hidden layer; 0 for a linear classifier.
            background: whether the softmax includes a constant background logit.
            impl: "fused" or "literal".
            affinity: ``channels`` and ``stride`` of the affinity read-out, or None.
        """
        super().__init__()
        if impl not in ("fused", "literal"):
            raise InputError(f"PROPAGATION.IMPL must be 'fused' or 'literal', got '{impl}'")
        self.dilations = list(dilations)
        self.background = background
        self.impl = impl
        self.offset_predictor = OffsetPredictor(
            in_channels, offset_channels, self.dilations, num_groups
        )
        # Identity kernels: together with the zero offsets, the initial warp is a copy.
        identity = nn.init.dirac_(torch.empty(in_channels, in_channels, 3, 3))
        self.deform_weight = nn.Parameter(identity.repeat(len(dilations), 1, 1, 1, 1))
        self.classifier = nn.Conv2d(in_channels, max(hidden_dim, 1), 1)
        self.hidden_classifier = nn.Conv2d(hidden_dim, 1, 1) if hidden_dim else None
        self.attention = nn.Conv2d(in_channels, 1, 3, padding=1)
        self.affinity = AffinityReadout(in_channels=in_channels, **affinity) if affinity else None

    def encode(self, features: Tensor, colors: Tensor) -> dict[str, Tensor]:
        """Compute what propagation needs of each frame, whether as source or as target.

        Args:
            features: (B, C, h, w) one pyramid level of B frames.
            colors: (B, 3, h, w) mean colours of its cells.

        Returns:
            maps by name, each (B, channels, h, w): ``motion`` for the offsets, ``attention`` in
            [0, 1], and either ``features`` (literal) or ``source`` (D * R channels) and
            ``target`` (D channels; one if D = 0) (fused); with affinity also ``keys``, on a
            coarser grid.
        """
        maps = {
            "motion": self.offset_predictor.encode(features),
            "attention": self.attention(features).sigmoid(),
        }
        if self.affinity is not None:
            maps["keys"] = self.affinity.encode(features, colors)
        if self.impl == "literal":
            return {**maps, "features": features}
        return {**maps, **self.encode_first_layer(features)}

    def encode_first_layer(self, features: Tensor) -> dict[str, Tensor]:
        """Maps that the fused path samples (``source``) and adds (``target``)."""
        first_layer = self.classifier.weight[:, :, 0, 0]
        folded = torch.einsum("dc,gceij->dgije", first_layer, self.deform_weight)
        folded = folded.flatten(0, 3)[:, :, None, None] / len(self.dilations)
        return {"source": F.conv2d(features, folded), "target": self.classifier(features)}

    def forward(
        self, masks: Tensor, source: dict[str, Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """Propagate masks from frame t to the target frames.

        Args:
            masks: (N, h, w) soft masks of the instances in frame t.
            source: maps of frame t, each (channels, h, w).
            targets: maps of the S > 0 target frames, each (channels, h, w).

        Returns:
            (S, N, h, w) soft masks in the target frames.
        """
        batch_size = len(targets)
        if masks.device.type == "cpu":
            batch_size = max(1, CPU_BATCH_NUMEL // source["motion"].numel())
        return torch.cat(
            [
                self._propagate(masks, source, targets[i : i + batch_size])
                for i in range(0, len(targets), batch_size)
            ]
        )

    def _propagate(
        self, masks: Tensor, source: dict[str, Tensor], target_frames: list[dict[str, Tensor]]
    ) -> Tensor:
        """Propagate the masks to all target frames in one batch."""
        motion = torch.cat([(source["motion"] - x["motion"])[None] for x in target_frames])
        offsets = self.offset_predictor(motion)
        targets = {
            name: torch.stack([x[name] for x in target_frames])
            for name in ("attention", "features" if self.impl == "literal" else "target")
        }
        step = self.first_layer_literal if self.impl == "literal" else self.first_layer_fused
        x = step(masks, source, targets, offsets)
        if self.hidden_classifier is not None:
            x = self.hidden_classifier(F.relu(x).flatten(0, 1)).unflatten(0, x.shape[:2])
        logits = x[:, :, 0]
        logits = torch.cat([logits, torch.zeros_like(targets["attention"])], dim=1)
        if self.affinity is not None:
            keys = torch.stack([x["keys"] for x in target_frames])
            logits = logits + self.affinity(masks, source["keys"], keys)
        if not self.background:
            logits = logits[:, : len(masks)]
        return logits.softmax(1)[:, : len(masks)] * targets["attention"]

    def first_layer_literal(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        targets: dict[str, Tensor],
        offsets: Tensor,
    ) -> Tensor:
        """Output of the classifier's first layer, (S, N, max(D, 1), h, w), as in the paper."""
        return torch.stack(
            [
                self.classifier(
                    deform_masked_features(
                        masks, source["features"], offset, self.deform_weight, self.dilations
                    )
                    + target_features
                )
                for offset, target_features in zip(offsets, targets["features"], strict=True)
            ]
        )

    def first_layer_fused(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        targets: dict[str, Tensor],
        offsets: Tensor,
    ) -> Tensor:
        """The output of :meth:`first_layer_literal`, computed from the folded maps."""
        tap_maps = source["source"].unflatten(0, (self.classifier.out_channels, -1))
        sampled = sample_and_sum(masks, tap_maps, offsets, self.dilations)
        return sampled + targets["target"][:, None]

    def instance_features(
        self, masks: Tensor, source: dict[str, Tensor], target: dict[str, Tensor]
    ) -> Tensor:
        """The propagated instance features g_i, for inspection. Requires ``impl="literal"``.

        Args:
            masks: (N, h, w) soft masks of the instances in frame t.
            source: maps of frame t.
            target: maps of one frame s.

        Returns:
            (N, C, h, w)
        """
        offsets = self.offset_predictor((source["motion"] - target["motion"])[None])[0]
        return deform_masked_features(
            masks, source["features"], offsets, self.deform_weight, self.dilations
        )


def per_frame(maps: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Split maps of B frames, each (B, channels, h, w), into B dicts of (channels, h, w) maps."""
    return [dict(zip(maps, frame, strict=True)) for frame in zip(*maps.values(), strict=True)]
