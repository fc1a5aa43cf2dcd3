"""Reading videos from folders of frames and folders of id masks, whose pixel values are objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from maskprop_d2.errors import AnnotationError
from maskprop_d2.ops.rle import encode
from maskprop_d2.video.frame_files import IMAGE_SUFFIXES, natural_sort
from maskprop_d2.video.id_masks import ID_MODES, read_id_mask
from maskprop_d2.video.images import image_size, load_image
from maskprop_d2.ytvis.writing import track_fields

GetCategory = Callable[[str, int], int | None]
"""From a video's name and a pixel value to the object's category id, None for no object."""


def read_binary_mask(path: Path) -> np.ndarray:
    """(H, W) uint8: 1 where an image is not black, else 0.

    Raises:
        VideoError: if it is not an image.
    """
    image = load_image(path)
    values = np.asarray(image if image.mode in ID_MODES else image.convert("RGB"))
    return (values.any(axis=2) if values.ndim == 3 else values != 0).astype(np.uint8)


def convert_videos(
    frames: Path,
    masks: Path,
    get_category: GetCategory,
    names: list[str] | None = None,
    read: Callable[[Path], np.ndarray] = read_id_mask,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read ``<frames>/<video>/<frame>.jpg`` and ``<masks>/<video>/<frame>.png``.

    Frames without a mask file are not annotated and are skipped.

    Args:
        frames: folder with a folder of images for each video.
        masks: folder with a folder of masks for each video.
        get_category: tells objects from background.
        names: the videos to convert, None for all in ``masks``.
        read: reads the object ids of a mask file.

    Returns:
        ``videos`` and ``tracks`` for ``write_annotations``.

    Raises:
        AnnotationError: if files are missing or do not match.
    """
    names = names or natural_sort(x.name for x in _entries(masks) if x.is_dir())
    if not names:
        raise AnnotationError(f"{masks} must hold a folder of masks for each video")
    videos, tracks = [], []
    for video_id, name in enumerate(tqdm(names, unit="video", disable=None), start=1):
        video, rles = _convert_video(frames, masks, name, get_category, read)
        videos.append(video)
        for (_, category_id), track in sorted(rles.items()):
            ids = {"video_id": video_id, "category_id": category_id}
            tracks.append({**ids, **track_fields(track)})
    return videos, tracks


def _convert_video(
    frames: Path,
    masks: Path,
    name: str,
    get_category: GetCategory,
    read: Callable[[Path], np.ndarray],
) -> tuple[dict[str, Any], dict[tuple[int, int], list[Any]]]:
    """A video's entry, and its tracks' RLEs by (pixel value, category id)."""
    pairs = _pair_files(frames / name, masks / name)
    size = image_size(pairs[0][0])
    rles: dict[tuple[int, int], list[Any]] = {}
    for t, (frame, mask) in enumerate(pairs):
        ids = read(mask)
        for path, (height, width) in ((frame, image_size(frame)), (mask, ids.shape)):
            if (height, width) != size:
                raise AnnotationError(
                    f"{path} has {width} x {height} pixels, but the first frame of its video has "
                    f"{size[1]} x {size[0]}"
                )
        for value in map(int, np.unique(ids)):
            try:
                category_id = get_category(name, value)
            except AnnotationError as error:
                raise AnnotationError(f"{mask}: {error}") from error
            if category_id is not None:
                track = rles.setdefault((value, category_id), [None] * len(pairs))
                track[t] = encode(ids == value)
    file_names = [f"{name}/{frame.name}" for frame, _ in pairs]
    return {"height": size[0], "width": size[1], "file_names": file_names}, rles


def _pair_files(frames: Path, masks: Path) -> list[tuple[Path, Path]]:
    """The frames that have a mask of the same name but for the suffix, and the masks, in order."""
    mask_files = {x.stem: x for x in _entries(masks) if x.suffix.lower() == ".png"}
    if not mask_files:
        raise AnnotationError(
            f"{masks} holds no .png: if it is a folder of videos, pass it instead of {masks.parent}"
        )
    frame_files = {x.stem: x for x in _entries(frames) if x.suffix.lower() in IMAGE_SUFFIXES}
    unpaired = sorted(mask_files.keys() - frame_files.keys())
    if unpaired:
        mask = mask_files[unpaired[0]]
        raise AnnotationError(
            f"{len(unpaired)} masks have no frame: {mask} needs {frames}/{mask.stem}.jpg"
        )
    return [(frame_files[stem], mask_files[stem]) for stem in natural_sort(mask_files)]


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: there is no such folder")
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
