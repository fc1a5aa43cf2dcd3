"""Random objects and predictions."""

from small_ytvis import HEIGHT, WIDTH, box_mask


def random_case(rng):
    """Boxes in few places, so that many overlap, with equal IoUs, duplicates and empty masks."""
    lengths = rng.integers(1, 9, rng.integers(1, 4)).tolist()
    places = [tuple(x) for x in rng.integers(0, 8, (4, 2)).tolist()]

    def some_track(**more):
        video = int(rng.integers(len(lengths)))
        masks, (x, y) = [], places[rng.integers(4)]
        for _ in range(lengths[video]):
            if rng.random() < 0.2:
                x, y = places[rng.integers(4)]
            width, height = rng.integers(5, 9, 2).tolist()
            kind = rng.random()
            if kind < 0.15:
                masks.append(None)
            else:
                masks.append(box_mask(x, y, x + width * (kind > 0.17), y + height))
        areas = [m and 1 for m in masks]
        entry = {"video_id": video + 1, "category_id": int(rng.integers(1, 4))}
        return {**entry, "segmentations": masks, "areas": areas, **more}

    objects = [
        some_track(id=i + 1, iscrowd=int(rng.random() < 0.1)) for i in range(rng.integers(6))
    ]
    results = [some_track(score=rng.integers(5) / 4) for _ in range(rng.integers(12))]
    results += [{**results[0], "score": 0.5} for _ in range(2) if results]
    copies = [x for x in objects if rng.random() < 0.5]
    keys = ("video_id", "category_id", "segmentations")
    results += [{**{k: x[k] for k in keys}, "score": 0.3} for x in copies]
    for x in results:
        x.pop("areas", None)
    truth = {
        "videos": [
            {"id": i, "height": HEIGHT, "width": WIDTH, "file_names": ["x"] * n}
            for i, n in enumerate(lengths, 1)
        ],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(1, 5)],
        "annotations": objects,
    }
    return truth, results
