"""``maskprop models``"""

import importlib.util

import pytest

from maskprop_d2 import model_zoo
from maskprop_d2.commands.models import main
from maskprop_d2.model_zoo import PRESETS


def rows(capsys):
    main([])
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line for line in lines if line}


@pytest.fixture(autouse=True)
def _empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "fvcore"))


def test_every_model_is_listed_with_what_one_must_know(capsys):
    lines = rows(capsys)
    for name, preset in PRESETS.items():
        for text in (preset.dataset, preset.num_categories, f"{preset.megabytes} MB"):
            assert str(text) in lines[name]
        assert preset.license in lines[name] and str(preset.mask_ap or "-") in lines[name]
    assert model_zoo.default_preset().name in lines["Default"]


def test_the_list_says_whether_weights_are_here(capsys):
    path = model_zoo.local_path(PRESETS["maskrcnn_resnet50_fpn"])
    path.parent.mkdir(parents=True)
    path.touch()
    lines = rows(capsys)
    assert lines["maskrcnn_resnet50_fpn"].endswith("on this machine")
    assert lines["maskrcnn_resnet50_fpn_v2"].endswith("fetched on first use")
    assert lines["maskprop_tiny"].endswith("on this machine")


def test_without_detectron2_its_models_cannot_run(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lines = rows(capsys)
    assert lines["mask_rcnn_R_50_FPN_3x"].endswith("need Detectron2, which is not installed")
    assert lines["Default"].endswith(" maskrcnn_resnet50_fpn")
