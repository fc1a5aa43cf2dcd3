import av
import pytest


@pytest.fixture(autouse=True)
def no_messages_of_libav():
    """Old versions of torchvision switch them on when they are imported."""
    level = av.logging.get_level()
    av.logging.set_level(None)
    yield
    av.logging.set_level(level)
