"""Reading pickles of NumPy arrays without running any code in them."""

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

# NumPy has two names for its inner package.
CORES = ("numpy.core", "numpy._core")


def not_allowed(name: str) -> pickle.UnpicklingError:
    """The error for a pickle that refers to a class or function of this name."""
    return pickle.UnpicklingError(
        f"it refers to {name}, but only tensors, arrays and plain values are loaded"
    )


def read_array_pickle(path: Path) -> Any:
    """Read a pickle of dicts, lists, text, numbers and NumPy arrays.

    Raises:
        pickle.UnpicklingError: if it refers to anything else, or its arrays are larger than the
            file. A damaged pickle can raise any other exception.
    """
    data = path.read_bytes()
    _check_opcodes(data)
    contents = _ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
    if not isinstance(contents, dict):
        return contents
    # Many arrays may use the same bytes of the file.
    arrays: dict[_Array, np.ndarray] = {}
    left = len(data)

    def finish(value: Any) -> Any:
        nonlocal left
        if not isinstance(value, _Array):
            return value
        if value not in arrays:
            arrays[value] = value.numpy()
            left -= arrays[value].nbytes
            if left < 0:
                raise pickle.UnpicklingError("its arrays are larger than the file")
        return arrays[value]

    return {
        key: {k: finish(v) for k, v in x.items()} if isinstance(x, dict) else finish(x)
        for key, x in contents.items()
    }


def _check_opcodes(data: bytes) -> None:
    """Check what ``pickle.Unpickler`` allocates memory for before it reads it: the lengths of
    strings (which ``genops`` checks) and the highest index of the memo.

    Raises:
        pickle.UnpicklingError, ValueError: if the pickle is damaged.
    """
    framed = False
    for number, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in ("PUT", "LONG_BINPUT") and (argument or 0) > number:
            raise pickle.UnpicklingError(f"it is damaged: memo index {argument}")
        framed |= opcode.name == "FRAME"
        # ``Unpickler`` and ``genops`` read lines that cross the end of a frame differently.
        if framed and opcode.arg is not None and opcode.arg.n == pickletools.UP_TO_NEWLINE:
            raise pickle.UnpicklingError(f"it is damaged: {opcode.name} in a frame")


class _Dtype:
    """Stands for ``numpy.dtype`` while a pickle is read: of numbers or bools."""

    def __init__(self, code: str, *_: Any):
        if code not in _DTYPES:
            raise pickle.UnpicklingError(f"it contains an array of {str(code)[:20]!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # Of the state of a dtype only the byte order matters here.
        self.dtype = self.dtype.newbyteorder(state[1])


_DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")


class _Array:
    """Stands for ``numpy.ndarray`` while a pickle is read."""

    def __init__(self, *_: Any):
        self._state: tuple[Any, ...] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def numpy(self) -> np.ndarray:
        """A writable array in native byte order.

        Raises:
            pickle.UnpicklingError, ValueError: if it does not have a number for each place.
        """
        if self._state is None:
            raise pickle.UnpicklingError("it contains an array without numbers")
        _, shape, dtype, fortran, data = self._state
        # Python 2 wrote bytes as text.
        data = data.encode("latin1") if isinstance(data, str) else data
        array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")
        return array.astype(dtype.dtype.newbyteorder("="))


def _array_from_buffer(data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return _array_from_buffer(data, dtype, (), "C").numpy().item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it contains text in {str(encoding)[:20]!r}")
    return text.encode("latin1")


# What pickled arrays refer to, and what they get.
_ALLOWED: dict[str, Any] = {
    "numpy.dtype": _Dtype,
    "numpy.ndarray": _Array,
    "_codecs.encode": _encode,
    "collections.OrderedDict": dict,
    # For empty bytes in old protocols.
    "__builtin__.bytes": lambda: b"",
}
for _core in CORES:
    _ALLOWED[f"{_core}.multiarray._reconstruct"] = _Array
    _ALLOWED[f"{_core}.multiarray.scalar"] = _scalar
    _ALLOWED[f"{_core}.numeric._frombuffer"] = _array_from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    """Reads pickles of dicts, lists, text, numbers and NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        """
        Raises:
            pickle.UnpicklingError: for anything that arrays do not need.
        """
        if (allowed := _ALLOWED.get(f"{module}.{name}")) is None:
            raise not_allowed(f"{module}.{name}")
        # A new function each time: a pickle can set attributes of what it gets.
        return lambda *arguments: allowed(*arguments)
