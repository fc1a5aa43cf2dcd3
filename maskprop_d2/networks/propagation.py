"""
The mask propagation branch (Sec. 4.2 of the paper). Nothing here needs Detectron2.

Shape shorthand of ``maskprop_d2.structures``; further G dilations and R = 9 * G taps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..ops.deform import deform_masked_features, sample_and_sum

CACHED_NUMBERS = 2**21
"""On a CPU so many target frames go through the branch at once that their offset predictor's maps
have about so many numbers: 8 MB in float32, which stays in the cache."""


class OffsetPredictor(nn.Module):
    """Sampling offsets from the difference of two frames' features, through a residual block.

    The block's first convolution and its projection are linear, so that their difference for two
    frames equals their value for the difference: :meth:`encode` runs them once for a frame, and
    :meth:`forward` the rest once for a pair. They have no bias: it would cancel.
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
            # Without offsets the warp copies the mask, which is the place to start from.
            nn.init.zeros_(conv.weight)
            self.offsets.append(conv)

    def encode(self, features: Tensor) -> Tensor:
        """The linear first step: (B, C, h, w) features -> (B, 2 * channels, h, w)."""
        # Dilated convolutions are a third faster in this format, on CPUs; what follows keeps it.
        features = features.contiguous(memory_format=torch.channels_last)
        # As a matrix product: in mixed precision the gradient of a 1x1 convolution would have
        # strides that DistributedDataParallel warns of.
        weight = self.projection.weight[:, :, 0, 0]
        projected = F.linear(features.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)
        return torch.cat([self.conv1(features), projected], dim=1)

    def forward(self, encoded_difference: Tensor) -> Tensor:
        """(S, 2 * channels, h, w), encoded f_t minus encoded f_s -> (S, R, 2, h, w) offsets."""
        x, shortcut = encoded_difference.chunk(2, dim=1)
        x = self.norm2(self.conv2(F.relu(self.norm1(x))))
        x = F.relu(x + shortcut)
        offsets = torch.cat([conv(x) for conv in self.offsets], dim=1)
        return offsets.unflatten(1, (-1, 2))


class PropagationBranch(nn.Module):
    """Propagates the instance masks of frame t to target frames s.

    ``impl`` chooses between two ways to compute the same function of the same parameters:

    * ``literal``, word for word as the paper: masked features, deformable convolutions, the sum
      with f_s, the mask classifier;
    * ``fused``, where the classifier's first, linear layer is folded into the deformable
      convolutions, so that only R * D small maps a frame remain to be sampled.
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
    ):
        """
        Args:
            in_channels: C, channels of the pyramid level.
            offset_channels: channels of the residual block that predicts the offsets.
            num_groups: groups of that block's GroupNorm.
            dilations: the G dilation rates.
            hidden_dim: D, channels of the classifier's hidden layer; 0 for a linear classifier.
            background: whether the softmax also has a constant background logit.
            impl: "fused" or "literal".
        """
        super().__init__()
        if impl not in ("fused", "literal"):
            raise InputError(f"PROPAGATION.IMPL must be 'fused' or 'literal', not '{impl}'")
        self.dilations = list(dilations)
        self.background = background
        self.impl = impl
        self.offset_predictor = OffsetPredictor(
            in_channels, offset_channels, self.dilations, num_groups
        )
        # The identity tap: together with zero offsets the warp starts as a copy.
        identity = nn.init.dirac_(torch.empty(in_channels, in_channels, 3, 3))
        self.deform_weight = nn.Parameter(identity.repeat(len(dilations), 1, 1, 1, 1))
        self.classifier = nn.Conv2d(in_channels, max(hidden_dim, 1), 1)
        self.hidden_classifier = nn.Conv2d(hidden_dim, 1, 1) if hidden_dim else None
        self.attention = nn.Conv2d(in_channels, 1, 3, padding=1)

    def encode(self, features: Tensor) -> dict[str, Tensor]:
        """All that propagation needs of a frame, computed once, as source and as target.

        Args:
            features: (B, C, h, w) the pyramid level of B frames.

        Returns:
            maps by name, each (B, channels, h, w): ``motion`` for the offsets, ``attention`` in
            [0, 1], and ``features`` (literal), or ``source`` (D * R) and ``target`` (D) (fused).
        """
        maps = {
            "motion": self.offset_predictor.encode(features),
            "attention": self.attention(features).sigmoid(),
        }
        if self.impl == "literal":
            return {**maps, "features": features}
        return {**maps, **self.encode_first_layer(features)}

    def encode_first_layer(self, features: Tensor) -> dict[str, Tensor]:
        """What the fused path samples (``source``), and adds (``target``): (B, channels, h, w)."""
        first_layer = self.classifier.weight[:, :, 0, 0]
        folded = torch.einsum("dc,gceij->dgije", first_layer, self.deform_weight)
        folded = folded.flatten(0, 3)[:, :, None, None] / len(self.dilations)
        return {"source": F.conv2d(features, folded), "target": self.classifier(features)}

    def forward(
        self, masks: Tensor, source: dict[str, Tensor], targets: list[dict[str, Tensor]]
    ) -> Tensor:
        """
        Args:
            masks: (N, h, w) soft masks of the instances in frame t.
            source: the maps of frame t, each (channels, h, w).
            targets: those of the S target frames, S > 0.

        Returns:
            (S, N, h, w) soft masks in the target frames.
        """
        at_once = len(targets)
        if masks.device.type == "cpu":
            at_once = max(1, CACHED_NUMBERS // source["motion"].numel())
        return torch.cat(
            [
                self._propagate(masks, source, targets[i : i + at_once])
                for i in range(0, len(targets), at_once)
            ]
        )

    def _propagate(
        self, masks: Tensor, source: dict[str, Tensor], target_frames: list[dict[str, Tensor]]
    ) -> Tensor:
        """:meth:`forward` for targets that go through in one batch."""
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
        if self.background:
            logits = torch.cat([logits, torch.zeros_like(targets["attention"])], dim=1)
        return logits.softmax(1)[:, : len(masks)] * targets["attention"]

    def first_layer_literal(
        self,
        masks: Tensor,
        source: dict[str, Tensor],
        targets: dict[str, Tensor],
        offsets: Tensor,
    ) -> Tensor:
        """Output of the classifier's first layer, (S, N, max(D, 1), h, w)."""
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
        """The same as :meth:`first_layer_literal`, computed from the folded maps."""
        tap_maps = source["source"].unflatten(0, (self.classifier.out_channels, -1))
        sampled = sample_and_sum(masks, tap_maps, offsets, self.dilations)
        return sampled + targets["target"][:, None]

    def instance_features(
        self, masks: Tensor, source: dict[str, Tensor], target: dict[str, Tensor]
    ) -> Tensor:
        """The propagated instance features g_i themselves, to look at; only of "literal" maps.

        Args:
            masks: (N, h, w) soft masks of the instances in frame t.
            source, target: the maps of frame t and of one frame s.

        Returns:
            (N, C, h, w)
        """
        offsets = self.offset_predictor((source["motion"] - target["motion"])[None])[0]
        return deform_masked_features(
            masks, source["features"], offsets, self.deform_weight, self.dilations
        )


def per_frame(maps: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Maps of B frames, each (B, channels, h, w), as B dicts of maps (channels, h, w)."""
    return [dict(zip(maps, frame, strict=True)) for frame in zip(*maps.values(), strict=True)]
