"""Configs that cannot be used, and seeds."""

import json

import pytest
from detectron2.config import CfgNode

from maskprop_d2.engine import ConfigError, load_config
from maskprop_d2.engine.repeat import choose_seed


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
def test_what_is_no_config_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml: \D") as error:
        load_config(str(path), [])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("where", ["itself", "its base"])
def test_a_config_runs_no_code(tmp_path, where):
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


def test_a_training_goes_on_with_the_seed_that_was_drawn(tmp_path):
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
