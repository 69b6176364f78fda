"""The plugin of pytest: inert unless asked; one test for each check and dtype."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).with_name("array_kernels.py")
SUITE = """
import trueband
from own_kernels import right, window_one_short

@trueband.parametrize_with_checks(
    [right, window_one_short], cases=30, select="mask_decoding or single_token",
)
def test_kernel(check):
    check()

def test_something_else():
    pass
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite of somebody else's: two kernels beside a test that uses them."""
    (tmp_path / "own_kernels.py").write_text(KERNELS.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "test_own.py").write_text(SUITE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = --strict-markers\n", "utf-8")
    return tmp_path


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.evidence
@pytest.mark.parametrize("workers", [("-n", "2"), ("-p", "no:xdist")])
def test_a_test_function_is_called_with_each_check(suite: Path, workers: tuple[str, ...]) -> None:
    made = run_pytest(suite, "-v", *workers)
    assert made.returncode == pytest.ExitCode.TESTS_FAILED, made.stdout
    assert "1 failed, 4 passed" in made.stdout
    for name in ("right-mask_decoding-float32", "right-single_token-float32", "short-single_token-float32"):
        assert name in made.stdout
    assert "FAILED test_own.py::test_kernel[own_kernels:window_one_short-mask_decoding-float32]" in made.stdout
    assert """trueband repro '{"check":"mask_decoding","case":{"tokens":2,"window":1}}' own_kernels:""" in made.stdout


@pytest.mark.evidence
def test_a_target_of_the_command_line_is_a_test_for_each_check_and_dtype(suite: Path) -> None:
    known = suite / "known.json"
    case = '{"tokens": 2, "window": 1, "family": "integer"}'
    known.write_text(f'{{"reachability": {{"reason": "the window is one short", "case": {case}}}}}', encoding="utf-8")
    made = run_pytest(
        suite,
        "--trueband-target=own_kernels.py:window_one_short",
        "--trueband-cases=30",
        f"--trueband-expected-failures={known}",
        "--trueband-dtype=float32",
        "-m",
        "trueband",
        "-rA",
        "--deselect=test_own.py",
        "-k",
        "mask_decoding or reachability or masked_rows_are",
    )
    assert made.returncode == pytest.ExitCode.TESTS_FAILED, made.stdout
    assert "1 failed, 1 passed" in made.stdout
    assert "1 xfailed" in made.stdout
    assert "row 0 sees the keys [0] instead of [0, 1]" in made.stdout
    assert "  claim      with queries 0 and one-hot values" in made.stdout
    assert "XFAIL trueband::own_kernels.py:window_one_short::reachability[float32] - the window is one" in made.stdout


@pytest.mark.evidence
@pytest.mark.parametrize("workers", [("-n", "2"), ("-p", "no:xdist")])
def test_a_gate_tells_its_seed_when_all_is_over(suite: Path, workers: tuple[str, ...]) -> None:
    some = (
        "--trueband-target=own_kernels.py:right",
        "--trueband-cases=30",
        "--trueband-dtype=float32",
        "--trueband-select=mask_decoding or single_token",
        "--deselect=test_own.py",
    )
    made = run_pytest(suite, *some, "--trueband-gate", "-v", *workers)
    assert made.returncode == pytest.ExitCode.OK, made.stdout
    assert "trueband::own_kernels.py:right::second_process[float32]" in made.stdout
    assert re.search(r"^trueband: the secret seed was \d+; the same cases again: seed \d+", made.stdout, re.MULTILINE)
    made = run_pytest(suite, *some, "--trueband-gate", "--trueband-seed=1")
    assert "--trueband-seed cannot be used with --trueband-gate: a gate draws its own seed" in made.stdout


@pytest.mark.evidence
def test_what_cannot_be_loaded_is_an_error_of_the_collection(suite: Path) -> None:
    made = run_pytest(suite, "--trueband-target=own_kernels.py:nothing", "--trueband-target=chunk", "test_own.py")
    assert made.returncode == pytest.ExitCode.INTERRUPTED
    assert "ERROR trueband::own_kernels.py:nothing" in made.stdout
    assert "target: expected a callable 'nothing' in own_kernels.py, got none of that name" in made.stdout
    assert "ERROR trueband::chunk" in made.stdout
    (suite / "test_own.py").write_text(SUITE.replace("test_kernel(check)", "test_kernel()"), encoding="utf-8")
    made = run_pytest(suite)
    assert "test_kernel: expected an argument `check` with parametrize_with_checks, got none" in made.stdout


@pytest.mark.evidence
def test_a_kernel_may_stand_in_the_file_of_its_tests(suite: Path) -> None:
    kernel = "\n\ndef passes(query, key, value, *, window):\n    return right(query, key, value, window=window)\n\n"
    text = SUITE.replace("\n\n@", f"{kernel}\n@").replace("[right, window_one_short]", "[passes]")
    (suite / "test_own.py").write_text(f"import numpy\n{text}", encoding="utf-8")  # the library of its arrays
    made = run_pytest(suite)
    assert "3 passed" in made.stdout, made.stdout


def test_targets_that_are_no_list_are_told() -> None:
    import trueband

    with pytest.raises(TypeError, match="targets: expected a list of targets, got 'one:kernel'"):
        trueband.parametrize_with_checks("one:kernel")


def test_the_plugin_loads_nothing_and_does_nothing_unless_asked(suite: Path) -> None:
    (suite / "test_own.py").write_text("def test_nothing():\n    pass\n", encoding="utf-8")
    script = (
        "import sys, pytest\nbefore = set(sys.modules)\n"
        "code = pytest.main(['-q', '-p', 'no:xdist', '-p', 'no:hypothesispytest'])\n"
        "heavy = ('trueband', 'numpy', 'torch', 'hypothesis')\n"
        "print(int(code), sorted(name for name in sys.modules if name.split('.')[0] in heavy))\n"
    )
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=suite)
    loaded = ["pytest_plugin", "session", "session.gate_seed", "session.request", "session.request_error"]
    assert made.stdout.endswith(f"0 {['trueband', *(f'trueband.{name}' for name in loaded)]}\n"), made.stdout
    assert "1 passed" in made.stdout
