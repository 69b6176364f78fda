"""`reference`, `properties` and `golden` work where torch is not installed, and do not import it where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Runs in a fresh interpreter: imports the modules given as arguments, prints those of torch that came with them.
IMPORT_ALL = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(name for name in sys.modules if name.split(".")[0] == "torch")))
"""

# The same where torch cannot be imported: the finder stands in front of all others.
BLOCKED = (
    """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("torch is not installed here", name=name)
sys.meta_path.insert(0, Blocked())
"""
    + IMPORT_ALL
)


def run(script: str, modules: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", script, *modules]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def torch_free(sources: dict[str, Path]) -> list[str]:
    folders = ("trueband.reference", "trueband.properties", "trueband.golden")
    found = [name for name in sources if name.startswith(folders) and not name.endswith("__main__")]
    assert set(folders) < set(found)
    return ["trueband", *found]


@pytest.mark.parametrize("script", [IMPORT_ALL, BLOCKED], ids=["torch installed", "torch blocked"])
def test_importing_everything_brings_no_torch(script: str, sources: dict[str, Path]) -> None:
    done = run(script, torch_free(sources))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_an_import_of_torch_is_seen(tmp_path: Path) -> None:
    """The wrong package: its submodule imports torch at import time."""
    package = tmp_path / "wrong_package"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "kernels.py").write_text("import torch\n", encoding="utf-8")
    at = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    seen = run(at + IMPORT_ALL, ["wrong_package.kernels"])
    assert seen.returncode == 0, seen.stderr
    assert "torch" in json.loads(seen.stdout)
    blocked = run(at + BLOCKED, ["wrong_package.kernels"])
    assert blocked.returncode == 1
    assert "torch is not installed here" in blocked.stderr
