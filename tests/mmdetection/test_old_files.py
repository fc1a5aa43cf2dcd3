"""Checkpoints as mmdetection wrote them in 2020, and as mmengine writes them."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from maskprop_d2.errors import WeightsFileError
from maskprop_d2.weights_file import read_weights


class HistoryBuffer:
    """As mmengine's, whose methods are in its state."""

    def __init__(self):
        self._history = np.ones(2)
        self._methods = {"mean": HistoryBuffer.mean}

    def mean(self):
        return self._history.mean()


@pytest.fixture
def mmengine(monkeypatch):
    """A module with the name of mmengine's, for writing."""
    name = "mmengine.logging.history_buffer"
    module = ModuleType(name)
    module.HistoryBuffer = HistoryBuffer
    for x in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, x, ModuleType(x))
    monkeypatch.setitem(sys.modules, name, module)
    for x in (HistoryBuffer, HistoryBuffer.mean):
        monkeypatch.setattr(x, "__module__", name)
    return module


def test_the_training_log_of_mmengine_is_ignored(mmengine, tmp_path):
    hub = {"log_scalars": {"loss": mmengine.HistoryBuffer()}, "scalar": np.float64(3)}
    contents = {"state_dict": {"a": torch.ones(3)}, "message_hub": hub, "meta": {"cfg": "x = 1"}}
    torch.save(contents, tmp_path / "new.pth")
    before = torch.serialization.get_safe_globals()
    read = read_weights(tmp_path / "new.pth")
    assert read["state_dict"]["a"].tolist() == [1, 1, 1] and read["meta"] == contents["meta"]
    assert not hasattr(read["message_hub"]["log_scalars"]["loss"], "_history")
    assert set(torch.serialization.get_safe_globals()) == set(before)


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def old(contents, path):
    torch.save(contents, path, _use_new_zipfile_serialization=False)


def test_files_of_old_versions_of_torch_are_read_and_checked(tmp_path):
    path = tmp_path / "old.pth"
    old({"state_dict": {"a": torch.arange(1000.0)}}, path)
    assert torch.equal(read_weights(path)["state_dict"]["a"], torch.arange(1000.0))
    whole = path.read_bytes()
    for damaged in (whole[:-40], whole[:100], whole[:20]):
        path.write_bytes(damaged)
        with pytest.raises(WeightsFileError, match=r"old\.pth: .* (damaged|weights)"):
            read_weights(path)
    old({"a": torch.zeros(1).expand(10**12)}, path)
    with pytest.raises(WeightsFileError, match="not plain numbers"):
        read_weights(path)


def test_old_files_run_no_code(tmp_path):
    path = tmp_path / "old.pth"
    old({"a": Call(__import__("os").system, f"touch {tmp_path}/ran")}, path)
    with pytest.raises(WeightsFileError, match=r"it refers to posix\.system"):
        read_weights(path)
    # A function that is ignored is not called either.
    old({"a": Call(getattr, "text", "upper")}, path)
    assert not callable(read_weights(path)["a"])
    assert not (tmp_path / "ran").exists()
