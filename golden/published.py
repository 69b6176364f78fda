"""The published numbers that ship with the package, read from `published-data/` (provenance: golden/README.md)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def published(name: str) -> dict[str, Any]:
    """One file of `published-data/`, by its name without the ending. Read it, do not change it."""
    text = files("trueband.golden").joinpath("published-data", f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
