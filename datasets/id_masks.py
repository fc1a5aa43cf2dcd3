"""Videos from folders of frames and folders of id masks: PNGs whose pixel values name objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from maskprop_d2.errors import AnnotationError
from maskprop_d2.ops.rle import encode
from maskprop_d2.video.frame_files import IMAGE_SUFFIXES, natural_sort
from maskprop_d2.video.images import image_size
from maskprop_d2.ytvis.writing import track_fields

# Pillow's modes of one channel, whose values are the ids: bits, palette, grey of 8 to 32 bits.
ID_MODES = {"1", "P", "L", "I", "I;16", "I;16B"}
# From a video's name and a pixel value to the object's category id, None for no object.
CategoryOf = Callable[[str, int], int | None]


def read_id_masks(path: Path) -> np.ndarray:
    """(H, W) whole numbers: the ids in a palette or grey PNG.

    Raises:
        AnnotationError: if it is not one.
    """
    with _open(path) as image:
        if image.mode not in ID_MODES:
            raise AnnotationError(
                f"{path} has colours ({image.mode}) instead of ids: it must be a palette or grey "
                f"PNG (black and white masks of one object: convert_davis.py --binary)"
            )
        return np.asarray(image)


def read_binary_mask(path: Path) -> np.ndarray:
    """(H, W), 1 where a mask is not black, else 0.

    Raises:
        AnnotationError: if it is not an image.
    """
    with _open(path) as image:
        values = np.asarray(image if image.mode in ID_MODES else image.convert("RGB"))
        return (values.any(axis=2) if values.ndim == 3 else values != 0).astype(np.uint8)


def convert_videos(
    frames: Path,
    masks: Path,
    category_of: CategoryOf,
    names: list[str] | None = None,
    read: Callable[[Path], np.ndarray] = read_id_masks,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read ``<frames>/<video>/<frame>.jpg`` and ``<masks>/<video>/<frame>.png``.

    Frames without a mask file are left out: nobody has said what is in them.

    Args:
        frames: the folder of videos, each a folder of images.
        masks: the folder of the same videos, each a folder of masks.
        category_of: tells objects from background.
        names: the videos to take, all of ``masks`` if None.
        read: from a mask file to the objects' ids.

    Returns:
        ``videos`` and ``tracks`` for ``write_annotations``.

    Raises:
        AnnotationError: if files are missing, or do not fit each other.
    """
    names = names or natural_sort(x.name for x in _entries(masks) if x.is_dir())
    if not names:
        raise AnnotationError(f"{masks} holds no folders: there must be one a video, of masks")
    videos, tracks = [], []
    for video_id, name in enumerate(tqdm(names, unit="video", disable=None), start=1):
        video, rles = _convert_video(frames, masks, name, category_of, read)
        videos.append(video)
        for (_, category_id), track in sorted(rles.items()):
            track_of_video = {"video_id": video_id, "category_id": category_id}
            tracks.append({**track_of_video, **track_fields(track)})
    return videos, tracks


def _convert_video(
    frames: Path,
    masks: Path,
    name: str,
    category_of: CategoryOf,
    read: Callable[[Path], np.ndarray],
) -> tuple[dict[str, Any], dict[tuple[int, int], list[Any]]]:
    """A video's entry, and its tracks' RLEs by (pixel value, category id)."""
    pairs = _pair_files(frames / name, masks / name)
    size = image_size(pairs[0][0])
    rles: dict[tuple[int, int], list[Any]] = {}
    for t, (frame, mask) in enumerate(pairs):
        ids = read(mask)
        for path, found in ((frame, image_size(frame)), (mask, ids.shape)):
            if found != size:
                raise AnnotationError(
                    f"{path} has {found[1]} x {found[0]} pixels, but the first frame of its video "
                    f"has {size[1]} x {size[0]}"
                )
        for value in map(int, np.unique(ids)):
            try:
                category_id = category_of(name, value)
            except AnnotationError as error:
                raise AnnotationError(f"{mask}: {error}") from error
            if category_id is not None:
                track = rles.setdefault((value, category_id), [None] * len(pairs))
                track[t] = encode(ids == value)
    file_names = [f"{name}/{frame.name}" for frame, _ in pairs]
    return {"height": size[0], "width": size[1], "file_names": file_names}, rles


def _pair_files(frames: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Frames and their masks, which have the same name but for the suffix, in order."""
    mask_of = {x.stem: x for x in _entries(masks) if x.suffix.lower() == ".png"}
    if not mask_of:
        raise AnnotationError(
            f"{masks} holds no .png: if it is a folder of videos, name it instead of {masks.parent}"
        )
    frame_of = {x.stem: x for x in _entries(frames) if x.suffix.lower() in IMAGE_SUFFIXES}
    alone = sorted(mask_of.keys() - frame_of.keys())
    if alone:
        raise AnnotationError(
            f"{len(alone)} masks have no frame: {mask_of[alone[0]]} needs {frames}/{alone[0]}.jpg"
        )
    return [(frame_of[stem], mask_of[stem]) for stem in natural_sort(mask_of)]


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: there is no such folder")
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _open(path: Path) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
        return image
    # On damaged files Pillow's decoders raise whatever they stumble over.
    except Exception as error:
        raise AnnotationError(f"{path} is not an image") from error
