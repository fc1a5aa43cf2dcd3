"""The categories of a COCO file."""

import logging
import reprlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DetectionsError
from ..ytvis.categories import COCO
from ..ytvis.checks import is_id
from .conversion import MAX_CATEGORIES

OBJECT = "object"
"""The name of the category of detections without one."""
Key = tuple[int | None, str | None]


class CategoryNames:
    """Collects the categories of the entries of a COCO file and finds their names: given ones,
    those of the file (``categories``, or ``category_name`` of an entry), or COCO's."""

    def __init__(self, path: str | Path, categories: Any, class_names: list[str] | None):
        """
        Args:
            path: the file, for messages.
            categories: the list ``categories`` of an annotation file, or None.
            class_names: see ``CocoDetections``.

        Raises:
            DetectionsError: if a category is wrong.
        """
        self._path = path
        self._class_names = class_names
        self._of_file: dict[int, str] = {}
        if categories is not None and not isinstance(categories, list):
            raise DetectionsError(f"{path}: 'categories' must be a list")
        for i, category in enumerate(categories or []):
            category = category if isinstance(category, dict) else {}
            if not is_id(category.get("id")) or not isinstance(category.get("name"), str):
                text = f"entry {i} of 'categories' needs an 'id' and a 'name'"
                raise DetectionsError(f"{path}: {text}")
            self._of_file[category["id"]] = category["name"]
        self._keys: dict[Key, int] = {}

    def add(self, entry: dict[str, Any]) -> int:
        """A number for the category of the next entry. Equal categories have equal numbers.

        Raises:
            ValueError: if it is wrong.
        """
        category_id, name = entry.get("category_id"), entry.get("category_name")
        if category_id is not None and not is_id(category_id):
            raise ValueError(f"'category_id' must be from 0, not {reprlib.repr(category_id)}")
        if name is not None and not isinstance(name, str):
            raise ValueError(f"'category_name' must be a string, not {reprlib.repr(name)}")
        if category_id is not None and self._of_file and category_id not in self._of_file:
            raise ValueError(f"'category_id' {category_id} is not in 'categories'")
        return self._keys.setdefault((category_id, name), len(self._keys))

    def finish(self) -> tuple[list[str], list[int], np.ndarray]:
        """The names and ids of the K categories, sorted by id, and the category index for each
        number from ``add``. Categories that the user or the file names are included, whether or not
        an entry has them.

        Raises:
            DetectionsError: if the user names fewer categories than there are, or there are more
                than can be linked.
        """
        ids = {category_id for category_id, _ in self._keys if category_id is not None}
        known = self._of_file
        if self._class_names is not None:
            known = dict(enumerate(self._class_names, start=int(0 not in ids)))
            if ids - known.keys():
                raise DetectionsError(
                    f"{self._path}: there are {len(known)} class names, but a 'category_id' "
                    f"{max(ids)}"
                )
        coco = COCO if ids <= COCO.keys() else {}
        if coco and any(i is not None and not (n or i in known) for i, n in self._keys):
            logging.getLogger(__name__).warning(
                "%s: the ids of categories without names are taken as those of COCO", self._path
            )
        named: list[tuple[int | None, str]] = []
        for category_id, name in self._keys:
            if category_id is None:
                named.append((None, name or OBJECT))
            else:
                default = coco.get(category_id, f"category {category_id}")
                named.append((category_id, known.get(category_id) or name or default))
        distinct = sorted({*named, *known.items()}, key=lambda x: (x[0] is None, x[0] or 0, x[1]))
        if len(distinct) > MAX_CATEGORIES:
            raise DetectionsError(f"{self._path} has more than {MAX_CATEGORIES} categories")
        position = {x: i for i, x in enumerate(distinct)}
        order = np.array([position[x] for x in named], np.int64)
        names = [name for _, name in distinct]
        ids |= known.keys()
        if len(ids) == len(distinct):
            return names, sorted(ids), order
        # Some have no id, or an id has several names.
        return names, list(range(1, len(names) + 1)), order
