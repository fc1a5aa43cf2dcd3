"""``YTVISEvaluator`` alone, and resumed."""

import json

import pytest
from detectron2.data import DatasetCatalog
from detectron2.evaluation import inference_on_dataset
from small_videos import write_data_set
from torch import nn

from maskprop_d2.data import register_ytvis
from maskprop_d2.engine import YTVISEvaluator, evaluator
from maskprop_d2.engine.resume_eval import ResumableEvaluator, SkipFinished


@pytest.fixture
def data_set(tmp_path):
    """A registered data set of three equal videos with the ids 7, 8 and 9."""
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


def test_an_interrupted_evaluation_is_resumed(data_set, tmp_path):
    def evaluate(model):
        alone = YTVISEvaluator(data_set, tmp_path / "out")
        resumable = ResumableEvaluator(alone, "model a")
        return inference_on_dataset(SkipFinished(model, resumable), load(data_set), resumable)

    model = Perfect(tmp_path)
    model.stop_at = 9
    with pytest.raises(KeyboardInterrupt):
        evaluate(model)
    assert [x.name for x in (tmp_path / "out").iterdir()] == ["unfinished_0.jsonl"]
    model.stop_at = None
    assert evaluate(model)["segm"]["AP-square"] == pytest.approx(100)
    assert model.seen == [7, 8, 9]
    assert sorted(x.name for x in (tmp_path / "out").iterdir()) == ["results.json", "results.zip"]
    # Once finished, nothing is skipped.
    evaluate(model)
    assert model.seen == [7, 8, 9] * 2


def saved(tmp_path, data_set, fingerprint="model a"):
    evaluator = ResumableEvaluator(YTVISEvaluator(data_set, tmp_path / "out"), fingerprint)
    evaluator.reset()
    return evaluator


def test_saved_results_are_read_from_other_processes_and_damaged_files(data_set, tmp_path):
    videos, model = load(data_set), Perfect(tmp_path)
    first = saved(tmp_path, data_set)
    first.process(videos[0], model(videos[0]))
    first.process(videos[1], [{"pred_labels": [], "pred_scores": [], "pred_masks": []}])
    file = tmp_path / "out/unfinished_0.jsonl"
    complete = file.read_bytes()
    # A file of a second process, and an incomplete line.
    other = complete.replace(b'"video_id": 7', b'"video_id": 4')
    (tmp_path / "out/unfinished_1.jsonl").write_bytes(other)
    file.write_bytes(complete + b'{"video_id": 9, "res')
    again = saved(tmp_path, data_set)
    assert again.finished == {4, 7, 8}
    assert sorted(x["video_id"] for x in again.evaluator.results) == [4, 7]
    again.process(videos[2], model(videos[2]))
    assert file.read_bytes().startswith(complete) and len(file.read_text().splitlines()) == 4


def test_saved_results_of_another_model_are_deleted(data_set, tmp_path):
    (video, *_), model = load(data_set), Perfect(tmp_path)
    saved(tmp_path, data_set).process(video, model(video))
    other = saved(tmp_path, data_set, "model b")
    assert other.finished == set() and other.evaluator.results == []
    assert (tmp_path / "out/unfinished_0.jsonl").read_text() == '"model b"\n'
