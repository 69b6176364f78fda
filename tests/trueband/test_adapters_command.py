"""Names of targets, `trueband targets`, expected failures and model targets, as a user meets them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.adapters import names
from trueband.adapters.names import SHIPPED, Named, named_targets, resolve
from trueband.properties.candidate.target import TargetError
from trueband.properties.gpu.triton_version import EXECUTE, refusal

KERNELS = Path(__file__).with_name("array_kernels.py")
LINE = '{"check":"matches_reference","case":{"tokens":3,"window":1}}'


def trueband(*arguments: object, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    command = [sys.executable, "-m", "trueband", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A distribution that declares two targets: one that loads, one that does not."""
    (tmp_path / "their_kernels.py").write_text(KERNELS.read_text(encoding="utf-8"), encoding="utf-8")
    info = tmp_path / "their_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-kernels\nVersion: 1.0\n", encoding="utf-8")
    points = "[trueband.targets]\ntheirs = their_kernels:right\nlost = their_kernels:nothing\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    return tmp_path


def test_the_targets_are_listed_with_what_they_can_do_and_whether_they_are_there(plugin: Path) -> None:
    run = trueband("targets", "--json", path=plugin)
    assert run.returncode == 0, run.stderr
    told = {one["name"]: one for one in json.loads(run.stdout)}
    assert set(SHIPPED) <= set(told)
    unfit = {name: refusal(EXECUTE[level]) for level in EXECUTE for name in told if name.startswith(f"ptx-sm{level}")}
    assert {name: one["problem"] for name, one in told.items() if not one["installed"] and name != "lost"} == {
        name: problem for name, problem in unfit.items() if problem
    }
    assert told["chunked"]["features"] == sorted(told["chunked"]["features"])
    assert "globals" in told["hf-led"]["features"]
    assert "globals" not in told["local-attention"]["features"]
    assert told["hf-led"]["declared"] == ["window: from 2 on", "float64 accumulates in float32"]
    assert (told["theirs"]["origin"], told["theirs"]["features"]) == (
        "their-kernels",
        ["any_window", "deterministic", "deterministic_gradients", "globals", "padding", "strided"],
    )
    assert "none of that name" in told["lost"]["problem"]
    plain = trueband("targets", path=plugin)
    assert plain.returncode == 0
    for part in ("hf-longformer", "not installed: target: expected a callable 'nothing'", "architectures: xlm-roberta"):
        assert part in plain.stdout


def test_an_entry_point_is_checked_and_reproduced_by_its_name(plugin: Path) -> None:
    run = trueband("check", "theirs", "--cases", 30, "-k", "mask_decoding", path=plugin)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "theirs: checks by dtype" in run.stdout
    assert trueband("repro", LINE, "theirs", path=plugin).returncode == 0


def test_a_name_that_two_packages_give_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Named("chunked", "other.package:kernel", "", origin="other")
    monkeypatch.setattr(names, "named_targets", lambda: [*named_targets(), mine])
    with pytest.raises(
        TargetError, match="expected one target of the name 'chunked', got one of each of trueband, other"
    ):
        resolve("chunked")


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Named("fancy", "fancy.kernels:target", "", ("fancy-kernels",))
    monkeypatch.setattr(names, "named_targets", lambda: [lacking])
    with pytest.raises(TargetError, match=r"expected fancy-kernels for 'fancy', .*: pip install fancy-kernels"):
        resolve("fancy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "hf-bert"], "expected module:callable, file.py:callable or one of chunked, chunked-ranks, triton, "),
        (["check", "hf"], "expected 'hf' to be given as --model-target"),
        (["check", "--model-target", "hf-led"], "expected 'hf-led' to be given as TARGET"),
        (["check", "--model-target", "nowhere:factory"], "cannot import nowhere"),
        (["check", "--model-target", "hf", "--suite", "golden"], "--suite: expected models with --model-target"),
        (["check", "sdpa", "--expected-failures", "no/such.json"], "no/such.json"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, trueband_here: Callable[..., Any]
) -> None:
    run = trueband_here(*arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


def test_failures_that_a_user_expects_are_told_apart(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    file, report, junit = tmp_path / "known.json", tmp_path / "records.jsonl", tmp_path / "junit.xml"
    file.write_text(json.dumps({"mask_decoding": "the window is one short", "small_world": "the same"}))
    given = ("check", f"{KERNELS}:window_one_short", "--cases", 30, "--expected-failures", file)
    run = trueband_here(*given, "-k", "mask_decoding or small_world", "--json", report, "--junit", junit)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Failed as expected:" in run.stdout
    assert "the window is one short: mask_decoding [float32]" in run.stdout
    assert "0 checks passed, 2 failed as expected" in run.stdout
    records = [json.loads(line) for line in report.read_text().splitlines()][1:-1]
    assert [(each["status"], each["case"]["tokens"]) for each in records] == [("expected", 2)] * 2
    assert "failed as expected: the window is one short" in junit.read_text()

    run = trueband_here("check", f"{KERNELS}:right", "--cases", 30, "--expected-failures", file, "-k", "mask_decoding")
    assert run.returncode == 1
    assert "expected to fail (the window is one short), passes now" in run.stdout

    for wrong in ("mask_decodings", "causality"):  # no check; one that does not apply to this kernel
        file.write_text(json.dumps({wrong: "reason"}))
        run = trueband_here(*given)
        assert run.returncode == 2
        assert f"expected names of checks that apply to the target, got '{wrong}'" in run.stderr


def test_a_shipped_target_is_checked_against_its_file(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    pattern = "masked_content_is_ignored or masked_rows_are"
    run = trueband_here("check", "local-attention", "--cases", 20, "--dtype", "float32", "-k", pattern)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 checks passed, 1 failed as expected" in run.stdout
    none = tmp_path / "none.json"
    none.write_text("{}")
    run = trueband_here(
        "check", "local-attention", "--cases", 20, "--dtype", "float32", "-k", pattern, "--expected-failures", none
    )
    assert run.returncode == 1
    assert "FAILED masked_content_is_ignored [float32]" in run.stdout


def test_models_of_others_are_checked_and_reproduced(trueband_here: Callable[..., Any]) -> None:
    run = trueband_here("check", "--model-target", "hf", "-k", "head_masks")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "head masks are gone since 5.0" in run.stdout
    line = '{"check":"head_masks","case":{"architecture":"xlm-roberta","tokens":2,"dtype":"float64"}}'
    assert trueband_here("repro", line, "hf").returncode == 1
    assert trueband_here("repro", line).returncode == 0
