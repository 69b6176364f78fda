"""What is sent to other machines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trueband.cluster import files
from trueband.cluster.files import gather, gather_package
from trueband.properties.candidate.target import TargetError

HERE = Path(__file__).parent


def imported(folder: Path, source: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    run = subprocess.run([sys.executable, "-c", source], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_the_package_is_whole_without_the_published_outputs(tmp_path: Path) -> None:
    gather_package(tmp_path)
    source = "import trueband.cluster.task, trueband.optimized, trueband.golden; print(trueband.__file__)"
    assert imported(tmp_path, source) == str(tmp_path / "trueband" / "__init__.py")
    assert (tmp_path / "trueband" / "adapters" / "hf-led.json").is_file()
    assert not (tmp_path / "trueband" / "golden" / "store-data").exists()
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_file_comes_with_what_stands_beside_it(tmp_path: Path) -> None:
    source, there = tmp_path / "source", tmp_path / "there"
    (source / "inner").mkdir(parents=True)
    (source / ".git").mkdir()
    there.mkdir()
    for name in ("kernel.py", "helper.py", "data.bin", "inner/more.py", ".git/config", ".env"):
        (source / name).write_text("")
    assert gather(f"{source}/kernel.py:attention", there) == "target/kernel.py:attention"
    sent = sorted(path.relative_to(there / "target").as_posix() for path in (there / "target").rglob("*.*"))
    assert sent == ["data.bin", "helper.py", "inner/more.py", "kernel.py"]


@pytest.mark.parametrize(
    ("made", "spec"),
    [("own_kernels/inner/attention.py", "own_kernels.inner.attention:f"), ("own_kernels.py", "own_kernels:f")],
)
def test_a_module_of_the_working_folder_comes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str, spec: str
) -> None:
    source, there = tmp_path / "source", tmp_path / "there"
    (source / made).parent.mkdir(parents=True)
    (source / made).write_text("")
    if "/" in made:
        (source / "own_kernels" / "__init__.py").write_text("")
    there.mkdir()
    monkeypatch.chdir(source)
    assert gather(spec, there) == spec
    assert (there / made).is_file()


@pytest.mark.parametrize("spec", ["numpy:tanh", "math:sin", "trueband.adapters.chunked:target", "no_such_module:f"])
def test_what_is_installed_stays(tmp_path: Path, spec: str) -> None:
    assert gather(spec, tmp_path) == spec
    assert [path.name for path in tmp_path.iterdir()] == ["trueband"]


def test_a_folder_that_is_too_large_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, there = tmp_path / "source", tmp_path / "there"
    source.mkdir()
    there.mkdir()
    (source / "kernel.py").write_text("")
    (source / "weights.bin").write_bytes(bytes(9 << 20))
    monkeypatch.setattr(files, "MOST_BYTES", 8 << 20)
    with pytest.raises(ValueError, match="expected a folder of at most 8 MiB to send along"):
        gather(f"{source}/kernel.py:attention", there)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="expected a file, got"):
        gather(f"{tmp_path}/none.py:attention", tmp_path)
