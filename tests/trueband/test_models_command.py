"""The model checks and the commands for checkpoints, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


def test_the_models_are_checked_by_architecture(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    report = tmp_path / "records.jsonl"
    run = trueband_here("check", "--suite", "models", "-k", "logits or default_globals or greedy", "--json", report)
    assert run.returncode == 0, run.stdout + run.stderr
    head, *records, covered = [json.loads(line) for line in report.read_text().splitlines()]
    assert (head["record"], covered["record"]) == ("run", "covered")
    assert head["machine"]["torch"] == torch.__version__  # models run in the command's process
    assert covered["models"]["layers"][0] >= 1
    assert {(record["check"], record["dtype"]) for record in records} >= {
        ("logits", "led float32"),
        ("logits", "xlm-roberta float64"),
        ("default_globals", "longformer float64"),
        ("greedy_tokens", "led float64"),
    }
    for column in ("xlm-roberta", "longformer", "led"):
        assert column in run.stdout


def test_a_case_of_a_model_is_run_again(trueband_here: Callable[..., Any]) -> None:
    case = {"architecture": "led", "tokens": 5, "windows": [2], "masked": [[4]], "global_": [[0]], "target_tokens": 3}
    run = trueband_here("repro", json.dumps({"check": "decoder_layers", "case": case}))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "passed: decoder_layers [led float32]" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repro", '{"check":"logits","case":{"tokens":3}}'], "case: expected architecture, tokens"),
        (["repro", '{"check":"logits","case":{"architecture":"gpt","tokens":3}}'], "architecture: expected one of"),
        (["check", "tests.nothing:kernel", "--suite", "models"], "--suite: expected operator"),
        (["convert", "bart-to-led", "no_such_folder", "made"], "no_such_folder"),
        (["summarize", "no_such_folder", "text.txt"], "DIR: expected a folder"),
    ],
)
def test_a_users_error_is_one_line(arguments: list[str], message: str, trueband_here: Callable[..., Any]) -> None:
    run = trueband_here(*arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_line_of_an_earlier_version_still_runs(trueband_here: Callable[..., Any]) -> None:
    """The package's models stood in another module before; the old name is known in this release."""
    line = '{"check":"encoder_layers","case":{"architecture":"led","tokens":2}}'
    run = trueband_here("repro", line, "trueband.model_witness:OptimizedModels")
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("passed: encoder_layers [led float32]")
