"""The worked example of README's section on numerical regression checks does what it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

HEADING = "## Numerical regression checks"


class Block(NamedTuple):
    kind: str
    text: str


@pytest.fixture(scope="session")
def blocks() -> list[Block]:
    """The code blocks of the section, in order."""
    readme = Path(__file__).resolve().parents[3] / "README.md"
    section = readme.read_text(encoding="utf-8").split(HEADING)[1].split("\n## ")[0]
    return [Block(kind, text) for kind, text in re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)]


def shape_of(line: str) -> list[str]:
    """The words of a line that no platform changes: numbers are left out."""
    return [word for word in re.split(r"[ ]+", line.strip()) if not re.fullmatch(r"[-+.\de]+:?", word)]


def test_the_example(blocks: list[Block], tmp_path: Path) -> None:
    assert [block.kind for block in blocks] == ["python", "sh", "sh", "text", "sh", "text", "python"]
    python, first, second, failed, third, apart, _ = (block.text for block in blocks)
    command = f'trueband() {{ "{sys.executable}" -m trueband "$@"; }}\n'
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(script: str, code: int) -> str:
        done = subprocess.run(
            ["bash", "-c", command + script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, env=environment, check=True)
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


def test_the_fixture_of_the_example(blocks: list[Block], tmp_path: Path) -> None:
    """With a layer put in the place of my_layer: the right one passes, one that is off does not."""
    python, test = blocks[0].text, blocks[-1].text.replace("layer.3", "layer.2")
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, check=True)
    (tmp_path / "tests" / "data").mkdir(parents=True)
    record = ["record", "my-model", "--inputs", "inputs.json", "--out", "tests/data/my-model.safetensors"]
    subprocess.run([sys.executable, "-m", "trueband", "golden", *record], cwd=tmp_path, capture_output=True, check=True)
    layer = """
import numpy as np
import torch
from trueband.optimized.models import LongformerForMaskedLM
from trueband.reference.longformer import longformer_layer

def my_layer(x):
    model = LongformerForMaskedLM.from_pretrained("my-model")
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    flags = np.zeros(x.shape[:2])
    flags[:, 0] = 1
    name = "longformer.encoder.layer.2"
    return longformer_layer(state, name, model.config, x, window=WINDOW, global_attention_mask=flags)

"""
    for window, code in ((3, 0), (2, 1)):
        suite = layer.replace("WINDOW", str(window)) + test
        (tmp_path / f"test_window_{window}.py").write_text(suite, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"test_window_{window}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout
