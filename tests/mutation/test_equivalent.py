"""The list of equivalent mutants and the plan speak of lines and files that are there."""

from __future__ import annotations

import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def test_equivalent_mutants_change_lines_that_are_there() -> None:
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))["mutant"]
    assert listed
    for one in listed:
        assert set(one) == {"file", "before", "after", "why"}
        lines = [line.strip() for line in (ROOT / one["file"]).read_text(encoding="utf-8").splitlines()]
        assert one["before"] in lines, one
        assert one["after"] != one["before"]
        assert one["why"]
    keys = [(one["file"], one["before"], one["after"]) for one in listed]
    assert len(set(keys)) == len(keys)


def test_the_plan_names_files_and_tests_that_are_there() -> None:
    for entry in tomllib.loads((HERE / "plan.toml").read_text(encoding="utf-8"))["files"]:
        for path in [*entry["sources"], *(test for tests in entry["rounds"] for test in tests)]:
            assert (ROOT / path).exists(), path
