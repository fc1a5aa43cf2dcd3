"""What can be wrong with a data set, and a report of what is."""

from collections import Counter, defaultdict
from enum import Enum

EXAMPLES = 3
EXAMPLE_LENGTH = 200
# An object with fewer pixels than this in a frame is likely a slip of the annotator.
FEW_PIXELS = 10


class Problem(Enum):
    """A kind of problem: its name, and whether it is fatal. Training or evaluation stops on fatal
    ones, or reads what was not meant; with the others it goes on, but learns or counts wrongly."""

    NO_LIST = "parts of the file are missing or not lists", True
    BAD_CATEGORY = "categories without a whole number as 'id' or a 'name'", True
    NAME_TWICE = "categories with the name of another one", True
    BAD_VIDEO = (
        "videos without a whole number as 'id', 'height', 'width', or without frames",
        True,
    )
    BAD_TRACK = (
        "annotations without a whole number as 'id', or without a list of masks",
        True,
    )
    ID_TWICE = "ids that are used twice", True
    UNKNOWN_VIDEO = "annotations of a video that is not listed", True
    UNKNOWN_CATEGORY = "annotations of a category that is not listed", True
    TRACK_LENGTH = "annotations with more or fewer masks than their video has frames", True
    MASK_SIZE = "masks of another size than their frame", True
    BAD_MASK = "masks that cannot be decoded", True
    BAD_AREAS = "'areas' that are not numbers of pixels", True
    BAD_CROWD = "'iscrowd' that is neither 0 nor 1", True
    OUTSIDE_ROOT = "file names that lead out of the folder of frames", True
    MISSING_FRAME = "frames that are missing", True
    BAD_FRAME = "frames that are not images", True
    FRAME_SIZE = "frames of another size than the file says", True
    NO_TRACK = "videos without an annotation", False
    NO_ANNOTATION = "no annotations: there is nothing to train on or score against", False
    UNUSED_CATEGORY = "categories that are never used", False
    VIDEO_LENGTH = "videos whose 'length' is not their number of frames", False
    FRAME_TWICE = "frames that are listed twice", False
    FRAME_ORDER = "videos whose frames are not listed in the order of their names", False
    EMPTY_TRACK = "annotations that are seen in no frame", False
    EMPTY_MASK = "masks without a pixel, where null should say that the object is not seen", False
    MASK_OUTSIDE = "polygons that reach out of their frame", False
    FEW_PIXELS = f"objects of fewer than {FEW_PIXELS} pixels in a frame", False
    WRONG_AREA = "'areas' that are not those of the masks", False
    WRONG_BOX = "'bboxes' that are not those of the masks (x, y, width, height)", False

    def __init__(self, text: str, fatal: bool):
        self.text = text
        self.fatal = fatal


class Report:
    """Problems by kind.

    Attributes:
        counts: how often each was found.
        examples: where, the first few times.
    """

    def __init__(self) -> None:
        self.counts: Counter[Problem] = Counter()
        self.examples: defaultdict[Problem, list[str]] = defaultdict(list)

    def add(self, problem: Problem, where: str) -> None:
        """Note a problem."""
        self.counts[problem] += 1
        if len(self.examples[problem]) < EXAMPLES:
            self.examples[problem].append(where[:EXAMPLE_LENGTH])

    @property
    def fatal(self) -> bool:
        """Whether there is a fatal one."""
        return any(problem.fatal for problem in self.counts)
