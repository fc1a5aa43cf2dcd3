from functools import partial

import pytest
import torch
from small_training import small_data_sets


@pytest.fixture(scope="session")
def data_sets(tmp_path_factory):
    """A folder with three tiny videos to train on and two for validation, where Detectron2 finds
    them. One thread per process, so that all processes compute the same."""
    folder = small_data_sets(tmp_path_factory.mktemp("datasets"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder
    torch.set_num_threads(threads)


@pytest.fixture
def forked(monkeypatch):
    """``launch`` forks the processes of a training: new ones would import everything first."""
    start = partial(torch.multiprocessing.start_processes, start_method="fork")
    monkeypatch.setattr(torch.multiprocessing, "start_processes", start)
