"""Refuses what a candidate has no business with, and reports it to the judging process at once.

An audit hook (PEP 578) cannot be removed again, whatever the candidate does later. It sees Python's own doors: imports,
files, other processes. Native code can go around it; therefore the judging process computes the verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The package's own implementations of what the candidate computes.
WITNESSES = ("trueband.reference", "trueband.optimized", "trueband.properties.faults")
_OWN = "trueband."
_STARTS_A_PROCESS = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.spawn"})


def is_own(spec: str) -> bool:
    """Return whether a target is one of the package's own, which may use the package."""
    place = spec.rpartition(":")[0]
    return place.startswith(_OWN) and not place.endswith(".py")


class Evidence:
    """Reports what was seen to the judging process, through a pipe that nothing else uses."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)  # a duplicate is not inherited by the candidate's own children
        os.close(descriptor)
        os.set_blocking(self._descriptor, False)

    def tell(self, what: str) -> None:
        with contextlib.suppress(OSError):  # the first lines are enough
            os.write(self._descriptor, json.dumps(what[:1000]).encode() + b"\n")


def watch(tell: Callable[[str], None]) -> None:
    """Refuse access to the witnesses and to the judging process from now on."""
    judge = os.getppid()
    folders = tuple(f"{folder}{os.sep}" for folder in map(_folder, WITNESSES))
    files = {(entry.st_dev, entry.st_ino) for folder in folders for entry in map(os.stat, Path(folder).rglob("*.py"))}
    private = tuple(f"/proc/{judge}/{name}" for name in ("mem", "environ", "cmdline", "maps", "fd", "task"))
    stat, abspath, fsdecode, tell_it = os.stat, os.path.abspath, os.fsdecode, tell

    def refuse(what: str, error: type[Exception]) -> None:
        tell_it(what)
        raise error(f"trueband refuses this to a kernel under test: {what}")

    def opened(path: Any) -> None:
        if not isinstance(path, str | bytes):
            return  # a descriptor: its file has been opened before
        name = abspath(fsdecode(path))
        witness = name.startswith(folders)
        if not witness:
            with contextlib.suppress(OSError, ValueError):
                info = stat(name)
                witness = (info.st_dev, info.st_ino) in files
        if witness:
            refuse(f"it opened {Path(name).name} of the package's own witnesses", PermissionError)
        if name.startswith(private):
            refuse(f"it opened {name}, which is the judging process's", PermissionError)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            opened(arguments[0])
        elif event == "import":
            if any(arguments[0] == name or arguments[0].startswith(f"{name}.") for name in WITNESSES):
                refuse(f"it imported {arguments[0]}, a witness of the package", ImportError)
        elif event in ("os.kill", "os.killpg"):
            if arguments[0] in (judge, -judge, 0, -1):
                refuse("it sent a signal to the judging process", PermissionError)
        elif event in _STARTS_A_PROCESS and _OWN in repr(arguments):
            refuse("it started a process that uses the package", PermissionError)

    sys.addaudithook(hook)


def _folder(module: str) -> str:
    """Return the folder of a package without importing it."""
    from importlib.util import find_spec

    spec = find_spec(module)
    assert spec is not None
    assert spec.submodule_search_locations
    return str(Path(next(iter(spec.submodule_search_locations))).absolute())
