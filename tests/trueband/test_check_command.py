"""`trueband check` and `trueband repro`, as a user runs them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

KERNELS = Path(__file__).with_name("array_kernels.py")
OF_TORCH = Path(__file__).with_name("kernels.py")
ON_DEVICE = Path(__file__).parents[1] / "properties" / "candidate" / "devices" / "kernels.py"  # of a stand-in


def trueband(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trueband", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.evidence
def test_a_right_kernel_passes() -> None:
    run = trueband("check", f"{OF_TORCH}:right", "--cases", 150)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "checks passed" in run.stdout
    assert "Not claimed by the target, and not checked: separate_globals, causal" in run.stdout


@pytest.mark.evidence
@pytest.mark.parametrize("kernel", ["window_one_short", "global_key_twice", "reads_padding"])
def test_a_wrong_kernel_is_rejected_with_a_small_case_that_reproduces(
    kernel: str, tmp_path: Path, trueband_here: Callable[..., Any]
) -> None:
    report = tmp_path / "records.jsonl"
    run = trueband("check", f"{KERNELS}:{kernel}", "--cases", 600, "--json", report)
    assert run.returncode == 1
    head, *records, covered = map(json.loads, report.read_text().splitlines())
    assert (head["record"], head["dtypes"]) == ("run", ["float32"])
    assert covered["record"] == "covered"
    assert covered["forward"]["sizes"]["tokens"][0] == 1
    failed = [record for record in records if record["status"] == "failed"]
    assert {"small_world", "mask_decoding", "matches_reference"} <= {record["check"] for record in failed}
    assert max(record["case"]["tokens"] for record in failed) <= 8
    assert all(record["verdict"]["error"] > record["verdict"]["bound"] for record in failed if record["verdict"])

    line = failed[0]["reproduce"]
    assert line in run.stdout
    again = trueband_here(*shlex.split(line)[1:])
    assert again.returncode == 1
    assert failed[0]["message"] in again.stdout
    fixed = trueband_here(*shlex.split(line)[1:-1], f"{KERNELS}:right")
    assert fixed.returncode == 0
    assert "passed" in fixed.stdout


def test_the_first_failure_can_end_the_run(trueband_here: Callable[..., Any]) -> None:
    run = trueband_here("check", f"{KERNELS}:window_one_short", "--cases", 60, "-x")
    assert run.returncode == 1
    assert "1 of 1 checks FAILED" in run.stdout


def test_a_dying_kernel_is_told_apart(trueband_here: Callable[..., Any]) -> None:
    run = trueband_here("check", f"{KERNELS}:dies", "--cases", 10, "-k", "matches_reference")
    assert run.returncode == 3
    assert "exit code 7" in run.stdout


def test_junit_has_every_check_and_every_failure(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    report = tmp_path / "junit.xml"
    run = trueband_here(
        "check",
        f"{KERNELS}:window_one_short",
        "--cases",
        60,
        "--junit",
        report,
        "-k",
        "mask_decoding or masked_rows_are",
    )
    assert run.returncode == 1
    suites = ElementTree.parse(report).getroot()
    cases = {case.get("name"): case for case in suites.iter("testcase")}
    assert set(cases) == {"mask_decoding", "masked_rows_are_zero"}
    assert cases["masked_rows_are_zero"].find("failure") is None
    failure = cases["mask_decoding"].find("failure")
    assert failure is not None
    assert "trueband repro" in (failure.text or "")


def test_an_interrupt_keeps_what_had_finished(tmp_path: Path, interrupted: Any) -> None:
    report = tmp_path / "records.jsonl"
    asked = ["check", f"{KERNELS}:right", "--cases", "200000", "--json", str(report)]
    stdout, stderr = interrupted([sys.executable, "-m", "trueband", *asked], report, 2)
    assert "interrupted" in stderr
    assert "small_world" in stdout
    assert all(json.loads(line) for line in report.read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.py:kernel"], "expected a file, got 'nowhere.py', which does not exist"),
        (["check", "no_such_module:kernel"], "cannot import no_such_module: ModuleNotFoundError"),
        (["check", f"{KERNELS}:nothing"], "expected a callable 'nothing'"),
        (["check", "kernel"], "expected module:callable, file.py:callable or one of chunked, chunked-ranks, triton, "),
        (["check", f"{KERNELS}:right", "--dtype", "int8"], "--dtype: expected some of float64"),
        (["check", f"{OF_TORCH}:right", "--device", "nowhere"], "device: expected one that torch can use"),
        (
            ["check", f"{OF_TORCH}:right", "--device", "cuda:99"],
            "device: expected one that torch can use, got 'cuda:99'",
        ),
        (["check", f"{KERNELS}:right", "--device", "cuda"], "device: expected 'cpu' for a numpy target, got 'cuda'"),
        (["check", f"{ON_DEVICE}:right_target", "--device", "cuda:1"], "device: expected one of cuda:0, got 'cuda:1'"),
        (["check", f"{KERNELS}:right", "-k", "nothing_of_this_name"], "-k: expected a part of a check's name"),
        (["check", f"{KERNELS}:right", "--suite", "golden"], "--suite: expected operator"),
        (["check", f"{KERNELS}:right", "-k", "not a and not b"], "-k: expected parts of names, as a, 'a or b'"),
        (["check", f"{KERNELS}:right", "--shapes", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["check", f"{KERNELS}:right", "--json", "no/such/folder/file"], "no/such/folder/file"),
        (["repro", "nonsense", f"{KERNELS}:right"], "CASE: expected a JSON line"),
        (["repro", "[]", f"{KERNELS}:right"], "CASE: expected a JSON object"),
        (["repro", '{"check":"mask_decoding","case":{"tokens":0,"window":1}}', f"{KERNELS}:right"], "tokens: expected"),
        (["repro", '{"check":"nothing","case":{"tokens":1,"window":1}}', f"{KERNELS}:right"], "check: expected one of"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, trueband_here: Callable[..., Any]
) -> None:
    run = trueband_here(*arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("arguments", [["check", "--cases", "0"], ["check", "--tier", "huge"], [], ["golden"]])
def test_wrong_options_are_exit_code_2(arguments: list[str], trueband_here: Callable[..., Any]) -> None:
    run = trueband_here(*arguments)
    assert run.returncode == 2
    assert "usage: trueband" in run.stderr


def test_missing_weights_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    run = trueband("check", "--suite", "golden", TRUEBAND_CACHE=str(tmp_path), PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert run.returncode == 2
    assert "sapiens==1.0.4" in run.stderr
    assert "trueband golden fetch --from" in run.stderr


def test_a_broken_file_in_the_cache_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = tmp_path / "sapiens-1.0.4"
    folder.mkdir()
    for name in ("checkpoint_vh.pt", "checkpoint_vl.pt", "dict.txt"):
        (folder / name).write_bytes(b"broken")
    run = trueband("check", "--suite", "golden", TRUEBAND_CACHE=str(tmp_path))
    assert run.returncode == 2
    assert "checkpoint_vh.pt: expected sha256 43254666e9ac" in run.stderr


@pytest.mark.evidence
def test_the_package_checks_itself_on_published_weights() -> None:
    names = "sapiens_scores or longformer_window_64_all_global or lf_tiny or single_token"
    run = trueband("check", "--cases", 40, "-k", names)
    assert run.returncode == 0, run.stdout + run.stderr
    for part in ("sapiens_scores", "lf_tiny_layer_local", "reference", "optimized", "bfloat16", "checks passed"):
        assert part in run.stdout


def test_help_tells_the_commands_and_the_exit_codes(trueband_here: Callable[..., Any]) -> None:
    run = trueband_here("--help")
    assert run.returncode == 0
    for part in ("check", "repro", "golden", "exit codes", "a check failed"):
        assert part in run.stdout
    assert "TARGET" in trueband_here("check", "--help").stdout
