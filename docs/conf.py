"""Sphinx configuration: ``make docs`` builds ``docs/_build/index.html``."""

import os
import re
from pathlib import Path

from sphinx.ext import autosummary

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "MaskProp"
author = "The MaskProp-D2 authors"
html_title = "MaskProp for Detectron2"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "templates"]
templates_path = ["templates"]
highlight_language = "none"
html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]

# Headings can be linked to. The notebook shows its stored outputs.
myst_heading_anchors = 4
nb_execution_mode = "off"

# API reference.
autosummary_generate = True
# A summary is a docstring's first sentence, which does not end here.
autosummary.WELL_KNOWN_ABBREVIATIONS += ("Sec.", "Eq.", "Fig.")
autosummary_ignore_module_all = True
autoclass_content = "both"
autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Every reference must resolve, except to other packages: there is no network for their indexes.
nitpicky = True
# Type variables have no page.
nitpick_ignore_regex = [("py:.*", r"(?!maskprop_d2).*"), ("py:.*", r".*\.(Item|Result)")]

# Pages that include a file from elsewhere in the repository, so that it reads well there too.
PAGES = {
    ROOT / "README.md": "index.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
    ROOT / "MODEL_ZOO.md": "model_zoo.md",
    ROOT / "datasets/README.md": "datasets.md",
    ROOT / "maskprop_d2/configs/youtubevis_2019/README.md": "youtubevis_configs.md",
}
# The path in [text](path#heading).
LINK = re.compile(r"(?<=\]\()(?!https?:|#)[^)#\s]+")


def relink(text: str, folder: Path) -> str:
    """Make the links of a Markdown file in ``folder`` relative to ``docs/``."""

    def new_target(link: re.Match[str]) -> str:
        path = (folder / link[0]).resolve()
        return PAGES.get(path) or os.path.relpath(path, DOCS)

    return LINK.sub(new_target, text)


def on_source_read(app, name, content):
    """Adapt the links of a page in ``docs/``."""
    content[0] = relink(content[0], DOCS)


def on_include_read(app, path, name, content):
    """Adapt the links of an included file."""
    content[0] = relink(content[0], (DOCS / path).resolve().parent)


def skip_tuple_fields(app, what, name, obj, skip, options):
    """Skip the fields of named tuples: the class docstring describes them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def drop_module_docstring(app, what, name, obj, options, lines):
    """Drop what torch says of the constructor of its modules."""
    lines[:] = [x for x in lines if not x.startswith("Initialize internal Module state")]


def setup(app):
    """Connect the hooks above."""
    app.connect("source-read", on_source_read)
    app.connect("include-read", on_include_read)
    app.connect("autodoc-skip-member", skip_tuple_fields)
    app.connect("autodoc-process-docstring", drop_module_docstring)
