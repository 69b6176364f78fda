"""Turns a function or a Target into the words by which another process finds it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from trueband.properties.candidate.target import Target, TargetError


def import_string(target: Any, kind: type = Target) -> str:
    """`module:name` or `path/file.py:name` of a function or a Target (or another kind); a string is one already.

    Raises:
        TargetError: it is neither, or stands in no module or file that another process can import.
    """
    if isinstance(target, str):
        return target
    if not callable(target) and not isinstance(target, kind):
        raise TargetError(
            f"target: expected a callable, a trueband.{kind.__name__} or an import string, got {type(target).__name__}"
        )
    for module, name in _places(target):
        place = _importable(module)
        if place is not None:
            return f"{place}:{name}"
    raise TargetError(
        f"target: expected a function or a {kind.__name__} that has a name in a module or a file, by which another "
        f"process finds it, got {target!r}"
    )


@contextmanager
def same_search_path() -> Iterator[None]:
    """Within it, processes that are started find the modules that this one finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(str(Path(entry or ".").absolute()) for entry in sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _places(target: Any) -> Iterator[tuple[ModuleType, str]]:
    """Modules that hold the very object, and its name there; its own module first."""
    own = sys.modules.get(getattr(target, "__module__", None) or "")
    name = getattr(target, "__qualname__", "")
    if own is not None and name:
        item: Any = own
        for part in name.split("."):
            item = getattr(item, part, None)
        if item is target:
            yield own, name
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType):
            for key, value in list(vars(module).items()):
                if value is target:
                    yield module, key


def _importable(module: ModuleType) -> str | None:
    """The name by which a fresh process gets the same module, else its file; None where it has none."""
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    if module.__name__ != "__main__" and _finds(module.__name__) == os.path.realpath(file):
        return module.__name__
    return str(Path(file).resolve()) if file.endswith(".py") else None


def _finds(name: str) -> str | None:
    """The file that an import of the name would load, whatever is loaded by now."""
    search, spec = None, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = None
        for finder in sys.meta_path:
            with suppress(ImportError, AttributeError, ValueError):
                spec = finder.find_spec(".".join(parts[:end]), search)
            if spec is not None:
                break
        if spec is None:
            return None
        search = spec.submodule_search_locations
    return os.path.realpath(spec.origin) if spec is not None and spec.origin else None
