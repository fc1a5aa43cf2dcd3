"""Readers reject damaged and hostile files quickly and with one line.

``tools/fuzz.py`` does the same with any number of files.
"""

import multiprocessing
import os
import re
import time
from random import Random

import fuzzing.limits
import pytest
from fuzzing.limits import find_failures, make_input
from fuzzing.readers import READERS, Reader

from maskprop_d2.errors import InputError

SMALL = {"exported": 5}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_reads_or_rejects_any_input(name, tmp_path):
    """In this process, to save imports. The command checks time and memory too."""
    reader = READERS[name]
    path = tmp_path / f"input{reader.suffix}"
    for i in range(SMALL.get(name, 60)):
        path.write_bytes(make_input(name, 0, i))
        start = time.process_time()
        try:
            reader.read(path)
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000, i
        except Exception as error:
            raise AssertionError(f"input {i} of seed 0") from error
        # The first input includes imports.
        assert i == 0 or time.process_time() - start < 2, i


def test_each_reader_reads_undamaged_input(tmp_path, monkeypatch):
    """Otherwise rejected inputs would prove nothing."""
    monkeypatch.setattr("fuzzing.readers.damage", lambda _, data: data)
    monkeypatch.setattr("fuzzing.readers.damage_zip", lambda _, data: data)
    monkeypatch.setattr("fuzzing.mutate.damage", lambda _, data: data)
    monkeypatch.setattr("fuzzing.detections.damage", lambda _, data: data)
    monkeypatch.setattr("fuzzing.annotation_tools.damage", lambda _, data: data)
    monkeypatch.setattr("fuzzing.foreign.damage", lambda _, data: data)
    monkeypatch.setattr("fuzzing.mutate.replace_values", lambda _, value, *more: value)
    monkeypatch.setattr("fuzzing.readers.replace_values", lambda _, value, *more: value)

    class AlwaysSmall(Random):
        def random(self):
            return 0.05

    for name, reader in READERS.items():
        path = tmp_path / f"input{reader.suffix}"
        path.write_bytes(reader.make(AlwaysSmall()))
        reader.read(path)
        assert path.stat().st_size > 20, name


def use_cpu_time(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize(
    ("read", "failure"),
    [
        ("os.abort()", "the process ends with -6"),
        ("bytes(2**31)", "takes 2[0-9]{3} MiB"),
        ("use_cpu_time(1.2)", "takes 1.[0-9] s"),
        ("{}['no']", "KeyError"),
    ],
)
def test_failures_are_detected(monkeypatch, read, failure):
    # A spawned process would not see the patched readers.
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)
    number = iter(range(100))

    def reading(path):
        # After the warm-up.
        if next(number) == 21:
            eval(read, {"os": os, "use_cpu_time": use_cpu_time})

    reader = Reader(".txt", lambda _: b"text", reading)
    monkeypatch.setitem(fuzzing.limits.READERS, "faulty", reader)
    found = list(find_failures("faulty", 1, 3))
    assert [i for i, _ in found] == [1]
    assert re.search(failure, found[0][1]), found
