"""The error that commands report in one line."""


class InputError(ValueError):
    """What the user gave cannot be used; the message says what, where and why.

    Commands print the message and end with status 2.
    """


class VideoError(InputError):
    """A video, or a frame of it, that cannot be read; the message says which and why."""


class UntrainedError(InputError):
    """A tracking method needs what the network has not learnt; the message says how to get it."""
