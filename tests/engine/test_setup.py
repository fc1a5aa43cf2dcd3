"""Loading configs: bad ones, settings for a CPU, and seeds."""

import json

import pytest
from detectron2.config import CfgNode

from maskprop_d2.engine import load_config, setup
from maskprop_d2.engine.reproducibility import choose_seed
from maskprop_d2.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "just text",
        "- a\n- list",
        "",
        "MODEL: 3",
        "MODEL: {MASKPROP: [1]}",
        "MODEL: {NO_SUCH_KEY: 1}",
        "_BASE_: gone.yaml",
        "MODEL: {",
    ],
)
def test_invalid_configs_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml: \D") as error:
        load_config(str(path), [])
    assert "\n" not in str(error.value)


def test_an_integer_for_a_float_is_explained(tmp_path):
    path, message = tmp_path / "c.yaml", r"config key: \S+: write the number with a decimal point$"
    path.write_text("SOLVER: {BASE_LR: 1}")
    with pytest.raises(ConfigError, match=message):
        load_config(str(path), [])
    path.write_text("MODEL: {DEVICE: cpu}")
    with pytest.raises(ConfigError, match=message):
        load_config(str(path), ["MODEL.MASKPROP.LINKING.THRESHOLD", "0"])


@pytest.mark.parametrize(("given", "weight"), [("True", 1), ("False", 0), ("0.25", 0.25)])
def test_categories_may_be_a_flag_as_in_older_configs(tmp_path, given, weight):
    path, key = tmp_path / "c.yaml", "MODEL.MASKPROP.LINKING.CATEGORIES"
    path.write_text("MODEL: {DEVICE: cpu}")
    from_options = load_config(path, [key, given]).MODEL.MASKPROP.LINKING.CATEGORIES
    path.write_text(f"MODEL: {{MASKPROP: {{LINKING: {{CATEGORIES: {given}}}}}}}")
    from_file = load_config(path, []).MODEL.MASKPROP.LINKING.CATEGORIES
    assert isinstance(from_file, float) and from_file == from_options == weight
    with pytest.raises(ConfigError, match=r"LINKING\.CATEGORIES must be a number, not 'much'"):
        load_config(path, [key, "much"])


@pytest.mark.parametrize("where", ["itself", "its base"])
def test_a_config_cannot_run_code(tmp_path, where):
    ran = tmp_path / "ran"
    bad = f"MODEL: !!python/object/apply:os.mkdir ['{ran}']"
    path = tmp_path / "c.yaml"
    path.write_text(bad)
    if where == "its base":
        (tmp_path / "base.yaml").write_text(bad)
        path.write_text("_BASE_: base.yaml")
    with pytest.raises(ConfigError):
        load_config(str(path), [])
    assert not ran.exists()


@pytest.mark.parametrize("bfloat16", [True, False])
def test_settings_that_slow_down_a_cpu_are_replaced(tmp_path, monkeypatch, bfloat16):
    monkeypatch.setattr(setup, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(setup, "available_cores", lambda: 6)
    path = tmp_path / "c.yaml"
    path.write_text("MODEL: {DEVICE: cpu}\nSOLVER: {AMP: {ENABLED: True}}\n")
    for processes, requested, workers in ((1, 8, 6), (1, 4, 4), (4, 8, 1), (8, 8, 1), (8, 0, 0)):
        monkeypatch.setattr(setup.comm, "get_local_size", lambda n=processes: n)
        cfg = load_config(str(path), ["DATALOADER.NUM_WORKERS", requested])
        assert workers == cfg.DATALOADER.NUM_WORKERS
        assert bfloat16 == cfg.SOLVER.AMP.ENABLED
    path.write_text("MODEL: {DEVICE: cuda:0}\nSOLVER: {AMP: {ENABLED: True}}\n")
    cfg = load_config(str(path), ["DATALOADER.NUM_WORKERS", 8])
    assert cfg.DATALOADER.NUM_WORKERS == 8 and cfg.SOLVER.AMP.ENABLED


def test_a_resumed_training_keeps_its_random_seed(tmp_path):
    cfg = CfgNode({"SEED": -1, "OUTPUT_DIR": str(tmp_path)})
    choose_seed(cfg, resume=True)
    assert cfg.SEED >= 0
    (tmp_path / "runs.json").write_text(json.dumps([{"seed": 7}, {"seed": 8}]))
    cfg.SEED = -1
    choose_seed(cfg, resume=True)
    assert cfg.SEED == 8
    cfg.SEED = 3
    choose_seed(cfg, resume=True)
    assert cfg.SEED == 3


@pytest.mark.parametrize("prefix", ["", "configs/"])
def test_configs_in_the_package_are_found_from_any_folder(tmp_path, monkeypatch, prefix):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(f"{prefix}youtubevis_2019/maskprop_R_50_FPN.yaml", [])
    assert cfg.MODEL.META_ARCHITECTURE == "MaskProp"
