"""Going on in spite of frames that cannot be read."""

import logging
import multiprocessing
from collections.abc import Callable
from typing import Any

from ..errors import InputError, VideoError


class SkipBadFrames:
    """A mapper that gives None for samples with a frame that cannot be read, until there are too
    many of them.

    Attributes:
        left_out: how many samples, counted over the processes that read for one training process.
    """

    def __init__(self, mapper: Callable[[Any], Any], share: float, num_frames: int):
        """
        Args:
            mapper: of training samples.
            share: so many of the data set's frames may be unreadable, of those that one process
                reads (``DATALOADER.MAX_BAD_FRAMES``).
            num_frames: how many frames the data set has.

        Raises:
            InputError: if ``share`` is not in [0, 1).
        """
        if not 0 <= share < 1:
            raise InputError(
                f"DATALOADER.MAX_BAD_FRAMES must be a share from 0 to below 1, not {share}"
            )
        self.mapper = mapper
        self.share = share
        self.most = int(share * num_frames)
        self.left_out = multiprocessing.Value("q", 0)
        self._bad: set[str] = set()

    def __call__(self, sample: Any) -> Any:
        """The mapped sample.

        Raises:
            VideoError: if one frame too many cannot be read.
        """
        try:
            return self.mapper(sample)
        except VideoError as error:
            message = str(error)
        with self.left_out.get_lock():
            self.left_out.value += 1
        if message not in self._bad:
            self._bad.add(message)
            if len(self._bad) > self.most:
                raise VideoError(
                    f"{message}: it is number {len(self._bad)} of the frames that cannot be read, "
                    f"and DATALOADER.MAX_BAD_FRAMES {self.share:g} allows {self.most}. Look for "
                    "all of them with maskprop validate"
                )
            logging.getLogger(__name__).warning(
                "%s: left out (number %d, of %d that are allowed)",
                message,
                len(self._bad),
                self.most,
            )
        return None
