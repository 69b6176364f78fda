"""What is installed here: from one place, with its console script, and nothing pinned that pip would not find."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import trueband


def test_all_packages_come_from_one_place(pyproject: dict[str, Any], checkout: Path) -> None:
    """Either all from the checkout (editable) or all from the installed wheel, never a mixture."""
    top = Path(trueband.__file__).resolve().parent
    folders = pyproject["tool"]["setuptools"]["package-dir"]
    for name, folder in folders.items():
        found = Path(str(importlib.import_module(name).__file__)).resolve().parent
        installed = top.joinpath(*name.split(".")[1:])
        assert found == (checkout / folder if top == checkout / "trueband" else installed), name


def test_console_script_runs() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="trueband")
    assert callable(script.load())
    command = Path(sys.executable).with_name("trueband")
    for call in ([str(command)], [sys.executable, "-m", "trueband"]):
        done = subprocess.run([*call, "--version"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.split()[-1:]) == (0, [trueband.__version__]), done.stderr


def names_of(requirements: list[str]) -> set[str]:
    """Normalized project names (PEP 503)."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[ <>=!~;\[]", line, maxsplit=1)[0]).lower() for line in requirements}


def test_constraints_pin_everything_declared(pyproject: dict[str, Any], checkout: Path) -> None:
    lines = (checkout / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", pin)] == []
    project = pyproject["project"]
    declared = (
        project["dependencies"]
        + project["optional-dependencies"]["test"]
        + project["optional-dependencies"]["docs"]
        + pyproject["build-system"]["requires"]
    )
    assert names_of(declared) <= names_of(pins)
    assert {"torch==2.13.0", "transformers==5.23.0"} <= set(pins)


def test_readme_and_gate_run_the_same_tests(checkout: Path) -> None:
    gate = (checkout / ".ci" / "run").read_text(encoding="utf-8")
    (arguments,) = re.findall(r"^tests=\((.+)\)$", gate, flags=re.MULTILINE)
    readme = (checkout / "README.md").read_text(encoding="utf-8")
    assert f"python {arguments}" in readme
    assert "pip install -c constraints.txt -e '.[test]'" in readme
    assert "-c constraints.txt -e '.[test]'" in gate
