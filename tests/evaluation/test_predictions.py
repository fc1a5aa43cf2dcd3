"""Results that do not match the ground truth, and files that are no results at all."""

import gzip
import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_ytvis import track

from maskprop_d2.errors import AnnotationError
from maskprop_d2.evaluation import evaluate
from maskprop_d2.ytvis import iterate_json
from maskprop_d2.ytvis.reading import iterate_list


def found_cat(**change):
    return {**track(1, 4, [(0, 0, 10, 10), (5, 0, 15, 10), None], score=0.9), **change}


MISMATCHES = {
    "an unknown video, for example entry 1: 'video_id' is 99": {"video_id": 99},
    "an unknown category, for example entry 1: 'category_id' is 5": {"category_id": 5},
    "another length than the video's, for example entry 1: 2 masks or nulls for 3 frames": {
        "segmentations": [None, None]
    },
    "a mask of another size than the frame's, for example entry 1, frame 1: the mask's size is "
    "[5, 6], but the frame's is [20, 30]": {
        "segmentations": [None, {"size": [5, 6], "counts": [30]}, None]
    },
}


@pytest.mark.parametrize("message", MISMATCHES)
def test_mismatches_are_dropped_with_a_warning(ground_truth, caplog, message):
    expected = evaluate(ground_truth, [found_cat()]).as_dict()
    assert not caplog.text
    wrong = found_cat(**MISMATCHES[message])
    figures = evaluate(ground_truth, [found_cat(), wrong, wrong], ("gt", "mine.json")).as_dict()
    assert figures == expected
    (warning,) = (x.getMessage() for x in caplog.records)
    assert warning.startswith(f"mine.json: dropped 2 entries with {message}")


def test_all_mismatches_are_in_one_warning_or_with_strict_in_one_error(ground_truth, caplog):
    evaluate(ground_truth, [found_cat()], strict=True)
    wrong = [found_cat(**change) for change in MISMATCHES.values()]
    with pytest.raises(AnnotationError) as error:
        evaluate(ground_truth, [found_cat(), *wrong], strict=True)
    assert str(error.value).count("1 entry with") == 4
    assert "for example entry 2: 'category_id' is 5" in str(error.value)
    evaluate(ground_truth, [found_cat(), *wrong])
    assert [x.getMessage().count("1 entry with") for x in caplog.records] == [4]


MALFORMED = {
    "results: must be a list": {"a": 1},
    "results: 1 entry of a wrong type, for example entry 0: must be an object, not 5": [5],
    "entry 1: 'video_id' must be a non-negative": [
        found_cat(),
        found_cat(video_id=-1),
    ],
    "entry 0: 'category_id' must be .* not None": [found_cat(category_id=None)],
    "entry 0: 'score' must be a number, not nan": [found_cat(score=float("nan"))],
    "entry 0: 'score' must be a number, not 1000": [found_cat(score=10**400)],
    "entry 0: 'score' must be a number, not 'high'": [found_cat(score="high")],
    "entry 0: 'segmentations' must be a list, not {}": [found_cat(segmentations={})],
    "entry 0, frame 2: a mask must be": [found_cat(segmentations=[None, None, "x"])],
    "entry 0, frame 0: the RLE's runs must add up": [
        found_cat(segmentations=[{"size": [20, 30], "counts": [601]}, None, None])
    ],
    "entry 0, frame 1: the mask's size is": [
        found_cat(segmentations=[None, {"size": [10**9, 10**9], "counts": [10**18]}, None])
    ],
}


@pytest.mark.parametrize("message", MALFORMED)
def test_malformed_entries_are_an_error(ground_truth, message):
    with pytest.raises(AnnotationError, match=message):
        evaluate(ground_truth, MALFORMED[message])


def test_all_malformed_entries_are_counted_in_one_error(ground_truth):
    bad_rle = found_cat(segmentations=[None, {"size": [20, 30], "counts": "oo"}, None])
    entries = [found_cat(), 3, bad_rle, found_cat(video_id=9), *[found_cat(score=None)] * 20, "x"]
    with pytest.raises(AnnotationError) as error:
        evaluate(ground_truth, entries)
    assert str(error.value) == (
        "results: "
        "20 entries with a bad 'score', for example entry 4: 'score' must be a number, not None; "
        "2 entries of a wrong type, for example entry 1: must be an object, not 3; "
        "1 entry with a bad mask, for example entry 2, frame 1: the counts of an RLE end in the "
        "middle of a number; "
        "1 entry with an unknown video, for example entry 3: 'video_id' is 9"
    )


TEXT = st.text('aZ0 "\\\n\t/\x00\x7fé☃😀\ud800', max_size=6)


@settings(max_examples=60)
@given(
    entries=st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
            lambda x: st.lists(x, max_size=3) | st.dictionaries(TEXT, x, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    ),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 30),
)
def test_a_list_read_in_chunks_equals_json_loads(entries, indent, chunk):
    text = json.dumps(entries, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskprop_d2.ytvis.reading.CHUNK", chunk)
        assert list(iterate_list(io.StringIO(text))) == entries
        for broken in (text[:-1], text + "1", text[:-1] + ",]", "{" + text):
            with pytest.raises(ValueError):
                list(iterate_list(io.StringIO(broken)))


def test_a_long_file_is_not_loaded_into_memory(tmp_path):
    """100 MB of white space and a list of 10,000 entries, 100 MB, in a small archive."""
    path = tmp_path / "results.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write(" " * 10**8 + "[" + ",".join(['{"a": "' + "x" * 10**4 + '"}'] * 10**4) + "]")
    tracemalloc.start()
    assert sum(1 for _ in iterate_json(path)) == 10**4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


def test_reading_stops_at_a_syntax_error():
    file = io.StringIO("[{]" + " " * 10**7)
    with pytest.raises(ValueError, match="entry 0: Expecting property name"):
        list(iterate_list(file))
    assert file.tell() < 2**21


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([10**9, -(10**30), 10**400, 1e308, float("nan"), float("inf"), 0.5])
    | st.text("0Poa1\\\n\ud800", max_size=5),
    lambda x: (
        st.lists(x, max_size=4)
        | st.dictionaries(st.sampled_from(["size", "counts", "id", "x"]), x, max_size=3)
    ),
    max_leaves=10,
)


def places(value, path=()):
    """The paths of all values in a json value."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(value, path, new):
    """A copy of a json value with another value at a path; ``...`` removes it."""
    if not path:
        return new
    copy = value.copy()
    if len(path) == 1 and new is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=300)
@given(data=st.data(), new=ANYTHING | st.just(...))
def test_any_value_anywhere_is_used_or_gives_a_clear_error(data, new):
    video = {"id": 1, "height": 20, "width": 30, "file_names": ["0.jpg", "1.jpg"]}
    polygon = [[1, 1, 5, 1, 5, 5]]
    truth = {
        "videos": [video],
        "categories": [{"id": 4, "name": "cat"}],
        "annotations": [track(1, 4, [(0, 0, 9, 9), None], id=1)],
    }
    truth["annotations"][0]["segmentations"][1] = polygon
    results = [track(1, 4, [(0, 0, 9, 9), None], score=0.5)]
    results[0]["segmentations"][1] = {"size": [20, 30], "counts": [1, 2, 597]}
    path = data.draw(st.sampled_from(list(places([truth, results]))[1:]))
    new = None if new is ... and len(path) == 1 else new
    truth, results = put([truth, results], path, new)
    try:
        figures = evaluate(truth, results, strict=data.draw(st.booleans())).as_dict()
    except AnnotationError as error:
        assert "\n" not in str(error) and len(str(error)) < 500
    else:
        assert figures["AP"] is None or 0 <= figures["AP"] <= 100


@settings(max_examples=100)
@given(data=st.data())
def test_a_damaged_file_is_read_or_gives_a_clear_error(data, tmp_path_factory):
    text = json.dumps([found_cat(), found_cat()]).encode()
    at = data.draw(st.integers(0, len(text)))
    damage = data.draw(st.binary(max_size=4) | st.sampled_from([b"NaN", b"[" * 10**5, b"9" * 5000]))
    rest = text[at + data.draw(st.integers(0, 20)) :] if data.draw(st.booleans()) else b""
    path = tmp_path_factory.mktemp("damaged") / "results.json"
    path.write_bytes(text[:at] + damage + rest)
    try:
        list(iterate_json(path))
    except AnnotationError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_damaged_archives_give_a_clear_error(tmp_path):
    whole = gzip.compress(json.dumps([found_cat()] * 50).encode())
    path = tmp_path / "results.json.gz"
    for content in (whole[:-30], whole[:40] + b"\x00" * 9 + whole[49:], b"", b"\x1f\x8b"):
        path.write_bytes(content)
        with pytest.raises(AnnotationError, match=r"cannot be read|is not valid json"):
            list(iterate_json(path))


def test_huge_polygons_are_an_error_before_they_are_drawn(ground_truth):
    ground_truth["videos"][0].update(height=2**15 - 1, width=2**11)
    annotation = ground_truth["annotations"][0]
    annotation["segmentations"] = [[[0, 0, 9e4, 9e4, 0, 9e4] * 10**4], None, None]
    with pytest.raises(AnnotationError, match="annotation 1, frame 0: the polygons' outline"):
        evaluate(ground_truth, [])
    # Frames of the largest size are allowed.
    annotation["segmentations"] = [[[0, 0, 100, 0, 100, 100, 0, 100]], None, None]
    ground_truth["annotations"] = [annotation]
    assert evaluate(ground_truth, []).as_dict()["AP"] == 0
