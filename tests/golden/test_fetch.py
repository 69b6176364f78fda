"""Fetching the weights: the cache folder, the sha256, and every way it can go wrong."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trueband.golden import fetch
from trueband.golden.fetch import GoldenDataError, SapiensFiles, cache_folder, fetch_sapiens

BY_HAND = r"pip download --no-deps sapiens==1\.0\.4.*trueband golden fetch --from FILE\.whl.*or put .* into "


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture(scope="session")
def files() -> SapiensFiles:
    return fetch_sapiens()


@pytest.fixture
def wheel(tmp_path: Path, files: SapiensFiles) -> Path:
    """The published files in a wheel of the published layout."""
    path = tmp_path / "sapiens-1.0.4-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, f"sapiens/models/v1/{file.name}")
    return path


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"TRUEBAND_CACHE": "own"}, "linux", Path("own")),
        ({"XDG_CACHE_HOME": "xdg"}, "linux", Path("xdg/trueband")),
        ({}, "linux", Path.home() / ".cache/trueband"),
        ({"XDG_CACHE_HOME": "xdg"}, "darwin", Path.home() / "Library/Caches/trueband"),
        ({"LOCALAPPDATA": "local"}, "win32", Path("local/trueband")),
        ({}, "win32", Path.home() / "AppData/Local/trueband"),
    ],
)
def test_cache_folder(environment: dict[str, str], platform: str, expected: Path) -> None:
    assert cache_folder(environment, platform) == expected


def test_the_published_files_are_fetched(files: SapiensFiles) -> None:
    assert [file.name for file in files] == list(fetch.SHA256)
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() == fetch.SHA256[file.name]


@pytest.mark.usefixtures("offline")
def test_what_is_there_is_not_fetched_again(tmp_path: Path, wheel: Path) -> None:
    first = fetch_sapiens(wheel=wheel, cache=tmp_path / "cache")
    stamps = [file.stat().st_mtime_ns for file in first]
    wheel.unlink()
    again = fetch_sapiens(cache=tmp_path / "cache")
    assert again == first
    assert [file.stat().st_mtime_ns for file in again] == stamps


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        GoldenDataError, match=r"^sapiens==1\.0\.4: expected pip to download the wheel, got: .*"
    ) as info:
        fetch_sapiens(cache=tmp_path)
    assert info.match(BY_HAND)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.usefixtures("offline")
def test_a_changed_file_in_the_cache_is_refused(tmp_path: Path, wheel: Path) -> None:
    files = fetch_sapiens(wheel=wheel, cache=tmp_path / "cache")
    content = bytearray(files.light.read_bytes())
    content[1000] ^= 1
    files.light.write_bytes(content)
    got = hashlib.sha256(content).hexdigest()
    message = rf"checkpoint_vl\.pt: expected sha256 {fetch.SHA256['checkpoint_vl.pt']}, got {got}\. .*{BY_HAND}"
    with pytest.raises(GoldenDataError, match=message):
        fetch_sapiens(cache=tmp_path / "cache")


def test_a_wheel_with_another_content_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "wrong.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in fetch.SHA256:
            archive.writestr(f"sapiens/models/v1/{name}", b"other weights")
    with pytest.raises(GoldenDataError, match=r"wrong\.whl: sapiens/models/v1/checkpoint_vh\.pt: expected sha256 "):
        fetch_sapiens(wheel=path, cache=tmp_path / "cache")
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []


def test_a_wheel_without_weights_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sapiens-1.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("sapiens/__init__.py", "")
    with pytest.raises(
        GoldenDataError, match=r"expected sapiens/models/v1/checkpoint_vh\.pt inside, got a wheel without"
    ):
        fetch_sapiens(wheel=path, cache=tmp_path / "cache")


@pytest.mark.parametrize(("content", "got"), [(None, "no such file"), (b"<html>", "another kind of file")])
def test_what_is_no_wheel_is_refused(tmp_path: Path, content: bytes | None, got: str) -> None:
    path = tmp_path / "file.whl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GoldenDataError, match=rf"file\.whl: expected the wheel of sapiens==1\.0\.4, got {got}"):
        fetch_sapiens(wheel=path, cache=tmp_path / "cache")


def test_an_interrupt_leaves_no_file(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while the second file is renamed: the first is whole, of the second nothing is there."""
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target.name == "checkpoint_vl.pt":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_sapiens(wheel=wheel, cache=tmp_path / "cache")
    folder = tmp_path / "cache" / fetch.FOLDER
    assert [file.name for file in folder.iterdir()] == ["checkpoint_vh.pt"]
    assert fetch_sapiens(wheel=wheel, cache=tmp_path / "cache").light.is_file()  # and it can be taken up again


def test_importing_golden_imports_no_torch() -> None:
    code = "import sys, trueband.golden.checks, trueband.witness; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
