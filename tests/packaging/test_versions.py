"""The rows of tools/versions.py are what pyproject.toml allows; a row that cannot be made fails, and says why."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

# Which triton each torch pins on Linux.
PINNED = {
    "2.6": "3.2",
    "2.7": "3.3",
    "2.8": "3.4",
    "2.9": "3.5",
    "2.10": "3.6",
    "2.11": "3.6",
    "2.12": "3.7",
    "2.13": "3.7",
    "2.14": "3.8",
}


@pytest.fixture(scope="session")
def versions(checkout: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("versions", checkout / "tools" / "versions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["versions"] = module  # its dataclasses ask for it
    spec.loader.exec_module(module)
    return module


def same_release(one: str, other: str) -> bool:
    def shortened(version: str) -> str:
        return re.sub(r"(\.0)+$", "", version)

    return shortened(one) == shortened(other)


def test_the_floor_is_the_lowest_of_everything(versions: ModuleType, pyproject: dict[str, Any]) -> None:
    row = versions.ROWS["floor"]
    installed = {"torch": row.torch, **row.others}
    lowest = dict(line.split(">=") for line in pyproject["project"]["dependencies"])
    assert installed.keys() == lowest.keys()
    assert all(same_release(installed[name], version) for name, version in lowest.items())
    assert same_release(row.triton, pyproject["project"]["optional-dependencies"]["triton"][0].split(">=")[1])
    assert pyproject["project"]["requires-python"] == f">={row.python}"


def test_every_row_is_a_pair_that_torch_pins(versions: ModuleType) -> None:
    for row in versions.ROWS.values():
        assert PINNED[row.torch.rpartition(".")[0]] == row.triton.rpartition(".")[0]


def test_every_python_that_is_promised_has_a_row_with_all_tests(
    versions: ModuleType, pyproject: dict[str, Any]
) -> None:
    promised = {line.split(" :: ")[-1] for line in pyproject["project"]["classifiers"] if "Python :: 3." in line}
    assert {row.python for row in versions.ROWS.values() if not row.tests} == promised


def test_what_is_installed_without_peers(versions: ModuleType) -> None:
    alone, others = versions.requirements(versions.ROWS["floor"])
    assert {"numpy==2.0.0", "rich==13.0.0", "safetensors==0.4.0", "hypothesis==6.100.0"} <= set(others)
    assert not {versions.name_of(each) for each in [*alone, *others]} & {"torch", "triton", *versions.PEERS}
    assert Path(versions.TESTS, "optimized", "test_models_and_peer.py") in versions.tests_of_peers()


def test_needs_of_torch(versions: ModuleType) -> None:
    told = (
        'filelock\nsympy==1.13.1\nnvidia-nccl-cu12==2; sys\ntriton==3.2.0\ncuda-bindings<14\nopt-einsum; extra == "x"'
    )
    assert versions.needs_of_torch(told) == ["filelock", "sympy==1.13.1"]


def run(checkout: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(checkout / "tools" / "versions.py"), *map(str, arguments)]
    return subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)


def test_a_python_that_is_not_here(checkout: Path, tmp_path: Path) -> None:
    other = "torch-2.14" if sys.version_info[:2] != (3, 13) else "torch-2.11"
    done = run(checkout, "--folder", tmp_path, other)
    assert done.returncode == 1
    assert re.search(
        rf"^{other}.* FAILED \| - \| -\n    expected python 3\.1\d, got none: see --python$", done.stdout, re.M
    )


def test_a_row_that_is_none(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, "--folder", tmp_path, "torch-1.0")
    assert done.returncode == 2
    assert "ROW: expected some of floor, " in done.stderr
