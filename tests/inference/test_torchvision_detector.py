"""Torchvision's Mask R-CNN as a detector."""

import numpy as np
import pytest
import torch
from torchvision.models import detection

from maskprop_d2.errors import InputError, WeightsFileError
from maskprop_d2.inference.torchvision_detector import (
    BUILDERS,
    TorchvisionDetector,
)
from maskprop_d2.ytvis.categories import COCO

NAMES = list(COCO.values())
# Small, so that there are few proposals.
SIDE = 16
OPTIONS = {"score_threshold": 0.01, "short_side": SIDE, "device": "cpu"}
V1, V2 = "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"
WEIGHTS = {
    V1: detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
    V2: detection.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
}


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    """A cache of torch with random weights under the names of the published ones."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    for name, builder in BUILDERS.items():
        torch.save(builder().state_dict(), folder / WEIGHTS[name].url.split("/")[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def v1_file(torch_home):
    return torch_home / "hub/checkpoints/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"


@pytest.fixture(scope="module")
def v1_found(v1_file):
    """The detections of v1 in ``frames()``."""
    (found,) = TorchvisionDetector(V1, v1_file, **OPTIONS).detect(frames())
    return found


def frames():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (1, 3, 40, 60), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", [V1, V2])
def test_detections_are_those_of_torchvision(name, torch_home):
    # Torchvision loads the file without comparing its checksum.
    size = {"min_size": SIDE, "max_size": SIDE * 1333 // 800}
    reference = getattr(detection, name)(weights=WEIGHTS[name], box_score_thresh=0.01, **size)
    path = torch_home / "hub/checkpoints" / WEIGHTS[name].url.split("/")[-1]
    detector = TorchvisionDetector(name, path, **OPTIONS)
    with torch.inference_mode():
        expected = reference.eval()(list(frames() / 255))
    names = WEIGHTS[name].meta["categories"]
    (found,), (x,) = detector.detect(frames()), expected
    masks = (x["masks"][:, 0] > 0.5).numpy()
    # Empty masks are dropped too.
    used = [names[i] != "N/A" for i in x["labels"].tolist()] & masks.any((1, 2))
    assert len(found) > 10 and found.masks.dtype == bool and found.labels.dtype == np.int64
    # The norms of v1 are computed in another order.
    np.testing.assert_allclose(found.scores, x["scores"][used], atol=1e-5)
    assert [NAMES[i] for i in found.labels] == [names[i] for i in x["labels"][used]]
    assert (found.masks == masks[used]).mean() > 0.999


def test_frames_in_a_batch_are_as_if_alone(v1_file, v1_found):
    """Those that have one size after resizing are a batch."""
    detector = TorchvisionDetector(V1, v1_file, **OPTIONS)
    (frame,) = frames()
    enlarged = frame.repeat_interleave(2, 1).repeat_interleave(2, 2)
    mixed = [frame[:, :24], frame, enlarged]
    batches = []
    detector._model.backbone.register_forward_pre_hook(lambda _, x: batches.append(len(x[0])))
    together = detector.detect(mixed)
    assert batches == [1, 2]
    # Of a model that has seen no other frame.
    np.testing.assert_allclose(together[1].scores, v1_found.scores, atol=1e-5)
    for image, found in zip(mixed[::2], together[::2], strict=True):
        (expected,) = detector.detect([image])
        assert found.masks.shape[1:] == image.shape[1:]
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert (found.masks == expected.masks).mean() > 0.999


def test_categories_are_those_of_detectron2():
    pytest.importorskip("detectron2")
    from detectron2.data import MetadataCatalog

    assert MetadataCatalog.get("coco_2017_val").thing_classes == NAMES


def test_only_the_wanted_categories_are_detected(v1_file, v1_found):
    wanted = [NAMES[i].upper() for i in set(v1_found.labels.tolist())][:2]
    (found,) = TorchvisionDetector(V1, v1_file, categories=wanted, **OPTIONS).detect(frames())
    assert {NAMES[i].upper() for i in found.labels} == set(wanted)
    assert 0 < len(found) == len(found.masks) < len(v1_found)
    with pytest.raises(InputError, match=r"no category 'persn': choose from person"):
        TorchvisionDetector(V1, v1_file, categories=["persn"])


OLD_NAMES = {
    "fpn.inner_blocks.0.0.": "fpn.inner_blocks.0.",
    "rpn.head.conv.0.0.": "rpn.head.conv.",
    "mask_head.0.0.": "mask_head.mask_fcn1.",
}


def test_files_of_old_versions_are_loaded(v1_file, v1_found, tmp_path):
    """The published file of v1 is older than today's names and torch's zip archives."""
    weights = torch.load(v1_file)
    for new, old in OLD_NAMES.items():
        weights = {name.replace(new, old): value for name, value in weights.items()}
    path = tmp_path / "old.pth"
    torch.save({"model": weights}, path, _use_new_zipfile_serialization=False)
    (found,) = TorchvisionDetector(V1, path, **OPTIONS).detect(frames())
    np.testing.assert_array_equal(found.scores, v1_found.scores)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


def test_wrong_files_are_refused_in_one_line(v1_file, torch_home, tmp_path):
    path = tmp_path / "w.pth"
    weights = torch.load(v1_file)
    data = v1_file.read_bytes()
    cases = [
        (lambda: None, "there is no such file"),
        (lambda: path.write_bytes(data[: len(data) // 2]), "damaged"),
        (lambda: torch.save({"a": Bomb()}, path), "damaged, or holds more than weights$"),
        (lambda: path.write_text("no weights"), "damaged, or holds more than weights$"),
        (lambda: torch.save({}, path), r"lacks 307 weights of the model, such as backbone"),
        (lambda: torch.save({k: v[:1] for k, v in weights.items()}, path), "of another model"),
    ]
    for write, message in cases:
        write()
        with pytest.raises(WeightsFileError, match=message) as error:
            TorchvisionDetector(V1, path)
        assert "\n" not in str(error.value) and str(path) in str(error.value)
    v2_file = torch_home / "hub/checkpoints" / WEIGHTS[V2].url.split("/")[-1]
    with pytest.raises(WeightsFileError, match=str(v2_file)):
        TorchvisionDetector(V1, v2_file)
