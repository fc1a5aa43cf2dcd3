"""Registered datasets and their categories, for training, evaluation and the demo."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from make_moving_shapes import main as make_moving_shapes
from small_videos import write_data_set

from maskprop_d2.data import build_test_loader, build_train_loader, register_ytvis
from maskprop_d2.engine import YTVISEvaluator, class_names, load_config
from maskprop_d2.errors import AnnotationError, VideoError
from maskprop_d2.ytvis.categories import OVIS, YTVIS_2019, YTVIS_2021

TINY = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"


def config(*options):
    return load_config(str(TINY), [str(x) for x in options])


@pytest.fixture
def registered(tmp_path):
    """A config with the dataset "own_..." and its two categories."""
    write_data_set(tmp_path)
    name = f"own_{tmp_path.name}"
    entry = [name, str(tmp_path / "train.json"), str(tmp_path)]
    options = {
        "DATASETS.REGISTER": [entry],
        "DATASETS.TRAIN": (name,),
        "DATASETS.TEST": (name,),
        "MODEL.ROI_HEADS.NUM_CLASSES": 2,
        "DATALOADER.NUM_WORKERS": 0,
    }
    return name, config(*(x for pair in options.items() for x in pair))


def test_other_categories_than_registered_are_refused(tmp_path):
    write_data_set(tmp_path)
    register_ytvis("test_cats", str(tmp_path / "train.json"), str(tmp_path), ["cat", "dog"])
    with pytest.raises(AnnotationError, match=r"registered with \['cat', 'dog'\]"):
        DatasetCatalog.get("test_cats")


def test_builtin_names_and_categories():
    assert (len(YTVIS_2019), len(YTVIS_2021), len(OVIS)) == (40, 40, 25)
    for data_set in ("ytvis_2019", "ytvis_2021", "ovis"):
        for split in ("train", "val", "test", "train_split", "val_split"):
            assert f"{data_set}_{split}" in DatasetCatalog
    assert MetadataCatalog.get("ovis_val_split").thing_classes == OVIS
    assert MetadataCatalog.get("ytvis_2022_val").thing_classes == YTVIS_2021
    for level in ("", "_medium", "_hard", "_hidden"):
        assert f"moving_shapes{level}_val" in DatasetCatalog


@pytest.mark.parametrize(
    ("name", "images", "annotations"),
    [
        ("lvvis", "JPEGImages/val", "val_instances.json"),
        ("uvo", "uvo_videos_dense_frames", "VideoDenseSet/UVO_video_val_dense_with_label.json"),
        ("burst", "frames/val", "val.json"),
    ],
)
def test_the_categories_of_some_datasets_are_those_of_their_files(
    tmp_path, monkeypatch, name, images, annotations
):
    write_data_set(tmp_path / name / images)
    json_file = tmp_path / name / annotations
    json_file.parent.mkdir(exist_ok=True)
    (tmp_path / name / images / "train.json").rename(json_file)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    (record,) = DatasetCatalog.get(f"{name}_val")
    assert Path(record["file_names"][0]).is_file()
    assert MetadataCatalog.get(f"{name}_val").thing_classes == ["ghost", "square"]


def test_builtin_data_sets_are_found_when_first_used(tmp_path, monkeypatch):
    name = "moving_shapes_hard_train"
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    with pytest.raises(AnnotationError, match="moving_shapes_hard does not hold the 'train'"):
        DatasetCatalog.get(name)
    arguments = {"train": 1, "val": 0, "seed": 1, "height": 32, "width": 32, "length": 2}
    options = [f"--{k}={v}" for k, v in arguments.items()]
    make_moving_shapes(["--output", str(tmp_path / "moving_shapes_hard"), *options])
    (record,) = DatasetCatalog.get(name)
    assert len(record["annotations"]) == 2
    assert MetadataCatalog.get(name).json_file == str(tmp_path / "moving_shapes_hard/train.json")


def test_data_sets_of_a_config_work_everywhere(registered, tmp_path, caplog):
    caplog.set_level("INFO", logger="maskprop_d2")
    name, cfg = registered
    assert class_names(cfg) == ["ghost", "square"]
    clip = next(iter(build_train_loader(cfg)))[0]["clip"]
    assert set(clip[0]["instances"].gt_classes.tolist()) <= {0, 1}
    (inputs,) = build_test_loader(cfg, name)
    track = {"pred_labels": [1], "pred_scores": [0.9]}
    data = json.loads((tmp_path / "train.json").read_text())
    evaluator = YTVISEvaluator(name, output_dir=tmp_path / "out")
    evaluator.reset()
    evaluator.process(inputs, [{**track, "pred_masks": [data["annotations"][0]["segmentations"]]}])
    figures = evaluator.evaluate()["segm"]
    assert figures["AP-square"] == pytest.approx(100)
    (result,) = json.loads((tmp_path / "out/results.json").read_text())
    assert (result["video_id"], result["category_id"]) == (7, 30)
    assert f"Results: {tmp_path}/out/results.json" in caplog.text
    assert "No object was found" not in caplog.text
    evaluator.reset()
    evaluator.evaluate()
    assert "No object was found in any video" in caplog.text


def test_a_name_cannot_be_registered_for_two_data_sets(registered):
    name, cfg = registered
    entry = cfg.DATASETS.REGISTER[0]
    config("DATASETS.REGISTER", [entry])
    with pytest.raises(AnnotationError, match="already another dataset 'own_"):
        config("DATASETS.REGISTER", [[name, "other.json", entry[2]]])
    with pytest.raises(AnnotationError, match="already another dataset 'ytvis_2019_train'"):
        config("DATASETS.REGISTER", [["ytvis_2019_train", *entry[1:]]])


@pytest.mark.parametrize("entry", ["cats", ["cats"], ["cats", "cats.json", 3], 5])
def test_an_invalid_entry_is_refused(entry):
    with pytest.raises(AnnotationError, match=r"\[name, json, folder of frames\], but has"):
        config("DATASETS.REGISTER", [entry])


def test_data_sets_that_do_not_fit_the_model_are_refused(registered, tmp_path):
    name, cfg = registered
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 10
    with pytest.raises(AnnotationError, match=r"2 categories.*set MODEL\.ROI_HEADS\.NUM_CLASSES 2"):
        build_train_loader(cfg)
    with pytest.raises(AnnotationError, match=r"2 categories.*set MODEL\.ROI_HEADS\.NUM_CLASSES 2"):
        build_test_loader(cfg, name)
    data = json.loads((tmp_path / "train.json").read_text())
    (tmp_path / "train.json").write_text(json.dumps({**data, "videos": [], "annotations": []}))
    with pytest.raises(AnnotationError, match="has no videos"):
        build_test_loader(cfg, name)
    with pytest.raises(AnnotationError, match=r"no dataset 'dogs': .*DATASETS\.REGISTER"):
        build_test_loader(cfg, "dogs")


def test_data_sets_trained_together_need_the_same_categories(registered, tmp_path):
    name, cfg = registered
    data = json.loads((tmp_path / "train.json").read_text())
    data["categories"][0]["name"] = "circle"
    (tmp_path / "other.json").write_text(json.dumps(data))
    register_ytvis(f"{name}_other", str(tmp_path / "other.json"), str(tmp_path))
    cfg.DATASETS.TRAIN = (name, f"{name}_other")
    with pytest.raises(AnnotationError, match="differ in their categories"):
        build_train_loader(cfg)


def test_without_a_data_set_categories_are_numbered(registered, caplog):
    _, cfg = registered
    cfg.DATASETS.REGISTER, cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = [], ("gone",), ()
    assert class_names(cfg) == ["class 0", "class 1"]


def test_names_of_builtin_categories_need_no_file():
    roi_heads = SimpleNamespace(NUM_CLASSES=40)
    datasets = SimpleNamespace(TRAIN=("ytvis_2021_train",), TEST=("ytvis_2021_val",))
    cfg = SimpleNamespace(MODEL=SimpleNamespace(ROI_HEADS=roi_heads), DATASETS=datasets)
    assert class_names(cfg) == YTVIS_2021


def test_training_skips_a_few_unreadable_frames(registered, tmp_path):
    _, cfg = registered
    (tmp_path / "v/3.png").write_bytes(b"no image")
    cfg.DATALOADER.MAX_BAD_FRAMES = 0.25
    cfg.DATALOADER.NUM_WORKERS = 0
    batches = iter(build_train_loader(cfg))
    names = {x["file_name"] for _ in range(20) for x in next(batches)}
    assert {name[-5:] for name in names} == {"0.png", "1.png", "2.png"}
    cfg.DATALOADER.MAX_BAD_FRAMES = 0.24
    batches = iter(build_train_loader(cfg))
    with pytest.raises(VideoError, match=r"3\.png is not an image.*MAX_BAD_FRAMES 0\.24 allows 0"):
        for _ in range(20):
            next(batches)
