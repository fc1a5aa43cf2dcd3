"""Counting FLOPs with fvcore, including operators that it does not know."""

from collections.abc import Callable
from math import prod
from typing import Any

from detectron2.utils.analysis import FlopCountAnalysis
from fvcore.nn.jit_handles import get_shape
from torch import nn


class FlopCounter:
    """Counts the FLOPs of functions.

    Attributes:
        not_counted: names of the operators that were not counted.
    """

    def __init__(self) -> None:
        self.not_counted: set[str] = set()

    def __call__(self, function: Callable[..., Any], module: nn.Module, *inputs: Any) -> int:
        """FLOPs of ``function(*inputs)``, which uses the parameters of ``module``."""
        analysis = FlopCountAnalysis(Step(function, module), inputs)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.set_op_handle(**HANDLES)
        flops = analysis.total()
        self.not_counted |= set(analysis.unsupported_ops())
        return flops


class Step(nn.Module):
    """A function as a module, as fvcore needs it."""

    def __init__(self, function: Callable[..., Any], module: nn.Module):
        super().__init__()
        self.function = function
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        """Call the function."""
        return self.function(*inputs)


def deform_conv2d_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """The convolution, and four multiplications per sampled value."""
    x, weight, out = (get_shape(value) for value in (*inputs[:2], outputs[0]))
    samples = x[0] * x[1] * prod(weight[2:]) * prod(out[2:])
    return prod(out) * prod(weight[1:]) + 4 * samples


def matmul_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Like fvcore's, but also for matrix-vector products."""
    return prod(get_shape(outputs[0])) * get_shape(inputs[0])[-1]


def roi_align_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Like fvcore's count of bilinear sampling, as if each output value took one sample; the actual
    number depends on the size of the box."""
    return 4 * prod(get_shape(outputs[0]))


def embedding_bag_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """A weighted sum of table rows, one per index."""
    table, indices = (get_shape(value) for value in inputs[:2])
    return prod(indices) * table[1]


def attention_flops(inputs: list[Any], outputs: list[Any]) -> int:
    """Queries times keys, and weights times values."""
    queries, keys, values = (get_shape(value) for value in inputs[:3])
    return prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])


HANDLES = {
    "aten::scaled_dot_product_attention": attention_flops,
    "aten::matmul": matmul_flops,
    "torchvision::deform_conv2d": deform_conv2d_flops,
    "torchvision::roi_align": roi_align_flops,
    "aten::embedding_bag": embedding_bag_flops,
}
