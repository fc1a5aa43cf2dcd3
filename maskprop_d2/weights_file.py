"""
Writing weights files, and reading them without running any code in them.

There are two kinds: files that ``torch.save`` writes (.pth, .pt; checkpoints and exported models),
which are archives or, before torch 1.6, several pickles; and pickles of NumPy arrays (.pkl;
Detectron2's model zoo).
"""

import _codecs
import io
import pickle
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .array_pickle import CORES, not_allowed, read_array_pickle
from .errors import WeightsFileError
from .files import atomic_file


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a weights file: a dict of tensors or arrays, plain values, and dicts of these.

    Takes little more memory than the size of the file; tensors of an archive stay in the file until
    they are used.

    Raises:
        WeightsFileError: if the file is missing, damaged, or contains or refers to anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsFileError(path, "there is no such file")
    try:
        contents = read_array_pickle(path) if path.suffix == ".pkl" else _read_archive(path)
    except pickle.UnpicklingError as error:
        raise WeightsFileError(path, _first_line(error)) from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise WeightsFileError(path, f"it is damaged or of another kind: {error}") from error
    # A damaged pickle can raise anything.
    except Exception as error:
        raise WeightsFileError(path, f"it is damaged: {_first_line(error)}") from error
    if not isinstance(contents, dict):
        raise WeightsFileError(path, "it does not contain weights by name")
    return contents


def write_weights(contents: dict[str, Any], path: str | Path) -> None:
    """Write an archive that ``read_weights`` reads. The file is replaced when it is complete.

    Raises:
        OSError, RuntimeError: if it cannot be written, for example on a full disk.
    """
    # On a full disk, torch 2.4 cuts off a file that it opens itself, and says nothing.
    with atomic_file(path) as partial, partial.open("wb") as file:
        torch.save(contents, file)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _read_archive(path: Path) -> Any:
    size = path.stat().st_size
    with path.open("rb") as file:
        is_old = file.read(len(_OLD_START)) == _OLD_START
    if is_old:
        try:
            contents = _load(path)
        except pickle.UnpicklingError as error:
            raise not_allowed(_globals(path.read_bytes(), 4)) from error
        _check_tensors(contents, size)
        return contents
    with zipfile.ZipFile(path) as archive:
        if sum(x.file_size for x in archive.infolist()) > size:
            raise zipfile.BadZipFile("its entries are larger than the file")
        damaged = archive.testzip()
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
    try:
        contents = _load(path, mmap=True)
    except pickle.UnpicklingError as error:
        with zipfile.ZipFile(path) as archive:
            (name,) = (x for x in archive.namelist() if x.endswith("/data.pkl"))
            raise not_allowed(_globals(archive.read(name))) from error
    _check_tensors(contents, size)
    return contents


# What torch.save wrote before it wrote archives: the pickle of a magic number.
_OLD_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def _load(path: Path, **options: Any) -> Any:
    with _ignored_classes():
        return torch.load(path, map_location="cpu", weights_only=True, **options)


class _Ignored:
    """Stands for an object that is not needed, which is read as this."""

    def __init__(self, *_: Any, **__: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _ignore(name: str) -> type:
    """A class that torch takes for the one with this name."""
    module, _, attribute = name.rpartition(".")
    return type(attribute, (_Ignored,), {"__module__": module})


# The log of a training that mmengine writes into checkpoints, and what it is made of.
_IGNORED: list[Any] = [
    _ignore(name)
    for name in (
        "mmengine.logging.history_buffer.HistoryBuffer",
        *(f"{module}.getattr" for module in ("builtins", "__builtin__")),
        *(f"numpy.{x}" for x in ("ndarray", "dtype")),
        *(f"{x}.multiarray.{y}" for x in CORES for y in ("_reconstruct", "scalar")),
    )
]


@contextmanager
def _ignored_classes() -> Iterator[None]:
    """Within the block, ``torch.load`` reads objects of ``_IGNORED`` without running their code."""
    before = torch.serialization.get_safe_globals()
    # torch 2.4 does not allow the codecs of byte strings, as newer versions do.
    torch.serialization.add_safe_globals([*_IGNORED, _codecs.encode])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _globals(data: bytes, pickles: int = 1) -> str:
    """The names of the classes and functions in pickles that no tensor needs."""
    file = io.BytesIO(data)
    opcodes = [x for _ in range(pickles) for x in pickletools.genops(file)]
    names = {str(argument) for opcode, argument, _ in opcodes if opcode.name == "GLOBAL"}
    tensor_modules = ("torch", "torch._utils", "torch._tensor", "collections")
    found = [x.replace(" ", ".") for x in names if x.split()[0] not in tensor_modules]
    return ", ".join(sorted(found)) or "other classes"


def _check_tensors(contents: Any, file_size: int) -> None:
    """
    Raises:
        pickle.UnpicklingError: if tensors at any depth are larger than the file, as a number
            expanded to many, or not dense on the CPU.
    """
    values, seen = [contents], set()
    while values:
        value = values.pop()
        if isinstance(value, dict | list | tuple):
            if id(value) not in seen:
                seen.add(id(value))
                values += value.values() if isinstance(value, dict) else value
        elif isinstance(value, torch.Tensor) and not (
            value.layout == torch.strided
            and value.device.type == "cpu"
            and not value.is_quantized
            and value.numel() * value.element_size() <= file_size
        ):
            raise pickle.UnpicklingError("it contains a tensor that is not plain numbers")
