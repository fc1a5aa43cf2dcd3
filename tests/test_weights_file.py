"""Weights files are read without running any code in them."""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from maskprop_d2 import array_pickle
from maskprop_d2.errors import WeightsFileError
from maskprop_d2.weights_file import read_weights


class Call:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_numpy_arrays_are_read(tmp_path, protocol):
    weights = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">i4"),
        "half": np.ones((1, 2), np.float16),
        "bool": np.array([True, False]),
        "none": np.zeros((0, 3)),
        "scalar": np.float32(0.5),
    }
    contents = {"model": OrderedDict(weights), "__author__": "me", "matching_heuristics": True}
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps(contents, protocol))
    read = read_weights(path)
    assert read["__author__"] == "me" and read["matching_heuristics"] is True
    for name, value in weights.items():
        np.testing.assert_array_equal(read["model"][name], value)
        # Torch takes only native, writable arrays.
        torch.from_numpy(np.asarray(read["model"][name]))


def test_arrays_shared_by_several_names_are_read(tmp_path):
    x = np.ones(1000, np.float32)
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps({"a": x, "b": x}))
    weights = read_weights(tmp_path / "weights.pkl")
    assert weights["a"] is weights["b"] and (weights["a"] == 1).all()


def test_pickles_of_python_2_are_read(tmp_path):
    """As Caffe2's: bytes are text there."""
    data = np.float32([1.5, -2]).tobytes()
    opcodes = (
        b"\x80\x02}U\x01wcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08" + data + b"tbs."
    )
    (tmp_path / "weights.pkl").write_bytes(opcodes)
    assert read_weights(tmp_path / "weights.pkl")["w"].tolist() == [1.5, -2]


HOSTILE = {
    "posix.system": Call(__import__("os").system, "touch {folder}/ran"),
    "builtins.eval": Call(eval, "open('{folder}/ran', 'w')"),
    "pathlib.PosixPath": Path("a"),
    "builtins.bytearray": Call(bytearray, 10**12),
}


@pytest.mark.parametrize("suffix", ["pkl", "pth"])
@pytest.mark.parametrize("name", HOSTILE)
def test_classes_and_functions_are_refused_by_name_and_not_called(tmp_path, name, suffix):
    value = HOSTILE[name]
    if isinstance(value, Call):
        function, arguments = value.call
        filled = [x.format(folder=tmp_path) if isinstance(x, str) else x for x in arguments]
        value = Call(function, *filled)
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pkl":
        path.write_bytes(pickle.dumps({"model": {"a": value}}))
    else:
        torch.save({"model": {"a": value}}, path)
    with pytest.raises(WeightsFileError, match=rf"weights\.{suffix}: .*") as info:
        read_weights(path)
    if (name, suffix) != ("builtins.bytearray", "pth"):
        # torch.load allows this one, but does not allocate the memory.
        assert name.split(".")[-1] in str(info.value)
    assert "\n" not in str(info.value)
    assert not (tmp_path / "ran").exists()


def pickled(opcodes):
    return b"\x80\x02" + opcodes + b"."


FRAME_IN_A_LINE = b"\x80\x04\x95" + (3).to_bytes(8, "little") + b"}Vaa\n0."


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "damaged"),
        (b"text", "damaged"),
        (pickle.dumps([1]), "does not contain weights by name"),
        (pickle.dumps({"a": np.array(["text"])}), "an array of 'U4'"),
        (pickle.dumps({"a": np.array([None])}), "an array of 'O8'"),
        # A memo of 2^31 places, also hidden at the end of a frame, and a string of 2^63 bytes.
        (pickled(b"}r\xff\xff\xff\x7f"), "damaged: memo index 2147483647"),
        (pickled(b"}p2147483647\n"), "damaged: memo index 2147483647"),
        (FRAME_IN_A_LINE, "damaged: UNICODE in a frame"),
        (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.", "damaged"),
        (pickled(b"cnumpy\ndtype\n)R}U\x01aK\x01sb"), "damaged"),
        (pickled(b"}U\x01acnumpy\nndarray\n)Rs"), "an array without numbers"),
    ],
)
def test_damaged_and_hostile_pickles_are_refused(tmp_path, contents, message):
    path = tmp_path / "weights.pkl"
    path.write_bytes(contents)
    with pytest.raises(WeightsFileError, match=message):
        read_weights(path)


def test_a_pickle_changes_no_function_of_the_reader(tmp_path):
    before = vars(array_pickle._scalar).copy()
    # Sets an attribute of ``scalar``.
    opcodes = pickled(b"cnumpy.core.multiarray\nscalar\n}U\x01aK\x01sb0}")
    (tmp_path / "weights.pkl").write_bytes(opcodes)
    assert read_weights(tmp_path / "weights.pkl") == {}
    assert vars(array_pickle._scalar) == before


def test_arrays_must_match_their_bytes(tmp_path):
    whole = pickle.dumps({"a": np.zeros(2, np.float32)}, 2)
    assert whole.count(b"K\x02\x85") == 1
    path = tmp_path / "weights.pkl"
    path.write_bytes(whole.replace(b"K\x02\x85", b"J\xff\xff\xff\x7f\x85"))
    with pytest.raises(WeightsFileError, match="cannot reshape"):
        read_weights(path)


def test_arrays_larger_than_the_file_are_refused(tmp_path):
    """Many arrays that use the same bytes."""
    data = pickle.PickleBuffer(bytes(10**6))

    class Array:
        def __reduce__(self):
            return np.zeros(1).__reduce_ex__(5)[0], (data, np.dtype("u1"), (10**6,), "C")

    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({str(i): Array() for i in range(3)}, 5))
    assert path.stat().st_size < 2 * 10**6
    with pytest.raises(WeightsFileError, match="arrays are larger than the file"):
        read_weights(path)


def test_compressed_archives_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/data.pkl", b"\x00" * 10**7)
    with pytest.raises(WeightsFileError, match="entries are larger than the file"):
        read_weights(path)


def test_expanded_tensors_are_refused(tmp_path):
    torch.save({"model": {"a": torch.zeros(1).expand(10**12)}}, tmp_path / "weights.pth")
    with pytest.raises(WeightsFileError, match="not plain numbers"):
        read_weights(tmp_path / "weights.pth")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save({"model": {"a": torch.arange(1000.0)}}, path)
    assert torch.equal(read_weights(path)["model"]["a"], torch.arange(1000.0))
    whole = path.read_bytes()
    for damaged in (whole[:-40], whole[:2000], whole[:1500] + b"\x01" + whole[1501:], b""):
        path.write_bytes(damaged)
        with pytest.raises(WeightsFileError, match=r"weights\.pth: .* damaged"):
            read_weights(path)
    with pytest.raises(WeightsFileError, match="there is no such file"):
        read_weights(tmp_path / "gone.pth")
