"""MaskTrack R-CNN embeds and links as mmtracking does.

``tools/convert_check/track.py`` recorded random sequences with mmtracking's code.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from maskprop_d2.networks.embedding import EmbeddingHead
from maskprop_d2.structures import Frame, FrameOutput
from maskprop_d2.tracking import build_tracker

SEQUENCES = 3


@pytest.fixture(scope="module")
def recorded():
    with np.load(Path(__file__).with_name("masktrack.npz")) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def sequence(recorded, number):
    """The frames of a sequence, as dicts."""
    counts = recorded["counts"]
    columns = {"boxes": (4,), "scores": (), "labels": (), "embeddings": (8,), "ids": ()}
    parts = {
        name: recorded[name].view(-1, *shape).split(counts[:, 0].tolist())
        for name, shape in columns.items()
    }
    tables = recorded["table"].split(counts.prod(1).tolist())
    parts["table"] = [x.view(*size) for x, size in zip(tables, counts.tolist(), strict=True)]
    frames = [dict(zip(parts, x, strict=True)) for x in zip(*parts.values(), strict=True)]
    start = int(recorded["lengths"][:number].sum())
    return frames[start : start + int(recorded["lengths"][number])]


def expected_ids(ids):
    """mmtracking's ids; None for what it drops. It has a bug here: a detection keeps its id if a
    better one for the same object comes later. It should be dropped too."""
    return [None if x == -1 or x in ids[i + 1 :] else x for i, x in enumerate(ids)]


@pytest.mark.parametrize("number", range(SEQUENCES))
def test_scores_and_ids_are_equal(recorded, number):
    tracker = build_tracker("masktrack", None, variant="mmtracking")
    gaps, dropped = set(), 0
    for t, x in enumerate(sequence(recorded, number)):
        masks = torch.zeros(len(x["boxes"]), 1, 1)
        class_scores = torch.eye(5)[x["labels"]]
        output = FrameOutput(x["boxes"], x["scores"], class_scores, masks, masks, torch.zeros(4))
        output.embeddings = x["embeddings"]
        if x["table"].numel():
            gaps |= {t - known.last_seen for known in tracker.objects.values()}
            scores, new_scores = tracker.scores(output)
            table = torch.cat([new_scores[:, None], scores], 1)
            torch.testing.assert_close(table, x["table"], atol=1e-5, rtol=1e-6)
        expected = expected_ids(x["ids"].tolist())
        assert list(tracker.link(Frame(t, None, output))) == expected, t
        dropped += expected.count(None)
    assert dropped > 10 and max(gaps) > 10


def test_embeddings_are_equal(recorded):
    names = [f"p{i}" for i in range(2, 6)]
    expected = recorded["head_embeddings"]
    head = EmbeddingHead(
        levels=names,
        stride=4,
        in_channels=1,
        resolution=7,
        fc_dim=expected.shape[1],
        variant="mmtracking",
    )
    for i, layer in enumerate((head.layers[1], head.layers[3])):
        layer.load_state_dict({k: recorded[f"head_{k}_{i}"] for k in ("weight", "bias")})
    with torch.no_grad():
        (found,) = head({name: recorded[name] for name in names}, [recorded["head_boxes"]])
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
