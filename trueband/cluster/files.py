"""The files that tasks need on other machines: the package, and those of the target."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import shutil
import sysconfig
from collections.abc import Collection, Iterator
from pathlib import Path

import trueband
from trueband.properties.candidate.target import TargetError
from trueband.session.request_error import RequestError

MOST_BYTES = 100 << 20
TARGET = "target"  # the folder of a target's files
LEFT_OUT = {"__pycache__", "store-data", "node_modules"}


def gather(spec: str, folder: Path) -> str:
    """Copy the package and the files of a target into an empty folder, and return the words for the target there.

    Of `file.py:name` the folder of the file comes along; of `module:name` the package of the module, unless it is
    installed: what is installed here must be installed there. Hidden files are left out.

    Raises:
        TargetError: there is no such file or module, or its folder has more than `MOST_BYTES`.
    """
    gather_package(folder)
    place, separator, name = spec.rpartition(":")
    if not separator:
        return spec  # it is refused where it is loaded
    if place.endswith(".py"):
        file = Path(place).resolve()
        if not file.is_file():
            raise TargetError(f"target: expected a file, got {place!r}, which does not exist")
        _copy(file.parent, folder / TARGET)
        return f"{TARGET}/{file.name}:{name}"
    top = place.partition(".")[0]
    found = _found(top)
    if top != trueband.__name__ and found is not None and not _installed(found):
        if found.is_dir():
            _copy(found, folder / top)
        else:
            shutil.copy2(found, folder / found.name)
    return spec


def gather_package(folder: Path) -> None:
    """Copy the package, without the published outputs: a cluster need not have it, and all run the same code."""
    for root in trueband.__path__:
        _copy(Path(root), folder / trueband.__name__)
    for module in ("golden", "optimized", "properties", "reference"):  # in a checkout they stand beside it
        (root,) = importlib.import_module(f"{trueband.__name__}.{module}").__path__
        if not (folder / trueband.__name__ / module).exists():
            _copy(Path(root), folder / trueband.__name__ / module)


def gather_checkout(root: Path, folder: Path) -> None:
    """Copy a checkout, the published outputs included, for its tests."""
    _copy(root, folder, {"__pycache__"})


def _found(top: str) -> Path | None:
    """The file or the folder of a module."""
    importlib.invalidate_caches()
    here = pkgutil.get_importer(os.fspath(Path.cwd()))  # a target is looked for here, too
    spec = (here.find_spec(top) if here is not None else None) or importlib.util.find_spec(top)
    if spec is None or (spec.origin is None and not spec.submodule_search_locations):
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin is not None and Path(spec.origin).is_file() else None


def _installed(path: Path) -> bool:
    where, standard = path.resolve(), Path(sysconfig.get_path("stdlib")).resolve()
    return bool({"site-packages", "dist-packages"} & set(where.parts)) or where.is_relative_to(standard)


def _copy(source: Path, folder: Path, left_out: Collection[str] = LEFT_OUT) -> None:
    size = 0
    for file in _files(source, left_out):
        size += file.stat().st_size
        if size > MOST_BYTES:
            raise RequestError(
                "{target}: expected a folder of at most {most} MiB to send along, got {source}: put the target into a "
                "folder of its own, or install it on the machines",
                most=MOST_BYTES >> 20,
                source=source,
            )
        copy = folder / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


def _files(folder: Path, left_out: Collection[str]) -> Iterator[Path]:
    """The files of a folder and of those in it, but for hidden ones; links to folders are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in left_out)
        for name in sorted(names):
            file = Path(root, name)
            if not name.startswith(".") and file.is_file():
                yield file
