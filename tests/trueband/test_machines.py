"""The matrix of machines as a command: what it shows, and that it fails where something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from trueband.properties.candidate.target import WHOLE_CONTRACT
from trueband.properties.results.machine import machine

TOOLS = Path(__file__).resolve().parents[2] / "tools"
KERNELS = Path(__file__).with_name("kernels.py")
sys.path.insert(0, str(TOOLS))
import machines  # noqa: E402
from machines import Broken, Checked, held_to_bits, judged_under_call, lacking  # noqa: E402

COMMAND = [sys.executable, str(TOOLS / "machines.py")]
ROWS_PROMISED = 20
NUMPY_KERNEL = """
import numpy as np

def right(query, key, value, *, window):
    place = np.arange(query.shape[2])
    scores = np.einsum("bhid,bhjd->bhij", query, key) / query.dtype.type(query.shape[3] ** 0.5)
    scores = np.where(abs(place[:, None] - place) <= window, scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    with np.errstate(all="ignore"):
        return np.einsum("bhij,bhjd->bhid", weights / weights.sum(axis=-1, keepdims=True), value)
"""
# The shapes of production cost a dense kernel minutes.
SHORT = """
import sys
sys.path.insert(0, {folder!r})
import kernels, trueband

def limited(kernel):
    def called(query, key, value, *, window, attention_mask=None, global_attention_mask=None):
        if query.shape[2] > 130:
            raise ValueError("expected at most 130 tokens")
        return kernel(query, key, value, window=window, attention_mask=attention_mask,
                      global_attention_mask=global_attention_mask)
    return called

sizes = dict(tokens=trueband.Sizes(most=130))
declared = trueband.Target(limited(kernels.right), sizes=sizes)
undeclared = trueband.Target(limited(kernels.right), sizes=sizes, features=frozenset(("padding", "globals")))
wrong = trueband.Target(limited(kernels.window_one_short), sizes=sizes)
"""


def short(folder: Path) -> Path:
    """A file of kernels that take short sequences."""
    file = folder / "short.py"
    file.write_text(SHORT.format(folder=str(KERNELS.parent)), encoding="utf-8")
    return file


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | variables
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def cells(file: Path) -> list[tuple[str, str, str]]:
    head, *lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert (head["record"], head["machine"]["torch"] != "") == ("machines", True)
    assert all(line["record"] == "cell" for line in lines)
    return [(line["row"], line["column"], line["status"]) for line in lines]


@pytest.mark.evidence
def test_a_wrong_kernel_fails_its_cell_and_the_command(tmp_path: Path) -> None:
    done = run("--target", f"{short(tmp_path)}:wrong", "--rows", "default", "--cases", 40, "--json", tmp_path / "all")
    assert done.returncode == 1, done.stderr
    assert cells(tmp_path / "all") == [("default", "operator", "FAILED")]
    first, line, *_, last = done.stdout.splitlines()
    assert first.startswith(str(machine()["processor"]))
    assert line.startswith("default, operator: FAILED: ")
    assert "small_world [float32]" in line
    assert last == "1 of 1 cells FAILED"


@pytest.mark.evidence
def test_right_kernels_are_judged_by_what_they_declare_on_a_legal_blas(tmp_path: Path) -> None:
    rows, amount = ("--rows", "legal align", "legal call"), ("--tier", "ci", "--cases", 40)
    file = short(tmp_path)
    done = run("--target", f"{file}:declared", *rows, *amount, "--json", tmp_path / "declared")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cells(tmp_path / "declared") == [("legal align", "operator", "ok"), ("legal call", "operator", "ok")]
    assert "legal call, operator: ok declared: " in done.stdout
    assert "that need it fail, as they must" in done.stdout
    done = run("--target", f"{file}:undeclared", "--rows", "legal call", *amount)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "legal call, operator: ok undeclared: " in done.stdout


@pytest.mark.evidence
def test_a_run_that_has_not_called_the_library_has_shown_nothing(tmp_path: Path) -> None:
    (tmp_path / "by_numpy.py").write_text(NUMPY_KERNEL, encoding="utf-8")
    target = f"{tmp_path / 'by_numpy.py'}:right"
    done = run("--target", target, "--rows", "legal shape", "--cases", 6, "--json", tmp_path / "all")
    assert done.returncode == 1
    assert cells(tmp_path / "all") == [("legal shape", "operator", "FAILED")]
    assert "no process has called the library" in done.stdout


@pytest.mark.parametrize(("variables", "code"), [({}, 0), ({"CI": "true"}, 1)])
def test_a_machine_without_a_compiler_says_so_and_fails_in_ci(
    variables: dict[str, str], code: int, tmp_path: Path
) -> None:
    done = run("--rows", "legal place", "--columns", "operator", PATH=str(tmp_path), CC="", **variables)
    assert done.returncode == code, done.stdout + done.stderr
    told = "legal place, operator: unsupported: legal_blas: expected a C compiler (cc, gcc, clang, or CC), got none"
    assert told in done.stdout


@pytest.mark.evidence
def test_the_tests_of_a_row_fail_it_by_their_names(tmp_path: Path) -> None:
    file = tmp_path / "test_of_the_row.py"
    file.write_text(
        "import os\ndef test_right(): assert os.environ['ATEN_CPU_CAPABILITY'] == 'default'\n"
        "def test_wrong(): assert 'MKL_CBWR' not in os.environ\n",
        encoding="utf-8",
    )
    asked = ("--rows", "ATEN_CPU_CAPABILITY=default", "--columns", "tests", "--tests", file)
    done = run(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests: ok 2 passed" in done.stdout
    done = run(*asked, MKL_CBWR="AVX2")
    assert done.returncode == 1
    assert "tests: FAILED: 1 failed, 1 passed; FAILED " in done.stdout
    assert "test_of_the_row.py::test_wrong" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rows", "default", "legal"], f"--rows: expected some of {', '.join(machines.ROWS)}, got 'legal'"),
        (["--columns", "model"], "--columns: expected some of operator, models, golden, tests, got 'model'"),
        (["--cases", "0"], "--cases: expected an int >= 1, got 0"),
        (["--json", "/nowhere/all"], "[Errno 2] No such file or directory: '/nowhere/all'"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert machines.main(arguments) == 2
    assert capsys.readouterr() == ("", f"machines.py: error: {told}\n")


@pytest.mark.evidence
def test_an_interrupt_leaves_what_had_finished(
    tmp_path: Path, interrupted: Callable[[list[str], Path, int], tuple[str, str]]
) -> None:
    report = tmp_path / "all"
    command = [*COMMAND, "--target", f"{KERNELS}:right", "--rows", "default", "seed 1", "seed 2", "--cases", "6"]
    out, error = interrupted([*command, "--json", str(report)], report, 2)
    assert cells(report)[0] == ("default", "operator", "ok")
    *_, line, _, _ = out.rstrip().splitlines()
    assert line.startswith(("default ", "seed 1 "))
    assert error == "machines.py: interrupted; the above had finished\n"


def test_the_help_names_every_row_and_the_rows_have_different_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        machines.main(["--help"])
    assert ended.value.code == 0
    told = " ".join(capsys.readouterr().out.split())
    assert len(machines.ROWS) == ROWS_PROMISED
    assert all(row in told for row in machines.ROWS)
    assert all(row in machines.ROWS for tier in machines.TIERS.values() for row in tier.rows)


def test_a_row_that_its_library_does_not_follow_is_told() -> None:
    row = machines.ROWS["ATEN_CPU_CAPABILITY=avx2"]
    assert lacking({"aten": "AVX2"}, row.told) == ""
    assert lacking({"aten": "DEFAULT"}, row.told) == "expected aten AVX2, got DEFAULT"
    assert lacking({}, row.told) == "expected aten AVX2, got none"
    assert lacking({"threads": 2}, machines.ROWS["OMP_NUM_THREADS=2"].told) == ""
    assert (
        lacking({"torch_blas": "openblas"}, machines.ROWS["legal call"].told) == "expected torch_blas MKL, got openblas"
    )


ALL = WHOLE_CONTRACT


def found(features: Collection[str], *failed: str) -> Checked:
    return Checked(frozenset(features), 100, {name: [f"{name} [float32]"] for name in failed})


def test_under_a_counter_exactly_what_is_declared_fails() -> None:
    held = held_to_bits("operator", ALL)
    assert {"deterministic", "stateless", "batch_invariance"} <= held
    assert "matches_reference" not in held
    assert held - held_to_bits("operator", ALL - {"batch_invariant"}) == {
        "batch_invariance",
        "duplicate_rows",
        "sequence_alone_at_size",
    }
    assert held_to_bits("operator", ALL - {"batch_invariant", "deterministic", "deterministic_gradients"}) == set()
    assert "causality" not in held_to_bits("operator", ALL - {"causal"})
    assert held_to_bits("models", {"deterministic"}) == {"deterministic", "autocast", "dropout_seeds"}

    few = {"deterministic", "padding"}
    assert judged_under_call("operator", found(ALL, *held), whole=True)
    assert judged_under_call("operator", found(few, *held_to_bits("operator", few)), whole=True)
    assert judged_under_call("operator", found(ALL, "deterministic"), whole=False)
    assert judged_under_call("operator", found(()), whole=True) == "undeclared: 100 checks"
    for given, whole, told in (
        (found(ALL), False, "expected to fail, as they need deterministic: deterministic$"),
        (found(ALL, "deterministic"), True, "expected to fail, .*stateless"),
        (found(ALL, *held, "matches_reference"), True, r"expected to pass, .*: matches_reference \[float32\]$"),
        (found((), "stateless"), False, r"expected to pass, .*: stateless \[float32\]$"),
        (found(few, *held_to_bits("operator", few), "duplicate_rows"), True, "expected to pass, .*duplicate_rows"),
    ):
        with pytest.raises(Broken, match=told):
            judged_under_call("operator", given, whole=whole)
