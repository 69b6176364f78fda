"""A command in a checkout, in parts that each give the lines of a file: mutation testing on a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

APART = ("golden", "optimized", "properties", "reference")  # of the package, beside it in a checkout


def run_part(report: str, lines: str, arguments: Sequence[str]) -> str:
    """Run `python arguments... report FILE` in this folder, a checkout, and return what FILE holds then.

    Args:
        report: the option that names the file.
        lines: what the file holds before.

    Raises:
        RuntimeError: the command failed. With the exit code 1 and no word on stderr it has found something.
    """
    with tempfile.TemporaryDirectory(prefix="trueband-") as folder:
        file = Path(folder, "lines.jsonl")
        file.write_text(lines, encoding="utf-8")
        installed(Path.cwd(), Path(folder, "site"))
        path = os.pathsep.join(filter(None, (f"{folder}/site", os.environ.get("PYTHONPATH"))))
        run = subprocess.run(
            [sys.executable, *arguments, report, str(file)],
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode not in (0, 1) or (run.returncode and run.stderr.strip()):
            told = run.stderr.strip().splitlines()[-1:] or [f"exit code {run.returncode}"]
            raise RuntimeError(f"{' '.join(arguments)}: {told[0]}")
        return file.read_text(encoding="utf-8")


def installed(checkout: Path, site: Path) -> None:
    """Make a folder from which the package of a checkout is imported: links, so that files keep their places."""
    package = site / "trueband"
    package.mkdir(parents=True)
    for entry in (checkout / "trueband").iterdir():
        (package / entry.name).symlink_to(entry)
    for name in APART:
        (package / name).symlink_to(checkout / name)
