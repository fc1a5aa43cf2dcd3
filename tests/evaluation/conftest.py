import pytest
from small_ytvis import make_ground_truth


@pytest.fixture
def ground_truth():
    return make_ground_truth()
