"""Reading ahead in a background thread."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")


class Prefetched(Iterator[Item]):
    """An iterator over items that a background thread reads.

    Attributes:
        ahead: futures of the next items, in order; ``__next__`` returns the first one's.
    """

    def __init__(self, executor: ThreadPoolExecutor, items: Iterable[Item], count: int):
        """The arguments are those of ``prefetch``."""
        self._executor = executor
        self._iterator, self._end = _iterate(items), object()
        self.ahead: deque[Future[Any]] = deque(self._read() for _ in range(count))

    def _read(self) -> "Future[Any]":
        return self._executor.submit(next, self._iterator, self._end)

    def __next__(self) -> Item:
        # At the end, and after an error, it stays where it is.
        item = self.ahead[0].result()
        if item is self._end:
            raise StopIteration
        self.ahead.popleft()
        self.ahead.append(self._read())
        return item


def _iterate(items: Iterable[Item]) -> Iterator[Item]:
    """The items. What ``iter`` raises comes with the first of them."""
    yield from items


@contextmanager
def prefetch(items: Iterable[Item], count: int) -> Iterator[Prefetched[Item]]:
    """Iterate over ``items`` in a background thread, at most ``count`` items ahead.

    An exception is raised where its item would have come. The thread ends with the context, even
    if not all items were read.
    """
    executor = ThreadPoolExecutor(max_workers=1)
    try:
        yield Prefetched(executor, items, count)
    finally:
        executor.shutdown(cancel_futures=True)
