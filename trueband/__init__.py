"""trueband: verified attention for long documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from trueband.api import check as check
    from trueband.parametrize import parametrize_with_checks as parametrize_with_checks
    from trueband.properties.candidate.target import Target as Target
    from trueband.properties.cases.limits import Sizes as Sizes
    from trueband.properties.cases.shapes import Shape as Shape
    from trueband.properties.models.target import ModelTarget as ModelTarget

_PUBLIC = {
    "ModelTarget": "trueband.properties.models.target",
    "Shape": "trueband.properties.cases.shapes",
    "Sizes": "trueband.properties.cases.limits",
    "Target": "trueband.properties.candidate.target",
    "check": "trueband.api",
    "parametrize_with_checks": "trueband.parametrize",
}


def __getattr__(name: str) -> Any:
    """Public names, imported when they are first asked for: `import trueband` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'trueband' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
