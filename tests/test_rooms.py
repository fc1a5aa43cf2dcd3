"""The rooms below the line of docs/architecture.md can be used without Detectron2, and so can what
finds, checks and converts data sets."""

import os
import subprocess
import sys
from pathlib import Path

IMPORT_ALL = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "detectron2":
            raise ImportError(f"detectron2 was imported")

sys.meta_path.insert(0, Refuse())
import maskprop_d2
rooms = ["errors", "files", "structures", "embedding", "propagation", "refinement"]
rooms += ["crop_classifier", "stsn", "ops", "tracking", "evaluation", "inference"]
for room in rooms:
    module = importlib.import_module(f"maskprop_d2.{room}")
    for info in pkgutil.iter_modules(getattr(module, "__path__", [])):
        importlib.import_module(f"maskprop_d2.{room}.{info.name}")
import maskprop_d2.data.validate
import maskprop_d2.commands.main, maskprop_d2.commands.demo, maskprop_d2.commands.visualize
import convert_coco, convert_davis, convert_mots, convert_openimages, split_ytvis
"""


def test_rooms_without_detectron2_import_nothing_of_it():
    converters = str(Path(__file__).parents[1] / "datasets")
    environment = {**os.environ, "PYTHONPATH": converters}
    subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True, env=environment)
