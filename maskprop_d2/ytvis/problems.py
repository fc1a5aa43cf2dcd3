"""Kinds of problems in annotation and results files, and counting them."""

from collections import Counter, defaultdict
from enum import Enum

EXAMPLES = 3
EXAMPLE_LENGTH = 200
FEW_PIXELS = 10  # An object with fewer pixels in a frame is likely an annotation error.


class ProblemKind(Enum):
    """A kind of problem.

    Attributes:
        text: what is wrong, in the plural.
        fatal: whether the file cannot be used because of it.
    """

    def __init__(self, text: str, fatal: bool):
        self.text = text
        self.fatal = fatal


class Problem(ProblemKind):
    """What can be wrong with a dataset. With the problems that are not fatal, training and
    evaluation go on, but learn or count something else than intended."""

    NO_LIST = "lists that are missing", True
    BAD_CATEGORY = "categories without a valid 'id' or 'name'", True
    NAME_TWICE = "categories with the same name as another one", True
    BAD_VIDEO = "videos without a valid 'id', 'height', 'width' or 'file_names'", True
    BAD_TRACK = "annotations without a valid 'id' or 'segmentations'", True
    ID_TWICE = "ids that are used twice", True
    UNKNOWN_VIDEO = "annotations of an unknown video", True
    UNKNOWN_CATEGORY = "annotations of an unknown category", True
    TRACK_LENGTH = "annotations with more or fewer masks than their video has frames", True
    MASK_SIZE = "masks of another size than their frame", True
    BAD_MASK = "masks that cannot be decoded", True
    BAD_AREAS = "'areas' that are not numbers of pixels", True
    BAD_CROWD = "'iscrowd' that is neither 0 nor 1", True
    OUTSIDE_ROOT = "file names that point outside the image folder", True
    MISSING_FRAME = "frames that are missing", True
    BAD_FRAME = "frames that are not images", True
    FRAME_SIZE = "frames of another size than the annotation file says", True
    NO_TRACK = "videos without an annotation", False
    NO_ANNOTATION = "no annotations: nothing to train on or to score against", False
    UNUSED_CATEGORY = "categories that are never used", False
    VIDEO_LENGTH = "videos whose 'length' is not their number of frames", False
    FRAME_TWICE = "frames that are listed twice", False
    FRAME_ORDER = "videos whose frames are not listed in the order of their names", False
    EMPTY_TRACK = "annotations without a mask in any frame", False
    EMPTY_MASK = "masks without a pixel, where the entry should be null", False
    MASK_OUTSIDE = "polygons that reach outside their frame", False
    FEW_PIXELS = f"masks of fewer than {FEW_PIXELS} pixels", False
    WRONG_AREA = "'areas' that differ from those of the masks", False
    WRONG_BOX = "'bboxes' that differ from those of the masks (x, y, width, height)", False


class EntryProblem(ProblemKind):
    """What can be wrong with an entry of a results file. It is malformed (fatal), or it does not
    match the ground truth and can be dropped."""

    BAD_TYPE = "of a wrong type", True
    BAD_ID = "with a bad 'video_id' or 'category_id'", True
    BAD_SCORE = "with a bad 'score'", True
    BAD_TRACK = "with bad 'segmentations'", True
    BAD_MASK = "with a bad mask", True
    UNKNOWN_VIDEO = "with an unknown video", False
    UNKNOWN_CATEGORY = "with an unknown category", False
    TRACK_LENGTH = "with another length than the video's", False
    MASK_SIZE = "with a mask of another size than the frame's", False
    MASK_FORMAT = "with a mask that is not a compressed RLE or null", False


class ProblemReport:
    """Counts problems by kind.

    Attributes:
        counts: number of problems of each kind.
        examples: where they are, for the first few of each kind.
    """

    def __init__(self) -> None:
        self.counts: Counter[ProblemKind] = Counter()
        self.examples: defaultdict[ProblemKind, list[str]] = defaultdict(list)

    def add(self, problem: ProblemKind, where: str) -> None:
        """Count a problem."""
        self.counts[problem] += 1
        if len(self.examples[problem]) < EXAMPLES:
            self.examples[problem].append(where[:EXAMPLE_LENGTH])

    @property
    def fatal(self) -> bool:
        """Whether any problem is fatal."""
        return any(problem.fatal for problem in self.counts)

    def ranked(self) -> list[tuple[ProblemKind, int]]:
        """The counts, fatal problems first, then by falling count."""
        return sorted(self.counts.items(), key=lambda x: (not x[0].fatal, -x[1]))
