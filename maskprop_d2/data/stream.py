"""Training samples in an order, and with random numbers, that depend only on the seed."""

import itertools
import logging
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import InputError, VideoError

# Purposes of random numbers, which must not be correlated.
_ORDER, _SAMPLE = range(2)


class SampleStream(IterableDataset):
    """An endless stream of mapped samples, shuffled in each epoch.

    A sample depends only on the seed and its position in the stream, not on the number of worker
    processes or on where reading starts. So a resumed training sees the same samples as one that
    was not interrupted.

    Attributes:
        first_batch: the batch to start with, counted from the start of the training.
    """

    def __init__(
        self,
        dataset: Any,
        mapper: Callable[[Any], Any],
        *,
        seed: int,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        """
        Args:
            dataset: samples by index.
            mapper: makes a training example of a sample, with numpy's global random numbers. If it
                returns None, a random other sample is used instead.
            seed: the same for all processes of a training.
            batch_size: samples per process and batch.
            rank, world_size: of the training process.
        """
        self.dataset = dataset
        self.mapper = mapper
        self.seed = seed
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.first_batch = 0
        self._epoch = -1
        self._order: np.ndarray

    def __iter__(self) -> Iterator[Any]:
        # A data loader takes batches from its worker processes in turn.
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:
            sys.excepthook = _print_unless_disconnected
        for batch in itertools.count(self.first_batch + number, workers):
            for i in range(batch * self.batch_size, (batch + 1) * self.batch_size):
                yield self.sample(i * self.world_size + self.rank)

    def sample(self, position: int) -> Any:
        """The mapped sample at a position of the stream."""
        random = np.random.default_rng([self.seed, _SAMPLE, position])
        # For the mapper and Detectron2's transforms.
        np.random.seed(random.integers(2**32))
        epoch, i = divmod(position, len(self.dataset))
        mapped = self.mapper(self.dataset[self._epoch_order(epoch)[i]])
        while mapped is None:
            mapped = self.mapper(self.dataset[random.integers(len(self.dataset))])
        return mapped

    def _epoch_order(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            random = np.random.default_rng([self.seed, _ORDER, epoch])
            self._epoch, self._order = epoch, random.permutation(len(self.dataset))
        return self._order


def _print_unless_disconnected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Exception hook of a worker process. If a training is interrupted while it fetches a batch,
    the worker's sending thread fails with a broken connection, which is not worth a message."""
    if not issubclass(kind, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)


def get_stream(loader: Any) -> SampleStream:
    """The stream that a training loader reads from. To start with a later batch, set its
    ``first_batch`` before the loader is iterated."""
    while not isinstance(loader, SampleStream):
        loader = loader.dataset
    return loader


class SkipUnreadable:
    """A mapper that returns None for samples with an unreadable frame.

    Each worker process accepts a share of ``max_share`` of the dataset's ``num_frames`` frames
    (``DATALOADER.MAX_BAD_FRAMES``).

    Attributes:
        skipped: number of skipped samples, summed over the worker processes of a training process.
    """

    def __init__(self, mapper: Callable[[Any], Any], max_share: float, num_frames: int):
        """
        Raises:
            InputError: if ``max_share`` is not in [0, 1).
        """
        if not 0 <= max_share < 1:
            raise InputError(f"DATALOADER.MAX_BAD_FRAMES must be in [0, 1), not {max_share}")
        self.mapper = mapper
        self.max_share = max_share
        self.max_frames = int(max_share * num_frames)
        self.skipped = multiprocessing.Value("q", 0)
        self._messages: set[str] = set()

    def __call__(self, sample: Any) -> Any:
        """The mapped sample, or None.

        Raises:
            VideoError: if more frames are unreadable than allowed.
        """
        try:
            return self.mapper(sample)
        except VideoError as error:
            message = str(error)
        with self.skipped.get_lock():
            self.skipped.value += 1
        if message not in self._messages:
            self._messages.add(message)
            number = len(self._messages)
            if number > self.max_frames:
                raise VideoError(
                    f"{message}. This is unreadable frame number {number}, but "
                    f"DATALOADER.MAX_BAD_FRAMES {self.max_share:g} allows {self.max_frames}. Find "
                    "all unreadable frames with maskprop validate"
                )
            logging.getLogger(__name__).warning(
                "%s: skipped (unreadable frame %d of at most %d)", message, number, self.max_frames
            )
        return None
