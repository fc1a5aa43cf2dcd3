import logging
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from maskprop_d2.ops import deform

DILATIONS = (1, 5)


@pytest.mark.skipif(not find_spec("triton"), reason="Triton is not installed")
def test_kernels_equal_torch():
    """In another process, with Triton's interpreter, which needs no GPU."""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, __file__], check=True, env=environment)


def test_without_working_kernels_there_is_one_warning(caplog):
    deform.triton_kernel.cache_clear()
    # Fails with and without Triton, whose kernels need a GPU.
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        assert deform.triton_kernel(torch.device("cpu")) is None
        assert deform.triton_kernel(torch.device("cpu")) is None
    (record,) = caplog.records
    assert "Triton does not work here" in record.getMessage()


def check(num_masks, num_maps, mask_gradient):
    """Compare values and gradients of kernels and torch."""
    from maskprop_d2.ops import deform_triton

    torch.manual_seed(0)
    masks = torch.rand(num_masks, 5, 14)
    masks[:, :, 4:11] = 0
    maps = torch.randn(num_maps, 18, 5, 14, requires_grad=True)
    offsets = 3 * torch.randn(2, 18, 2, 5, 14)
    offsets[0, 0, 0, 0, :4] = torch.tensor([1e30, -1e30, float("inf"), -float("inf")])
    offsets.requires_grad_()
    inputs = [maps, offsets] + ([masks.requires_grad_()] if mask_gradient else [])
    expected = deform.sample_and_sum_torch(masks, maps, offsets, DILATIONS)
    actual = deform_triton.sample_and_sum(masks, maps, offsets, DILATIONS)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)
    upstream = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad(actual, inputs, upstream),
        torch.autograd.grad(expected, inputs, upstream),
        strict=True,
    ):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


if __name__ == "__main__":
    check(num_masks=3, num_maps=2, mask_gradient=False)
    check(num_masks=19, num_maps=1, mask_gradient=True)
