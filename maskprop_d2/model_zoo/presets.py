"""The table of published models."""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from ..errors import ConfigError

PACKAGE = Path(__file__).parents[1]
CONFIGS = PACKAGE / "configs"
DETECTRON2_URL = "https://dl.fbaipublicfiles.com/detectron2"
OPENMMLAB_URL = "https://download.openmmlab.com"
TORCHVISION_URL = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class Preset:
    """A model with published weights.

    Attributes:
        name: its name on the command line.
        kind: "detectron2" or "torchvision", a detector whose masks are linked; "mmdetection", such
            a detector or MaskTrack R-CNN; or "exported", a MaskProp model in one file.
        url: address of the weights; the path of the file for an exported model.
        checksum: algorithm and first digits of the file's checksum, as ``md5:f10217``, which its
            publisher puts in its name; empty for a file of this repository.
        config_file: path in ``configs/``, of Detectron2's model zoo or else of this package; empty
            for torchvision.
        dataset: what it was trained on.
        num_categories: K.
        mask_ap: published mask AP on COCO val2017 in percent, or None.
        megabytes: size of the weights.
        license: license of the weights.
        video_ap: published AP on the validation set of ``dataset`` in percent, if it tracks.
    """

    name: str
    kind: str
    url: str
    megabytes: int
    license: str
    checksum: str = ""
    config_file: str = ""
    dataset: str = "COCO"
    num_categories: int = 80
    mask_ap: float | None = None
    video_ap: float | None = None


def _detectron2(config_file: str, weights: str, mask_ap: float, megabytes: int) -> Preset:
    """A model of Detectron2's MODEL_ZOO.md, which explains checksums and the license."""
    return Preset(
        name=Path(config_file).name,
        kind="detectron2",
        url=f"{DETECTRON2_URL}/{config_file}/{weights}",
        checksum=f"md5:{Path(weights).stem.removeprefix('model_final_')}",
        config_file=f"{config_file}.yaml",
        mask_ap=mask_ap,
        megabytes=megabytes,
        license="CC BY-SA 3.0",
    )


def _torchvision(name: str, weights: str, mask_ap: float, megabytes: int) -> Preset:
    """A model of torchvision, whose README says that the terms of the dataset may apply."""
    return Preset(
        name=name,
        kind="torchvision",
        url=f"{TORCHVISION_URL}/{weights}",
        checksum=f"sha256:{Path(weights).stem.rpartition('-')[2]}",
        mask_ap=mask_ap,
        megabytes=megabytes,
        license="not stated",
    )


def _htc(config: str, name: str, date_and_checksum: str, mask_ap: float, megabytes: int) -> Preset:
    """A Hybrid Task Cascade of mmdetection's ``configs/htc/metafile.yml``."""
    return Preset(
        name=config,
        kind="mmdetection",
        url=f"{OPENMMLAB_URL}/mmdetection/v2.0/htc/{name}/{name}_{date_and_checksum}.pth",
        checksum=f"sha256:{date_and_checksum.rpartition('-')[2]}",
        config_file=f"coco/{config}.yaml",
        mask_ap=mask_ap,
        megabytes=megabytes,
        license="Apache-2.0",
    )


def _masktrack(
    backbone: str, year: int, date_and_checksum: str, video_ap: float, megabytes: int
) -> Preset:
    """A MaskTrack R-CNN of mmtracking's ``configs/vis/masktrack_rcnn/metafile.yml``."""
    short = {"R_50": "r50", "R_101": "r101", "X_101_64x4d": "x101"}[backbone]
    name = f"masktrack_rcnn_{short}_fpn_12e_youtubevis{year}"
    return Preset(
        name=f"masktrack_rcnn_{backbone}_FPN_{year}",
        kind="mmdetection",
        url=f"{OPENMMLAB_URL}/mmtracking/vis/masktrack_rcnn/{name}/{name}_{date_and_checksum}.pth",
        checksum=f"sha256:{date_and_checksum.rpartition('-')[2]}",
        config_file=f"youtubevis_{year}/masktrack_rcnn_{backbone}_FPN.yaml",
        dataset=f"YouTube-VIS {year}",
        num_categories=40,
        megabytes=megabytes,
        license="Apache-2.0",
        video_ap=video_ap,
    )


_ALL = [
    _detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x",
        "137849600/model_final_f10217.pkl",
        37.2,
        178,
    ),
    _detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_R_101_FPN_3x",
        "138205316/model_final_a3ec72.pkl",
        38.6,
        254,
    ),
    _detectron2(
        "COCO-InstanceSegmentation/mask_rcnn_X_101_32x8d_FPN_3x",
        "139653917/model_final_2d9806.pkl",
        39.5,
        431,
    ),
    _detectron2(
        "Misc/cascade_mask_rcnn_R_50_FPN_3x",
        "144998488/model_final_480dd8.pkl",
        38.5,
        288,
    ),
    _torchvision("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", 34.6, 178),
    _torchvision(
        "maskrcnn_resnet50_fpn_v2", "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth", 41.8, 186
    ),
    _htc("htc_R_50_FPN", "htc_r50_fpn_20e_coco", "20200319-fe28c577", 38.3, 320),
    _htc("htc_R_101_FPN", "htc_r101_fpn_20e_coco", "20200317-9b41b48f", 39.6, 396),
    _htc("htc_X_101_32x4d_FPN", "htc_x101_32x4d_fpn_16x1_20e_coco", "20200318-de97ae01", 40.5, 395),
    _htc("htc_X_101_64x4d_FPN", "htc_x101_64x4d_fpn_16x1_20e_coco", "20200318-b181fd7a", 41.4, 553),
    _htc(
        "htc_X_101_64x4d_FPN_dcn",
        "htc_x101_64x4d_fpn_dconv_c3-c5_mstrain_400_1400_16x1_20e_coco",
        "20200312-946fd751",
        43.8,
        560,
    ),
    _masktrack("R_50", 2019, "20211022_194830-6ca6b91e", 30.2, 232),
    _masktrack("R_101", 2019, "20211023_150038-454dc48b", 32.2, 308),
    _masktrack("X_101_64x4d", 2019, "20211023_153205-fff7a102", 34.7, 465),
    _masktrack("R_50", 2021, "20211026_044948-10da90d9", 28.7, 232),
    _masktrack("R_101", 2021, "20211026_045509-3c49e4f3", 31.3, 308),
    _masktrack("X_101_64x4d", 2021, "20211026_095943-90831df4", 33.5, 465),
    Preset(
        name="maskprop_tiny",
        kind="exported",
        url=str(PACKAGE / "weights/maskprop_tiny.pt"),
        config_file="moving_shapes/maskprop_tiny.yaml",
        dataset="MovingShapes",
        num_categories=10,
        megabytes=7,
        license="Apache-2.0",
    ),
]
PRESETS = {preset.name: preset for preset in _ALL}
"""All presets by name."""


def find_preset(name: str) -> Preset | None:
    """The preset with a name, which may be that of its config file, with or without ``.yaml``."""
    stem = name.removesuffix(".yaml")
    for preset in PRESETS.values():
        if stem in (preset.name, preset.config_file.removesuffix(".yaml")):
            return preset
    return None


def get_preset(name: str) -> Preset:
    """Like ``find_preset``.

    Raises:
        ConfigError: if there is none.
    """
    if preset := find_preset(name):
        return preset
    similar = get_close_matches(name, PRESETS)
    hint = f"did you mean {' or '.join(similar)}?" if similar else "`maskprop models` lists them"
    raise ConfigError(f"there is no file or published model '{name}': {hint}")


def get_config_file(name: str) -> str:
    """The path of a config file, as ``detectron2.model_zoo.get_config_file``.

    Args:
        name: a preset, or a config of this package or a preset, such as
            ``youtubevis_2019/maskprop_R_50_FPN`` or
            ``COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml``.

    Raises:
        ConfigError: if there is none, or it is one of Detectron2's, which is not installed.
    """
    packaged = CONFIGS / f"{name.removesuffix('.yaml')}.yaml"
    if packaged.is_file():
        return str(packaged)
    preset = get_preset(name)
    if preset.kind == "torchvision":
        raise ConfigError(f"{preset.name} is a model of torchvision, which has no config file")
    if preset.kind in ("exported", "mmdetection"):
        return str(CONFIGS / preset.config_file)
    # Not with detectron2.model_zoo, which imports pkg_resources, no longer part of setuptools.
    try:
        spec = find_spec("detectron2.model_zoo")
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ConfigError(
            f"the config of {preset.name} comes with Detectron2, which is not installed: "
            "maskprop install-detectron2"
        )
    return str(Path(spec.origin).parent / "configs" / preset.config_file)


def get_checkpoint_url(name: str) -> str:
    """The address of trained weights, as ``detectron2.model_zoo.get_checkpoint_url``; the path of
    the file for a model of this repository.

    Args:
        name: a preset or its config.

    Raises:
        ConfigError: if no weights are published for it.
    """
    return get_preset(name).url
