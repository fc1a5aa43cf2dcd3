"""Where networks run."""

import pytest
import torch

from maskprop_d2.devices import available_devices, choose_device, half_precision
from maskprop_d2.errors import ConfigError


@pytest.fixture
def machine(monkeypatch):
    """Sets the numbers of NVIDIA's and Apple's GPUs."""

    def build(cuda, mps):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps > 0)

    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    return build


def test_a_gpu_is_used_if_there_is_one(machine):
    machine(0, 0)
    assert choose_device() == torch.device("cpu") and available_devices() == ["cpu"]
    machine(2, 0)
    assert choose_device() == torch.device("cuda")
    assert available_devices() == ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:1", torch.device("cuda:0")])
def test_a_device_that_is_there_is_used(machine, device):
    machine(2, 0)
    assert choose_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["cuda:2", "gpu", "mps", "meta", ""])
def test_a_device_that_is_not_there_is_refused(machine, device):
    machine(2, 0)
    with pytest.raises(ConfigError, match=rf"no device '{device}': choose .* cuda:0, cuda:1, cpu$"):
        choose_device(device)


def test_apples_gpu_needs_the_fallback_of_torch(machine, monkeypatch):
    machine(0, 1)
    assert choose_device() == torch.device("cpu")
    with pytest.raises(ConfigError, match="PYTORCH_ENABLE_MPS_FALLBACK=1"):
        choose_device("mps")
    monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", "1")
    assert choose_device("mps") == torch.device("mps")


def test_a_cpu_has_no_float16(machine):
    assert half_precision("cpu") == torch.bfloat16 and half_precision("cuda") == torch.float16
