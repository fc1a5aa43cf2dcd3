"""The YouTube-VIS file format: read, check and write."""

from .checks import check_ground_truth
from .reading import iterate_json, load_json

__all__ = ["check_ground_truth", "iterate_json", "load_json"]
