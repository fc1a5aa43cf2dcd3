"""List the published models that `maskprop track` can use without training."""

import argparse

from ..model_zoo import PRESETS, Preset, default_preset, has_detectron2, local_path

HEADER = "model", "dataset", "categories", "mask AP", "video AP", "size", "license", "weights"


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Print the table."""
    argparse.ArgumentParser(prog=prog, description=__doc__).parse_args(argv)
    rows = [HEADER, *map(_row, PRESETS.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    print("\nAs published: mask AP on COCO val2017, video AP on the validation set of the dataset.")
    print(f"Default on this machine: {default_preset().name}")


def _row(preset: Preset) -> tuple[str, ...]:
    return (
        preset.name,
        preset.dataset,
        str(preset.num_categories),
        *("-" if ap is None else f"{ap:.1f}" for ap in (preset.mask_ap, preset.video_ap)),
        f"{preset.megabytes} MB",
        preset.license,
        _state(preset),
    )


def _state(preset: Preset) -> str:
    """Whether a preset can run on this machine."""
    if preset.kind in ("detectron2", "mmdetection") and not has_detectron2():
        return "need Detectron2, which is not installed"
    if local_path(preset).is_file():
        return "on this machine"
    return "missing" if preset.kind == "exported" else "fetched on first use"
