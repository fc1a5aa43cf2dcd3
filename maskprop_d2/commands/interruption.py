"""Stopping a loop on Ctrl-C without losing work."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, TypeVar

Item = TypeVar("Item")
END: Any = object()


class Interruption:
    """Turns Ctrl-C (SIGINT) and SIGTERM into the end of a loop. A context manager, for the main
    thread only.

    >>> with Interruption() as interruption:
    ...     for result in interruption.until_signal(stream):
    ...         write(result)
    ...     close_files()

    Signals only interrupt the wait for the next item; the rest of the block always completes.

    Attributes:
        signal: the number of the signal received, or None.
    """

    SIGNALS = signal.SIGINT, signal.SIGTERM

    def __init__(self) -> None:
        self.signal: int | None = None
        self._is_waiting = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        self._handlers = {x: signal.signal(x, self._handle) for x in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if self._is_waiting:
            self._is_waiting = False
            raise KeyboardInterrupt

    def until_signal(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items up to the first signal."""
        iterator = iter(items)
        try:
            while True:
                self._is_waiting = True
                # The signal may have come while the caller processed the previous item.
                if self.signal is not None:
                    return
                item = next(iterator, END)
                self._is_waiting = False
                if item is END:
                    return
                yield item
        except KeyboardInterrupt:
            return
        finally:
            self._is_waiting = False
