"""Conversion from and to the folders of the Cell Tracking Challenge."""

import json

import cv2
import numpy as np
import pytest
from convert_ctc import main as convert_ctc
from convert_to_ctc import main as convert_to_ctc
from ctc_files import CellTrack, find_images, read_tracks, write_tracks
from cut_tiles import main as cut_tiles

from maskprop_d2.commands.validate import main as validate
from maskprop_d2.errors import AnnotationError
from maskprop_d2.evaluation import evaluate
from maskprop_d2.ops.rle import decode

HEIGHT, WIDTH, LENGTH = 40, 60, 6
TRACKS = {7: CellTrack(7, 0, 2, 0), 8: CellTrack(8, 3, 5, 7), 12: CellTrack(12, 3, 5, 7)}


def draw_labels(t):
    """(H, W) uint16: cell 7 divides into 8 and 12 after frame 2; cell 300 is missing in frame 2."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    if t < 3:
        labels[10:18, 10 + t : 20 + t] = 7
    else:
        labels[10:18, 8:14] = 8
        labels[10:18, 20:27] = 12
    if t != 2:
        labels[25:33, 2 + 9 * t : 12 + 9 * t] = 300
    return labels


def write_sequence(folder, name="01", bits=16, masks="ST/SEG"):
    """Write a sequence in the challenge's layout."""
    for part in (name, f"{name}_{masks}", f"{name}_GT/TRA"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for t in range(LENGTH):
        labels = draw_labels(t)
        # Cells are 2 and 100 % brighter than the background, in a small part of the range.
        frame = 33000 + 20 * (labels == 7) + 1000 * (labels == 300)
        frame = frame.astype(np.uint16) if bits == 16 else (labels % 256).astype(np.uint8)
        cv2.imwrite(str(folder / name / f"t{t:03d}.tif"), frame)
        cv2.imwrite(str(folder / f"{name}_{masks}/man_seg{t:03d}.tif"), labels)
    lines = [*TRACKS.values(), CellTrack(300, 0, 1, 0)]
    write_tracks(folder / f"{name}_GT/TRA/man_track.txt", lines)
    return folder / name


def convert(folder, *more, sequences=("01",)):
    """Run the converter on sequences in a folder; return what it writes."""
    paths = ["--output", folder / "out.json", "--images", folder / "images"]
    convert_ctc(list(map(str, [*paths, *more, "--sequences", *(folder / x for x in sequences)])))
    return json.loads((folder / "out.json").read_text())


def fails(command, options, capsys):
    """The line that a command prints before it exits with status 2."""
    with pytest.raises(SystemExit) as info:
        command(list(map(str, options)))
    error = capsys.readouterr().err
    assert info.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    return error


def test_a_sequence(tmp_path):
    write_sequence(tmp_path)
    data = convert(tmp_path)
    with pytest.raises(SystemExit) as info:
        validate([str(tmp_path / "out.json"), "--images", str(tmp_path / "images")])
    assert info.value.code == 0
    (video,) = data["videos"]
    assert video["file_names"] == [f"01/t{t:03d}.png" for t in range(LENGTH)]
    assert [(x["label"], x["parent"]) for x in data["annotations"]] == [
        (7, 0),
        (8, 7),
        (12, 7),
        (300, 0),
    ]
    for t in range(LENGTH):
        for track in data["annotations"]:
            mask, expected = track["segmentations"][t], draw_labels(t) == track["label"]
            assert (mask is None) == (not expected.any())
            assert mask is None or (decode(mask) == expected).all()


def test_brightness_of_16_bits(tmp_path):
    write_sequence(tmp_path)
    convert(tmp_path)
    labels = draw_labels(1)
    frame = cv2.imread(str(tmp_path / "images/01/t001.png"), cv2.IMREAD_UNCHANGED)
    assert frame.dtype == np.uint8 and frame.shape == (HEIGHT, WIDTH)
    dim, bright, background = (int(frame[labels == x].mean()) for x in (7, 300, 0))
    assert background == 0 and bright == 255
    # The square root of 2 %.
    assert dim == pytest.approx(255 * 0.02**0.5, abs=1)


def test_8_bits_stay_as_they_are(tmp_path):
    write_sequence(tmp_path, bits=8)
    convert(tmp_path)
    frame = cv2.imread(str(tmp_path / "images/01/t004.png"), cv2.IMREAD_UNCHANGED)
    assert (frame == draw_labels(4) % 256).all()


def test_border_and_tiles(tmp_path):
    write_sequence(tmp_path)
    data = convert(tmp_path, "--border", 5, "--tile", 30)
    # 30 x 50 pixels are left.
    names = [x["file_names"][0] for x in data["videos"]]
    assert names == ["01_5_5/t000.png", "01_5_25/t000.png"]
    second = [x for x in data["annotations"] if x["video_id"] == 2]
    assert [x["label"] for x in second] == [12, 300]
    expected = (draw_labels(4) == 12)[5:35, 25:55]
    assert (decode(second[0]["segmentations"][4]) == expected).all()
    frame = cv2.imread(str(tmp_path / "images/01_5_25/t001.png"), cv2.IMREAD_UNCHANGED)
    assert frame.shape == (30, 30)


def test_every_other_frame(tmp_path):
    write_sequence(tmp_path)
    data = convert(tmp_path, "--every", 2)
    names = [[y[3:7] for y in x["file_names"]] for x in data["videos"]]
    assert names == [["t000", "t002", "t004"], ["t001", "t003", "t005"]]
    seen = [x["segmentations"] for x in data["annotations"] if x["label"] == 300]
    assert [[bool(y) for y in x] for x in seen] == [[True, False, True], [True] * 3]


def test_frames_without_labels_are_skipped(tmp_path):
    write_sequence(tmp_path)
    (tmp_path / "01_ST/SEG/man_seg003.tif").unlink()
    names = convert(tmp_path)["videos"][0]["file_names"]
    assert names == [f"01/t{t:03d}.png" for t in (0, 1, 2, 4, 5)]


def test_several_sequences_and_other_masks(tmp_path):
    for name in ("01", "02"):
        write_sequence(tmp_path, name, masks="ERR_SEG")
    data = convert(tmp_path, "--masks", "ERR_SEG", sequences=("01", "02"))
    assert [x["file_names"][0] for x in data["videos"]] == ["01/t000.png", "02/t000.png"]
    assert [x["video_id"] for x in data["annotations"]] == [1] * 4 + [2] * 4


def damage_labels(folder):
    cv2.imwrite(str(folder / "01_ST/SEG/man_seg002.tif"), np.zeros((9, 9), np.uint16))


def damage_frame(folder):
    (folder / "01/t002.tif").write_bytes(b"II*\0 no image")


def color_frame(folder):
    cv2.imwrite(str(folder / "01/t002.tif"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def damage_tracks(folder):
    (folder / "01_GT/TRA/man_track.txt").write_text("7 0 2\n")


@pytest.mark.parametrize(
    ("damage", "more", "message"),
    [
        (lambda x: (x / "01/t004.tif").unlink(), (), "man_seg004.tif has no frame"),
        (damage_labels, (), "man_seg002.tif has 9 x 9 pixels, but the first frame has 60 x 40"),
        (damage_frame, (), "t002.tif is not an image"),
        (color_frame, (), "t002.tif must be a greyscale image of 8 or 16 bits"),
        (damage_tracks, (), "man_track.txt, line 1"),
        (lambda x: None, ("--border", 20), "too small for --border 20"),
        (lambda x: None, ("--tile", 41), "too small for --border 0 and --tile 41"),
        (lambda x: None, ("--masks", "GT/SEG"), "01_GT/SEG: there is no such folder"),
        (lambda x: (x / "01_NO").mkdir(), ("--masks", "NO"), "holds no .tif with a number"),
    ],
)
def test_bad_input(tmp_path, capsys, damage, more, message):
    folder = write_sequence(tmp_path)
    damage(tmp_path)
    paths = ["--output", tmp_path / "out.json", "--images", tmp_path / "images"]
    assert message in fails(convert_ctc, [*paths, *more, "--sequences", folder], capsys)
    assert {x.name for x in tmp_path.iterdir()} <= {"01", "01_ST", "01_GT", "01_NO"}


def test_sequences_of_one_name(tmp_path, capsys):
    folders = [write_sequence(tmp_path / x) for x in "ab"]
    options = ["--output", tmp_path / "out.json", "--images", tmp_path / "i", "--sequences"]
    assert "must have different names" in fails(convert_ctc, [*options, *folders], capsys)


def test_tracks_round_trip(tmp_path):
    write_tracks(tmp_path / "man_track.txt", TRACKS.values())
    assert read_tracks(tmp_path / "man_track.txt") == TRACKS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 5\n", "line 1: '1 0 5' must be four numbers"),
        ("1 0 5 0\n\n2 0 -5 0\n", "line 3: '2 0 -5 0' must be four numbers"),
        ("1 0 5 a\n", "must be four numbers"),
        ("\ufffd\0\n", "must be four numbers"),
        ("0 0 5 0\n", "a label must be 1 to 65535, not 0"),
        ("70000 0 5 0\n", "a label must be 1 to 65535, not 70000"),
        ("1 0 5 0\n1 6 7 0\n", "line 2: there are two tracks with the label 1"),
        ("1 6 5 0\n", "the first frame (6) is after the last (5)"),
        ("1 0 5 9\n", "there is no track 9, the parent of 1"),
        ("1 0 5 0\n2 5 8 1\n", "track 2 starts in frame 5, but its parent 1 ends only in frame 5"),
    ],
)
def test_bad_tracks(tmp_path, text, message):
    path = tmp_path / "man_track.txt"
    path.write_text(text)
    with pytest.raises(AnnotationError) as info:
        read_tracks(path)
    assert message in str(info.value) and str(info.value).startswith(str(path))


def test_images_with_one_number(tmp_path):
    for name in ("t01.tif", "t001.tif"):
        cv2.imwrite(str(tmp_path / name), np.zeros((2, 2), np.uint8))
    with pytest.raises(AnnotationError, match="have the same number"):
        find_images(tmp_path)


def to_ctc(folder, *more):
    options = ["--annotations", folder / "out.json", "--output", folder / "ctc", *more]
    convert_to_ctc(list(map(str, options)))


def read_labels(folder, name):
    paths = find_images(folder).values()
    assert [x.name for x in paths] == [f"{name}{t:03d}.tif" for t in range(LENGTH)]
    return [cv2.imread(str(x), cv2.IMREAD_UNCHANGED) for x in paths]


def test_annotations_to_ctc(tmp_path):
    write_sequence(tmp_path)
    convert(tmp_path, "--border", 2)
    to_ctc(tmp_path, "--border", 2)
    folder = tmp_path / "ctc/01_GT"
    images = read_labels(folder / "TRA", "man_track")
    assert all(map(np.array_equal, images, read_labels(folder / "SEG", "man_seg")))
    # Cell 300 gets another label after the gap. Those of the tracks are 7, 300, 8, 12, in order.
    tracks = list(read_tracks(folder / "TRA/man_track.txt").values())
    assert tracks == [
        CellTrack(1, 0, 2, 0),
        CellTrack(2, 0, 1, 0),
        CellTrack(3, 3, 5, 2),
        CellTrack(4, 3, 5, 1),
        CellTrack(5, 3, 5, 1),
    ]
    for t, image in enumerate(images):
        labels = draw_labels(t)
        labels[:2] = labels[-2:] = labels[:, :2] = labels[:, -2:] = 0
        assert image.dtype == np.uint16
        for value, label in ((7, 1), (300, 2 if t < 2 else 3), (8, 4), (12, 5)):
            assert ((image == label) == (labels == value)).all()


def write_results(folder, scores):
    """Write the annotations as results."""
    tracks = json.loads((folder / "out.json").read_text())["annotations"]
    results = [{**x, "score": y} for x, y in zip(tracks, scores, strict=True)]
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "results.json"


def test_results_to_ctc(tmp_path):
    write_sequence(tmp_path)
    convert(tmp_path)
    results = write_results(tmp_path, [0.9, 0.8, 0.1, 0.7])
    to_ctc(tmp_path, "--results", results, "--score-threshold", 0.5)
    folder = tmp_path / "ctc/01_RES"
    # These have no parents, other than the part of a track before a gap.
    assert [x.parent for x in read_tracks(folder / "res_track.txt").values()] == [0, 0, 2, 0]
    images = read_labels(folder, "mask")
    assert ((images[4] > 0) == np.isin(draw_labels(4), (8, 300))).all()


def test_results_with_parents_to_ctc(tmp_path):
    write_sequence(tmp_path)
    entries = [x for x in convert(tmp_path)["annotations"] if x["label"] != 300]
    results = [
        {**entry, "score": 0.5, "track_id": i} | ({} if i == 0 else {"parent_id": 0})
        for i, entry in enumerate(entries)
    ]
    # An entry with a lower score, in front of the others, has no part in the numbering.
    results.insert(0, {**entries[0], "score": 0.1, "track_id": 5, "parent_id": 0})
    (tmp_path / "results.json").write_text(json.dumps(results))
    options = ["--results", tmp_path / "results.json", "--score-threshold", 0.5]
    to_ctc(tmp_path, *options)
    tracks = list(read_tracks(tmp_path / "ctc/01_RES/res_track.txt").values())
    assert tracks == [CellTrack(1, 0, 2, 0), CellTrack(2, 3, 5, 1), CellTrack(3, 3, 5, 1)]


@pytest.mark.parametrize(
    ("score", "expected"), [(0.6, [(0, 1), (2, 2)]), (0.4, [(0, 2)])], ids=["higher", "lower"]
)
def test_the_better_score_wins(tmp_path, score, expected):
    write_sequence(tmp_path)
    data = convert(tmp_path)
    # The second track has the first one's masks in frames 0 and 1.
    first, second = data["annotations"][:2]
    second["segmentations"] = first["segmentations"][:2] + [None] * 4
    data["annotations"] = [first, second]
    (tmp_path / "out.json").write_text(json.dumps(data))
    to_ctc(tmp_path, "--results", write_results(tmp_path, [0.5, score]))
    tracks = read_tracks(tmp_path / "ctc/01_RES/res_track.txt").values()
    assert [(x.first, x.last) for x in tracks] == expected


def test_videos_of_one_folder_are_numbered(tmp_path):
    write_sequence(tmp_path)
    convert(tmp_path, "--every", 3)
    to_ctc(tmp_path)
    assert sorted(x.name for x in (tmp_path / "ctc").iterdir()) == ["01_GT", "02_GT", "03_GT"]


def test_results_that_do_not_match(tmp_path, capsys):
    write_sequence(tmp_path)
    convert(tmp_path)
    (tmp_path / "results.json").write_text('[{"video_id": 9}]')
    for command, more in ((convert_to_ctc, ()), (cut_tiles, ("--tile", 20))):
        options = ["--annotations", tmp_path / "out.json", "--results", tmp_path / "results.json"]
        error = fails(command, [*options, "--output", tmp_path / "ctc", *more], capsys)
        assert "results.json" in error
        assert not (tmp_path / "ctc").exists()


def test_cut_tiles(tmp_path):
    write_sequence(tmp_path)
    convert(tmp_path)
    results = write_results(tmp_path, [0.9, 0.8, 0.7, 0.6])
    options = ["--annotations", tmp_path / "out.json", "--results", results, "--tile", 25]
    cut_tiles(list(map(str, [*options, "--output", tmp_path / "tiles"])))
    paths = [tmp_path / "tiles" / x for x in ("annotations.json", "results.json")]
    truth, found = (json.loads(x.read_text()) for x in paths)
    assert len(truth["videos"]) == 6 and evaluate(truth, found).as_dict()["AP"] == pytest.approx(
        100
    )
    # The tiles start in rows 0 and 15 and columns 0, 17 and 35. The fifth shows cell 12 in part.
    (track,) = (x for x in found if x["video_id"] == 5 and x["score"] == 0.7)
    expected = (draw_labels(3) == 12)[15:40, 17:42]
    assert expected.any() and (decode(track["segmentations"][3]) == expected).all()
