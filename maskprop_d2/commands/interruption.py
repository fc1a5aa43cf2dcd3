"""Ending early, and in order."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, TypeVar

Item = TypeVar("Item")


class Interruption:
    """Ctrl-C (SIGINT) and a polite kill (SIGTERM) as the end of a loop; a context manager for the
    main thread.

    >>> with Interruption() as interruption:
    ...     for result in interruption.ends(stream):
    ...         ...
    ...     # Still in here: files are finished.

    Within it, signals cut short nothing but the waiting for the next item.

    Attributes:
        signal: the number of the signal that came; None as long as there was none.
    """

    SIGNALS = signal.SIGINT, signal.SIGTERM

    def __init__(self) -> None:
        self.signal: int | None = None
        self._is_waiting = False
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        self._handlers = {x: signal.signal(x, self._note) for x in self.SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if self._is_waiting:
            self._is_waiting = False
            raise KeyboardInterrupt

    def ends(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items up to the first signal."""
        iterator = iter(items)
        try:
            while True:
                self._is_waiting = True
                # It may have come while the caller was busy with the last item.
                if self.signal is not None:
                    return
                try:
                    item = next(iterator)
                except StopIteration:
                    return
                finally:
                    self._is_waiting = False
                yield item
        except KeyboardInterrupt:
            return
        finally:
            self._is_waiting = False
