"""Imports run downwards only, and nothing below the line of ``LAYERS`` imports Detectron2."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "maskprop_d2"
WITH_DETECTRON2 = ["commands", "archive", "model_zoo", "engine", "modeling", "data"]
WITHOUT_DETECTRON2 = [
    *("inference", "evaluation", "tracking", "networks"),
    *("mmdetection", "detections", "annotation_tools", "ytvis", "video", "ops"),
]
LAYERS = [*WITH_DETECTRON2, *WITHOUT_DETECTRON2]
"""The packages, from the top down. Modules of the package's root may be imported anywhere."""

IMPORT_ALL = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "detectron2":
            raise ModuleNotFoundError("detectron2 was imported", name="detectron2")

sys.meta_path.insert(0, Refuse())
modules, commands = (x.split() for x in sys.argv[1:])
for name in modules:
    module = importlib.import_module(name)
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        # It needs a new Triton.
        if info.name != "deform_triton":
            importlib.import_module(f"{name}.{info.name}")
from maskprop_d2.commands.main import main
for name in commands:
    try:
        main([name, "--help"])
    except SystemExit as end:
        assert end.code == 0, name
"""


def imported_layers(path: Path) -> set[str]:
    """The packages of ``maskprop_d2`` that a file imports from."""
    package = path.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            modules = [(*base, *(node.module.split(".") if node.module else ()))]
            modules += [(*modules[0], alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found |= {m[1] for m in modules if m[0] == "maskprop_d2" and len(m) > 1}
    return found & set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_downwards(layer):
    above = LAYERS[: LAYERS.index(layer)]
    for path in (PACKAGE / layer).rglob("*.py"):
        if path.name == "__main__.py":
            # It starts a command, and nothing imports it.
            continue
        upwards = imported_layers(path).intersection(above)
        assert not upwards, f"{path} imports from {upwards}"


def test_every_package_is_in_a_layer():
    assert {x.parent.name for x in PACKAGE.glob("*/__init__.py")} == set(LAYERS)


def test_packages_below_the_line_and_most_commands_work_without_detectron2():
    names = [f"maskprop_d2.{x}" for x in WITHOUT_DETECTRON2]
    names += ["maskprop_d2.errors", "maskprop_d2.files", "maskprop_d2.structures"]
    # These load Detectron2 when they need it.
    names += ["maskprop_d2.model_zoo", "maskprop_d2.archive"]
    # These commands run without Detectron2 too.
    commands = "models track demo link run propagate evaluate compare"
    commands += " diagnose visualize validate annotations export"
    names += ["split_ytvis", "cut_tiles"]
    names += [path.stem for path in sorted((ROOT / "datasets").glob("convert_*.py"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "datasets")}
    command = [sys.executable, "-c", IMPORT_ALL, " ".join(names), commands]
    subprocess.run(command, check=True, env=environment)
