"""Checksums of the files of a model."""

import pytest

from maskprop_d2.errors import ConfigError
from maskprop_d2.model_zoo.checksums import model_checksums


def test_a_config_with_its_base_and_weights(tmp_path):
    weights = tmp_path / "w.pth"
    weights.write_text("1")
    (tmp_path / "base.yaml").write_text("MODEL:\n  MASK_ON: True\n")
    config = tmp_path / "c.yaml"
    config.write_text(f"_BASE_: base.yaml\nMODEL:\n  WEIGHTS: {weights}\n")
    before = model_checksums(str(config))
    assert model_checksums(str(config)) == before and set(before) == {"model", "weights"}
    weights.write_text("2")
    assert model_checksums(str(config))["weights"] != before["weights"]
    assert model_checksums(str(config), str(config))["weights"] != before["weights"]
    (tmp_path / "base.yaml").write_text("MODEL:\n  MASK_ON: False\n")
    assert model_checksums(str(config))["model"] != before["model"]
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such config file"):
        model_checksums("gone.yaml")


def test_exported_models_and_presets(tmp_path):
    (tmp_path / "m.pt").write_text("1")
    assert set(model_checksums(str(tmp_path / "m.pt"))) == {"model"}
    assert set(model_checksums("maskprop_tiny")) == set()
    assert set(model_checksums("mask_rcnn_R_50_FPN_3x", str(tmp_path / "m.pt"))) == {"weights"}
