"""The worked example of docs/recordings.md does what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Block(NamedTuple):
    kind: str
    text: str


@pytest.fixture(scope="session")
def blocks() -> list[Block]:
    """The code blocks of the page, in order."""
    page = Path(__file__).resolve().parents[3] / "docs" / "recordings.md"
    text = page.read_text(encoding="utf-8")
    return [Block(kind, block) for kind, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)]


@pytest.fixture
def example(blocks: list[Block], tmp_path: Path, model: Path) -> Path:
    """A folder with what the first block makes."""
    shutil.copytree(model, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def model(blocks: list[Block], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first block makes, in a folder of its own."""
    folder = tmp_path_factory.mktemp("model")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", blocks[0].text], cwd=folder, env=environment, check=True)
    return folder


def shape_of(line: str) -> list[str]:
    """The words of a line that no platform changes: numbers are left out."""
    return [word for word in re.split(r"[ ]+", line.strip()) if not re.fullmatch(r"[-+.\de]+:?", word)]


@pytest.mark.evidence
def test_the_example(blocks: list[Block], example: Path) -> None:
    assert [block.kind for block in blocks] == ["python", "sh", "sh", "text", "sh", "text", "python"]
    _, first, second, failed, third, apart, _ = (block.text for block in blocks)
    command = f'trueband() {{ "{sys.executable}" -m trueband "$@"; }}\n'
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(script: str, code: int) -> str:
        done = subprocess.run(
            ["bash", "-c", command + script], cwd=example, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    assert "all 8 passed" in run(first, 0)
    told = run(second, 1)
    statuses = {tuple(line.split()[:2]) for line in told.splitlines() if line[:6] in ("passed", "FAILED")}
    shown = {tuple(line.split()[:2]) for line in failed.splitlines() if line[:6] in ("passed", "FAILED")}
    assert len(shown) == 4
    assert shown <= statuses
    assert sum(status == "FAILED" for status, _ in statuses) == 2
    assert "(config.json: attention_window (4, 6, 6), recorded (4, 8, 6))" in told
    lines = [shape_of(line) for line in run(third, 1).splitlines()]
    for line in apart.splitlines():
        assert shape_of(line) in lines, line


@pytest.mark.evidence
def test_the_fixture_of_the_example(
    blocks: list[Block], example: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right model passes, one whose logits are off by a thousandth does not."""
    test, right = blocks[-1].text, "model.lm_head(states)"
    assert right in test
    monkeypatch.chdir(example)
    record = ["record", "my-model", "--inputs", "inputs.json", "--out", "my-model.safetensors"]
    assert trueband_here("golden", *record).returncode == 0
    (example / "test_right.py").write_text(test, encoding="utf-8")
    (example / "test_off.py").write_text(test.replace(right, f"1.001 * {right}"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "test_right.py", "test_off.py"]
    done = subprocess.run(command, cwd=example, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    told = [line.split("::")[0] for line in done.stdout.splitlines() if line.startswith(("PASSED", "FAILED"))]
    assert told == ["PASSED test_right.py", "FAILED test_off.py"]
