import logging
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from maskprop_d2.ops import deform


@pytest.mark.skipif(not find_spec("triton"), reason="Triton is not installed")
@pytest.mark.skipif(torch.__version__ < "2.6", reason="Triton is too old")
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


def check(num_masks, num_maps, num_targets, size, dilations, mask_gradient):
    """Compare values and gradients of kernels and torch. The interpreter takes a time per program,
    of which there are one for each target, tap and block of 64 cells."""
    from maskprop_d2.ops import deform_triton

    torch.manual_seed(0)
    taps = 9 * len(dilations)
    masks = torch.rand(num_masks, *size)
    masks[:, :, 4:11] = 0
    maps = torch.randn(num_maps, taps, *size, requires_grad=True)
    offsets = 3 * torch.randn(num_targets, taps, 2, *size)
    offsets[0, 0, 0, 0, :4] = torch.tensor([1e30, -1e30, float("inf"), -float("inf")])
    offsets.requires_grad_()
    inputs = [maps, offsets] + ([masks.requires_grad_()] if mask_gradient else [])
    expected = deform.sample_and_sum_torch(masks, maps, offsets, dilations)
    actual = deform_triton.sample_and_sum(masks, maps, offsets, dilations)
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
    # Two blocks, where the second is too far from all masks for some taps.
    check(3, num_maps=2, num_targets=2, size=(5, 14), dilations=(5,), mask_gradient=False)
    # More instances than a program processes at once.
    check(19, num_maps=1, num_targets=1, size=(4, 6), dilations=(1, 5), mask_gradient=True)
