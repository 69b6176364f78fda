"""What `action.yml` runs in a workflow."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KERNEL = """
import numpy as np


def attention(query, key, value, *, window):
    tokens = np.arange(query.shape[2])
    seen = abs(tokens[:, None] - tokens) {edge} window
    scores = np.where(seen, query @ key.swapaxes(-1, -2) / query.shape[-1] ** 0.5, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (weights / weights.sum(axis=-1, keepdims=True) @ value).astype(query.dtype)
"""


@pytest.mark.parametrize(("edge", "code"), [("<=", 0), ("<= 1 +", 1)], ids=["right", "one too wide"])
def test_the_action_fails_where_the_kernel_is_wrong(edge: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL.format(edge=edge), encoding="utf-8")
    found = re.search(r"run: \|\n(.*)\Z", (ROOT / "action.yml").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    here = f'trueband() {{ "{sys.executable}" -m trueband "$@"; }}\n'
    asked = {"TARGET": "kernel.py:attention", "OPTIONS": "--cases 20 -k mask_decoding", "REPORT": "report"}
    command = ["bash", "-eo", "pipefail", "-c", here + textwrap.dedent(found[1])]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["trueband.html", "trueband.jsonl"]
