"""Reading the list in a json object one entry at a time"""

import gzip
import json
import tracemalloc

import pytest

from maskprop_d2.errors import AnnotationError
from maskprop_d2.ytvis.reading import iterate_json, load_members

DATA = {"info": {"a": [1]}, "list": [{"x": "]}"}, None, [2, {}]], "é": "\\", "empty": []}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 2**20])
def test_an_object_is_read_member_by_member(indent, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr("maskprop_d2.ytvis.reading.CHUNK", chunk)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(DATA, indent=indent))
    assert list(iterate_json(path, "list")) == DATA["list"]
    assert list(iterate_json(path, "empty")) == []
    assert load_members(path, "list") == {k: v for k, v in DATA.items() if k != "list"}
    path.write_text(json.dumps(DATA["list"], indent=indent))
    assert list(iterate_json(path, "list")) == DATA["list"]
    assert load_members(path, "list") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"list": 3}', "must be a list"),
        ("3", "must be a list or an object"),
        ("", "must be a list or an object"),
        ("{3: []}", "expected a name and ':' in an object"),
        ('{"list" []}', "expected a name and ':' in an object"),
        ('{"list": [] "a": 1}', "expected ',' or '}' after 'list'"),
        ('{"list": [1, {]}', "entry 1: Expecting property name"),
        ('{"list": []} 3', "extra text after the end"),
        ('{"list": []', "expected ',' or '}' after 'list'"),
    ],
)
def test_what_is_not_an_object_with_the_list(text, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=message) as error:
        list(iterate_json(path, "list"))
    assert str(error.value).startswith(f"{path} is not valid json: ")


@pytest.mark.parametrize("text", ["{}", '{"other": []}'])
def test_an_object_without_the_list_is_valid_json(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(AnnotationError) as error:
        list(iterate_json(path, "list"))
    assert str(error.value) == f"{path} must be a list, or an object with the list 'list'"


def test_the_list_is_not_loaded_into_memory(tmp_path):
    path = tmp_path / "a.json.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write('{"list": [' + ",".join(['{"a": "' + "x" * 10**4 + '"}'] * 5000) + '], "b": 1}')
    tracemalloc.start()
    assert load_members(path, "list") == {"b": 1}
    assert sum(1 for _ in iterate_json(path, "list")) == 5000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7
