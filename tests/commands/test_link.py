"""``maskprop link``"""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from maskprop_d2.commands.link import main
from maskprop_d2.ops.rle import encode
from maskprop_d2.video import VideoFile
from maskprop_d2.video.writing import VideoWriter

SIZE = 48, 64
LENGTH = 12
CAR, PERSON = 3, 1


def mask_of(name, t):
    """The car moves to the right, the person does not move."""
    mask = np.zeros(SIZE, bool)
    x = 3 * t if name == CAR else 30
    y = 4 if name == CAR else 28
    mask[y : y + 14, x : x + 14] = True
    return mask


def frames():
    textures = np.random.default_rng(0).integers(0, 256, (2, 14 * 14, 3), np.uint8)
    for t in range(LENGTH):
        frame = np.full((*SIZE, 3), 60, np.uint8)
        for name, texture in zip((CAR, PERSON), textures, strict=True):
            frame[mask_of(name, t)] = texture
        yield frame


def entries(names=(CAR, PERSON), **fields):
    return [
        {"image_id": t, "category_id": x, "score": 0.9 if x == CAR else 0.4}
        | fields
        | {"segmentation": encode(mask_of(x, t))}
        for t, x in itertools.product(range(LENGTH), names)
    ]


@pytest.fixture
def video(tmp_path, monkeypatch):
    """``v.mp4``, the same in ``frames``, and ``d.json``, in the current folder."""
    monkeypatch.chdir(tmp_path)
    with VideoWriter("v.mp4", 10) as writer:
        (tmp_path / "frames").mkdir()
        for t, frame in enumerate(frames()):
            writer.write(frame)
            Image.fromarray(frame).save(f"frames/f{t}.png")
    (tmp_path / "d.json").write_text(json.dumps(entries()))
    return tmp_path


def link(*options, tracker="iou", source=("--video-input", "v.mp4")):
    main(["--detections", "d.json", *source, "--tracker", tracker, *options])


def tracks(path="results.json"):
    with open(path) as file:
        found = json.load(file)
    return {x["category_name"]: x for x in found} if len(found) > 1 else found


@pytest.mark.parametrize("tracker", ["iou", "flow", "maskprop"])
def test_a_video_file(tracker, video):
    link("--output", "out/o.mp4", "--trails", "--id-masks", "ids", tracker=tracker)
    drawn = list(VideoFile("out/o.mp4"))
    assert len(drawn) == LENGTH and np.abs(np.float32(drawn[5]) - [*frames()][5]).mean() > 5
    found = tracks("out/results.json")
    assert {x: found[x]["category_id"] for x in found} == {"car": CAR, "person": PERSON}
    for x in found.values():
        assert x["video_id"] == 1 and None not in x["segmentations"]
        assert len(x["segmentations"]) == LENGTH
    assert found["car"]["segmentations"][5] == encode(mask_of(CAR, 5))
    ids = Image.open("ids/00005.png")
    assert np.array_equal(np.asarray(ids) == found["car"]["track_id"] + 1, mask_of(CAR, 5))


def test_a_folder_of_images(video):
    link("--output", "out", source=("--input", "frames"))
    assert len(list(video.glob("out/*.jpg"))) == LENGTH
    assert len(tracks("out/results.json")) == 2


def test_a_folder_of_id_masks(video):
    (video / "d.json").unlink()
    (video / "d.json").mkdir()
    for t in range(LENGTH):
        # The ids do not say which object is which.
        ids = mask_of(CAR, t) * (1 + t % 2) + mask_of(PERSON, t) * (2 - t % 2)
        Image.fromarray(ids.astype(np.uint8)).save(f"d.json/f{t}.png")
    link("--output", "o.mp4", source=("--input", "frames"))
    (first, second) = json.loads((video / "results.json").read_text())
    assert first["category_name"] == second["category_name"] == "object"
    assert first["category_id"] == 1
    assert first["segmentations"] == [encode(mask_of(CAR, t)) for t in range(LENGTH)]


@pytest.mark.parametrize("source", [("--video-input", "v.mp4"), ("--input", "frames")])
def test_an_excerpt_has_the_detections_of_its_frames(source, video):
    excerpt = ["--start", "0.3", "--duration", "0.6", "--stride", "2"]
    link("--output", "o.mp4", *excerpt, source=source)
    for x in (CAR, PERSON):
        name = {CAR: "car", PERSON: "person"}[x]
        assert tracks()[name]["segmentations"] == [encode(mask_of(x, t)) for t in (3, 5, 7)]


def test_categories_and_scores_are_selected(video):
    link("--output", "o.mp4", "--classes", "Person", "bicycle")
    assert [x["category_name"] for x in tracks()] == ["person"]
    link("--output", "o.mp4", "--confidence-threshold", "0.5")
    assert [x["category_name"] for x in tracks()] == ["car"]
    link("--output", "o.mp4", "--class-names", "a", "b", "c")
    assert sorted(tracks()) == ["a", "c"]
    # Some editors begin files with a mark.
    (video / "names").write_text("\ufeffa\n b b\n\nc\n")
    link("--output", "o.mp4", "--class-names", "names")
    assert sorted(tracks()) == ["a", "c"]
    (video / "d.json").write_text("[]")
    link("--output", "o.mp4")
    assert tracks() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "carr"], "no category 'carr'"),
        (["--class-names", "a"], "d.json: there are 1 class names, but a 'category_id' 3"),
        (["--tracker", "sort"], "sort"),
        (["--tracker", "masktrack"], "masktrack"),
        (["--input", "frames/f1.png"], "in the frames 0 to 11, but the input has 1 frames"),
        (["--class-names", "latin"], "--class-names latin is not text in UTF-8"),
        (["--output", "out", "--detections", "out/results.json"], "would be overwritten"),
        (["--detections", "gone"], "gone: there is no such file"),
        (["--detections", "frames"], "frames/f0.png has colours (RGB) instead of ids"),
        (["--detections", "out"], "out holds no .png"),
    ],
)
def test_bad_input_gives_one_line(options, message, video, capsys):
    (video / "out").mkdir()
    (video / "latin").write_bytes("Zoë".encode("latin-1"))
    source = ("--video-input", "v.mp4") if "--input" not in options else ()
    with pytest.raises(SystemExit) as end:
        link("--output", "o.mp4", *options, source=source)
    error = capsys.readouterr().err
    assert end.value.code == 2
    (line,) = [x for x in error.splitlines() if x.startswith("error: ")]
    assert message in line
    assert not (video / "o.mp4").exists() and not (video / "results.json").exists()
