"""The checkout that this kit stands in, made importable without installing it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
TOP = "trueband"
BESIDE = ("golden", "optimized", "properties", "reference")  # installed below the package, and here beside it


def link(folder: Path) -> Path:
    """Lay the package out in a folder as a wheel has it, by links; returns the folder, for PYTHONPATH."""
    package = folder / TOP
    package.mkdir(parents=True)
    for path in sorted((ROOT / TOP).iterdir()):
        if path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    for name in BESIDE:
        (package / name).symlink_to(ROOT / name)
    return folder


def environment(packages: Path, **more: str) -> dict[str, str]:
    """The variables of a process that imports the package and this kit from here."""
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = os.pathsep.join([str(packages), str(TOOLS), *before])
    return {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **more}


def python(module: str, *arguments: str) -> list[str]:
    """The command of a module, which reads nothing from the folder that it is started in."""
    return [sys.executable, "-P", "-m", module, *arguments]


def commit() -> str:
    """The commit of the checkout, with "-dirty" behind it if files are changed; "unknown" where git does not say."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"
