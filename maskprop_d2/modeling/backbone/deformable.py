"""Detectron2's deformable convolutions with torchvision's operator, which also trains on a CPU.

On a CPU, Detectron2's operator has no backward pass, and its modulated one no forward pass either.
"""

from detectron2.layers import DeformConv, ModulatedDeformConv
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from ...ops.deform import match_dtypes


class TorchvisionDeformConv(nn.Module):
    """Replaces a layer of Detectron2 and keeps its parameters and their names."""

    def __init__(self, layer: DeformConv | ModulatedDeformConv):
        """
        Args:
            layer: the layer to replace.
        """
        super().__init__()
        self.weight = layer.weight
        self.register_parameter("bias", layer.bias)
        self.norm = layer.norm
        self.activation = layer.activation
        self.geometry = {x: getattr(layer, x) for x in ("stride", "padding", "dilation")}

    def forward(self, x: Tensor, offset: Tensor, mask: Tensor | None = None) -> Tensor:
        """
        Args:
            x: (B, C, h, w).
            offset: (B, 2 * taps, h', w') offsets (y, x) of each tap in cells.
            mask: (B, taps, h', w') factor of each tap of a modulated layer.

        Returns:
            (B, C', h', w')
        """
        x, offset = match_dtypes(x, offset)
        mask = None if mask is None else mask.to(x.dtype)
        x = deform_conv2d(x, offset, self.weight, self.bias, mask=mask, **self.geometry)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.activation is None else self.activation(x)


def use_torchvision_deform_conv(module: nn.Module) -> None:
    """Replace all of Detectron2's deformable convolutions (``DEFORM_ON_PER_STAGE``) in a module."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, DeformConv | ModulatedDeformConv):
                setattr(parent, name, TorchvisionDeformConv(child))
