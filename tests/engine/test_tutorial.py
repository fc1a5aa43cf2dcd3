"""The notebook runs from top to bottom."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
SHORT = """
ITERATIONS = 2
TRAIN_VIDEOS, VALID_VIDEOS = 2, 1
OUTPUT = Path("{}")
"""


def test_the_tutorial_runs(tmp_path):
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    (parameters,) = [x for x in notebook.cells if "parameters" in x.metadata.get("tags", [])]
    parameters.source = SHORT.format(tmp_path)
    # Raises errors of the cells.
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(DOCS)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "'AP':" in "".join(x.get("text", "") for cell in code for x in cell.outputs)
    pictures = [x for cell in code for x in cell.outputs if "image/jpeg" in x.get("data", {})]
    assert len(pictures) == 4
