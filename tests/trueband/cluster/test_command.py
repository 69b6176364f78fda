"""A part of a command that runs in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueband.cluster.command import APART, run_part

SCRIPT = """
import argparse, os, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("part")
parser.add_argument("--report", type=pathlib.Path)
options = parser.parse_args()
import trueband.properties.one as one
with options.report.open("a") as out:
    out.write(f"part {options.part} {os.path.realpath(one.__file__)}\\n")
if options.part == "word":
    sys.exit("no such file")
sys.exit(int(options.part))
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("trueband", *APART):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "properties" / "one.py").write_text("")
    (tmp_path / "golden" / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", ["0", "1"])  # 1: mutants survive
def test_a_part_imports_the_checkout_and_goes_on_with_the_lines(checkout: Path, code: str) -> None:
    lines = run_part("--report", "before\n", ["golden/script.py", code])
    assert lines == f"before\npart {code} {checkout}/properties/one.py\n"


def test_a_part_that_fails_is_told(checkout: Path) -> None:
    with pytest.raises(RuntimeError, match=r"golden/script[.]py 4: exit code 4"):
        run_part("--report", "", ["golden/script.py", "4"])


def test_a_part_that_ends_with_a_word_has_failed(checkout: Path) -> None:
    with pytest.raises(RuntimeError, match="no such file"):
        run_part("--report", "", ["golden/script.py", "word"])
