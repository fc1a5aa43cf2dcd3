"""``YTVISEvaluator`` alone, and resumed."""

import json

import pytest
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset
from small_videos import write_data_set
from torch import nn

from maskprop_d2.data import register_ytvis
from maskprop_d2.engine import YTVISEvaluator, evaluator, resume_eval
from maskprop_d2.engine.resume_eval import ResumableEvaluator, SkipFinished


@pytest.fixture
def data_set(tmp_path):
    """A registered dataset of three equal videos with the ids 7, 8 and 9."""
    write_data_set(tmp_path)
    data = json.loads((tmp_path / "train.json").read_text())
    (video,), tracks = data["videos"], data["annotations"]
    data["videos"] = [{**video, "id": i} for i in (7, 8, 9)]
    data["annotations"] = [
        {**x, "id": 10 * i + n, "video_id": i} for i in (7, 8, 9) for n, x in enumerate(tracks)
    ]
    (tmp_path / "train.json").write_text(json.dumps(data))
    name = f"evaluated_{tmp_path.name}"
    register_ytvis(name, str(tmp_path / "train.json"), str(tmp_path))
    return name


class Perfect(nn.Module):
    """Predicts the square in each video; counts the videos and can stop at one."""

    def __init__(self, tmp_path):
        super().__init__()
        (square, *_) = json.loads((tmp_path / "train.json").read_text())["annotations"]
        self.masks = square["segmentations"]
        self.seen = []
        self.stop_at = None

    def forward(self, videos):
        (video,) = videos
        if video["video_id"] == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(video["video_id"])
        return [{"pred_labels": [1], "pred_scores": [0.9], "pred_masks": [self.masks]}]


def load(name):
    return [[record] for record in DatasetCatalog.get(name)]


def test_alone(data_set, tmp_path):
    metrics = inference_on_dataset(
        Perfect(tmp_path), load(data_set), YTVISEvaluator(data_set, output_dir=tmp_path / "out")
    )
    assert metrics["segm"]["AP-square"] == pytest.approx(100)
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert [(x["video_id"], x["category_id"]) for x in results] == [(7, 30), (8, 30), (9, 30)]
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["results.json", "results.zip"]


def test_results_of_all_processes_are_gathered(data_set, tmp_path, monkeypatch):
    first, second = (YTVISEvaluator(data_set, tmp_path / "out") for _ in range(2))
    videos, model = load(data_set), Perfect(tmp_path)
    second.process(videos[0], model(videos[0]))
    for video in videos[1:]:
        first.process(video, model(video))
    monkeypatch.setattr(evaluator.comm, "gather", lambda x, dst: [x, second.results])
    assert first.evaluate()["segm"]["AP-square"] == pytest.approx(100)
    monkeypatch.setattr(evaluator.comm, "is_main_process", lambda: False)
    assert second.evaluate() is None


def resumable(data_set, tmp_path, fingerprint="a"):
    return ResumableEvaluator(YTVISEvaluator(data_set, tmp_path / "out"), fingerprint)


def test_an_interrupted_evaluation_is_resumed(data_set, tmp_path):
    def evaluate(model):
        evaluator = resumable(data_set, tmp_path)
        return inference_on_dataset(SkipFinished(model, evaluator), load(data_set), evaluator)

    model = Perfect(tmp_path)
    model.stop_at = 9
    with pytest.raises(KeyboardInterrupt):
        evaluate(model)
    saved = sorted(str(x.relative_to(tmp_path)) for x in (tmp_path / "out").rglob("*.json"))
    assert saved == ["out/unfinished_a/7.json", "out/unfinished_a/8.json"]
    model.stop_at = None
    assert evaluate(model)["segm"]["AP-square"] == pytest.approx(100)
    assert model.seen == [7, 8, 9]
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["results.json", "results.zip"]
    # Once finished, nothing is skipped.
    evaluate(model)
    assert model.seen == [7, 8, 9] * 2


def test_each_saved_result_is_loaded_by_one_process(data_set, tmp_path, monkeypatch):
    model = Perfect(tmp_path)
    for video in load(data_set)[:2]:
        resumable(data_set, tmp_path).process(video, model(video))
    # The first process sees only one of the files.
    monkeypatch.setattr(resume_eval.comm, "all_gather", lambda found: [{7, 5}, found])
    monkeypatch.setattr(resume_eval.comm, "get_rank", lambda: 1)
    second = resumable(data_set, tmp_path)
    second.reset()
    assert second.finished == {5, 7, 8}
    assert [x["video_id"] for x in second.evaluator.results] == [8]


def test_saved_results_of_another_model_are_deleted(data_set, tmp_path):
    (video, *_), model = load(data_set), Perfect(tmp_path)
    resumable(data_set, tmp_path).process(video, model(video))
    other = resumable(data_set, tmp_path, "b")
    other.reset()
    assert other.finished == set() and other.evaluator.results == []
    assert list((tmp_path / "out").iterdir()) == []
