"""Checks whether the harness in the candidate's process is what it was before the candidate was loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

Names = list[tuple[Mapping[str, Any], str, Any, str]]


def harness() -> Names:
    """Return every name of the package's loaded modules and classes: (namespace, name, object, full name)."""
    names: Names = []
    for module_name, module in list(sys.modules.items()):
        if module_name in ("__main__", "trueband") or module_name.startswith("trueband."):
            names += _names(vars(module), module_name)
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == module_name:
                    names += _names(value.__dict__, f"{module_name}.{value.__qualname__}")
    return names


def replaced(names: Names) -> str:
    """Return the first name that stands for another object now; "" if none does."""
    for namespace, name, before, full_name in names:
        if namespace.get(name) is not before:
            return full_name
    return ""


def _names(namespace: Mapping[str, Any], prefix: str) -> Names:
    return [
        (namespace, name, value, f"{prefix}.{name}")
        for name, value in list(namespace.items())
        if callable(value) and not isinstance(value, ModuleType)
    ]
