"""How Sphinx builds the pages into a site: `python -m sphinx -W -n docs FOLDER`, with the extra `docs`."""

from __future__ import annotations

import re
from typing import Any

import trueband

project = "trueband"
version = release = trueband.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"trueband {release}"

myst_heading_anchors = 3  # links to headings, spelled as on code hosts
default_role = "code"  # `name` in a docstring
autodoc_typehints = "none"  # docstrings say what is taken, with shapes
napoleon_attr_annotations = False


def escape_bars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """|i - j| is a formula, and no substitution of reStructuredText; so it is everywhere but in code."""
    lines[:] = ["`".join(_escaped(line.split("`"))) for line in lines]


def _escaped(parts: list[str]) -> list[str]:
    """Every second part of a line stands between backticks."""
    return [part if place % 2 else re.sub(r"\|", r"\\|", part) for place, part in enumerate(parts)]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", escape_bars)
