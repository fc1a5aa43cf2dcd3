"""
Reading files of weights, without running anything that they ask for.

There are two kinds: archives that ``torch.save`` writes (.pth, .pt), checkpoints and exported
models alike, and the pickles of Detectron2's model zoo (.pkl).
"""

import io
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from .errors import WeightsFileError


def read_weights(path: str | Path) -> dict[str, Any]:
    """What a file of weights holds: a dict of tensors or arrays, plain values, and dicts of such.

    No more memory is taken than the file is long, but for small values; tensors of an archive stay
    in the file until they are used.

    Raises:
        WeightsFileError: if there is no such file, it is damaged, or holds or asks for anything
            else; the message names that.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsFileError(path, "there is no such file")
    try:
        contents = _read_pickle(path) if path.suffix == ".pkl" else _read_archive(path)
        _check(contents, path.stat().st_size)
    except pickle.UnpicklingError as error:
        # As torch writes it, in the middle of many lines of advice.
        asked_for = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {asked_for[1]}, which is no weight" if asked_for else str(error)
        raise WeightsFileError(path, _first_line(reason)) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise WeightsFileError(path, f"it is damaged or of another kind: {error}") from error
    # A damaged pickle makes its reader stumble over anything.
    except Exception as error:
        raise WeightsFileError(path, f"it is damaged: {_first_line(str(error))}") from error
    return contents


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it makes no sense"])[0][:200]


def _check(contents: Any, file_size: int) -> None:
    """
    Raises:
        pickle.UnpicklingError: if it is no dict, or has tensors that are larger than the file or
            of an unusual kind.
    """
    if not isinstance(contents, dict):
        raise pickle.UnpicklingError("it holds no weights by name")
    for x in _tensors(contents):
        if not (
            x.layout == torch.strided
            and x.device.type == "cpu"
            and not x.is_quantized
            # One number can be shown as any number of them.
            and x.numel() * x.element_size() <= file_size
        ):
            raise pickle.UnpicklingError("it holds a tensor that is not plain numbers")


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in dicts and lists of any depth."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for x in value.values() if isinstance(value, dict) else value:
            yield from _tensors(x)


def _read_archive(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        if sum(x.file_size for x in archive.infolist()) > path.stat().st_size:
            raise zipfile.BadZipFile("its entries are larger than the file")
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} is not what was written")
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        # Held in memory, since a file reserves as many bytes as a pickle says that it wants.
        contents = file.read()
    return _unwrap(_ArrayUnpickler(contents).load())


class _Dtype:
    """Stands for a numpy.dtype while a pickle is read: of numbers or bools."""

    def __init__(self, code: str, *_: Any):
        if not isinstance(code, str) or not re.fullmatch(r"[biufc](1|2|4|8|16)", code):
            raise pickle.UnpicklingError(f"it asks for an array of {str(code)[:20]!r}")
        self.dtype = np.dtype(code)

    def set(self, state: tuple[Any, ...]) -> None:
        """What numpy keeps of a dtype: only the order of bytes matters here."""
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for a numpy array while a pickle is read, until its numbers come."""

    def __init__(self, *_: Any):
        self.array: np.ndarray | None = None

    def set(self, state: tuple[Any, ...]) -> None:
        """What numpy keeps of an array: version, shape, dtype, whether in Fortran's order, data."""
        _, shape, dtype, fortran, data = state
        self.array = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> np.ndarray:
    # Python 2 wrote bytes as text.
    data = data.encode("latin1") if isinstance(data, str) else data
    # It is checked that there is a number for each place.
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    # Neither torch nor its users expect what is foreign or read-only.
    return array.astype(dtype.dtype.newbyteorder("="))


def _number(dtype: _Dtype, data: Any) -> Any:
    return _array(data, dtype, (), "C").item()


def _bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for text in {str(encoding)[:20]!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


# What pickled arrays ask for, and what they get. numpy calls its inner part by two names.
_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _bytes,
    ("collections", "OrderedDict"): dict,
}
for _builtins in ("builtins", "__builtin__"):
    _KNOWN[_builtins, "bytes"] = _no_bytes
for _core in ("numpy.core", "numpy._core"):
    _KNOWN[f"{_core}.multiarray", "_reconstruct"] = _Array
    _KNOWN[f"{_core}.multiarray", "scalar"] = _number
    _KNOWN[f"{_core}.numeric", "_frombuffer"] = _array


class _ArrayUnpickler(pickle._Unpickler):
    """Reads pickles of dicts, lists, text, numbers and numpy arrays.

    The one that is written in Python, since the other takes memory as a file tells it to.
    """

    stack: list[Any]

    def __init__(self, contents: bytes):
        super().__init__(io.BytesIO(contents), encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """
        Raises:
            pickle.UnpicklingError: for all that no array needs.
        """
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no weight")
        return _KNOWN[module, name]

    def load_build(self) -> None:
        """Give an array or a dtype its state; nothing else has one."""
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Dtype):
            raise pickle.UnpicklingError("it sets what is no array")
        self.stack[-1].set(state)

    def load_reduce(self) -> None:
        """Call one of what ``find_class`` gives; dicts, numbers and text are no such."""
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not any(function is known for known in _KNOWN.values()):
            raise pickle.UnpicklingError("it calls what is no function")
        self.stack[-1] = function(*arguments)

    dispatch: ClassVar[dict[int, Any]] = {
        code: handler
        for code, handler in pickle._Unpickler.dispatch.items()
        # Other ways to make objects, which no array needs.
        if bytes([code]) not in (pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.OBJ, pickle.INST)
    }
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.REDUCE[0]] = load_reduce


def _unwrap(value: Any) -> Any:
    """The arrays in a dict, or in the dicts in it, in place of what stood for them."""
    if not isinstance(value, dict):
        return value
    return {
        key: {k: _finished(v) for k, v in x.items()} if isinstance(x, dict) else _finished(x)
        for key, x in value.items()
    }


def _finished(value: Any) -> Any:
    if not isinstance(value, _Array):
        return value
    if value.array is None:
        raise pickle.UnpicklingError("it holds an array without numbers")
    return value.array
