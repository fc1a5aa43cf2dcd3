"""Training samples in an order, and with random numbers, that only the seed decides."""

import itertools
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

# What random numbers are for: those of one purpose say nothing about those of another.
_ORDER, _SAMPLE = range(2)


class SampleStream(IterableDataset):
    """An endless stream of mapped samples, each epoch in another order.

    The sample at a place depends on the seed and the place alone, not on how many processes read
    it or on where reading began. So a training that goes on sees what it would have seen.

    Attributes:
        first_batch: reading begins with this batch, counted from the start of the training.
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
            dataset: the samples, by their index.
            mapper: makes a training example of a sample with the random numbers of numpy; None
                where it cannot, and another sample takes its place.
            seed: the same for all processes of a training.
            batch_size: samples that one process takes at a time.
            rank, world_size: which of how many processes of the training this one is.
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
        # A data loader takes a batch from each of its worker processes in turn.
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:
            sys.excepthook = print_unless_nobody_listens
        for batch in itertools.count(self.first_batch + number, workers):
            for i in range(batch * self.batch_size, (batch + 1) * self.batch_size):
                yield self.sample(i * self.world_size + self.rank)

    def sample(self, place: int) -> Any:
        """The mapped sample at a place of the stream."""
        random = np.random.default_rng([self.seed, _SAMPLE, place])
        # The mapper and Detectron2's transforms draw from numpy's global numbers.
        np.random.seed(random.integers(2**32))
        epoch, i = divmod(place, len(self.dataset))
        mapped = self.mapper(self.dataset[self._order_of(epoch)[i]])
        while mapped is None:
            mapped = self.mapper(self.dataset[random.integers(len(self.dataset))])
        return mapped

    def _order_of(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            random = np.random.default_rng([self.seed, _ORDER, epoch])
            self._epoch, self._order = epoch, random.permutation(len(self.dataset))
        return self._order


def print_unless_nobody_listens(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The exception hook of a worker process. A training that is interrupted while it fetches a
    batch leaves the thread that hands it over with a broken connection: no news to anybody."""
    if not issubclass(kind, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)


def stream_of(loader: Any) -> SampleStream:
    """What a training loader reads from. For it to begin with a later batch, set ``first_batch``
    before it is first read."""
    while not isinstance(loader, SampleStream):
        loader = loader.dataset
    return loader
