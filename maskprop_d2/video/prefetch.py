"""Reading ahead in a background thread."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")


@contextmanager
def prefetch(items: Iterable[Item], count: int) -> Iterator[Iterator[Item]]:
    """Iterate over ``items`` in a background thread, at most ``count`` items ahead.

    An exception is raised where its item would have come. The thread ends with the context, even
    if not all items were read.
    """
    iterator, end = iter(items), object()
    executor = ThreadPoolExecutor(max_workers=1)
    ahead = deque(executor.submit(next, iterator, end) for _ in range(count))

    def consume() -> Iterator[Any]:
        while (item := ahead.popleft().result()) is not end:
            ahead.append(executor.submit(next, iterator, end))
            yield item

    try:
        yield consume()
    finally:
        executor.shutdown(cancel_futures=True)
