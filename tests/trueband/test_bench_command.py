"""`trueband bench`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from trueband.cli import main

COMMAND = [sys.executable, "-m", "trueband", "bench"]
SMALL = ["--level", "operator", "--window", "8", "--heads", "2", "--head-dim", "8", "--rounds", "2", "--threads", "1"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.evidence
def test_a_table_lines_and_a_plot(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    report, picture = tmp_path / "bench.jsonl", tmp_path / "bench.svg"
    asked = ["--tokens", "64", "128", "--passes", "forward", "--contender", "trueband", "sdpa", "sgemm"]
    files = ["--json", str(report), "--plot", str(picture)]
    run = subprocess.run([*COMMAND, *SMALL, *asked, *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "operator, forward: the attention alone" in run.stdout
    assert "sgemm: the ceiling" in run.stdout
    assert "[2/2] operator forward, window 8, 128 tokens: trueband" in run.stderr
    head, *found = lines(report)
    assert (head["record"], head["threads"], head["rounds"]) == ("run", 1, 2)
    assert [(each["tokens"], each["contender"]) for each in found] == [
        (tokens, name) for tokens in (64, 128) for name in ("trueband", "sgemm", "sdpa")
    ]
    assert all(each["status"] == "measured" and len(each["rounds"]) == 2 and each["seconds"] > 0 for each in found)
    assert [each["memory"] is None for each in found] == [False, True, False] * 2
    drawn = picture.read_text()
    ElementTree.fromstring(drawn)
    picture.unlink()
    again = trueband_here("bench", "--from", report, "--plot", picture)
    assert again.stdout == run.stdout
    assert picture.read_text() == drawn


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"record": "run"}\n', "got none in"),
        ("a table\n", "line 1: JSONDecodeError"),
        ('{"tokens": 3}\n', "line 1: KeyError"),
    ],
)
def test_files_that_are_none_of_its_own(
    tmp_path: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(text, encoding="utf-8")
    assert main(["bench", "--from", str(path)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--json", "made.jsonl"], ["--roofline", "h100"]], ids=str)
def test_nothing_is_measured_with_files(other: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--from", "some.jsonl", *other]) == 2
    assert "--from: expected neither --json nor --roofline" in capsys.readouterr().err


@pytest.mark.evidence
def test_memory_that_is_not_there_is_told_and_longer_texts_are_not_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "bench.jsonl"
    asked = ["--tokens", "8192", "16384", "--passes", "forward", "--contender", "sdpa", "--memory-limit", "16"]
    assert main(["bench", *SMALL, *asked, "--json", str(report)]) == 0
    assert [each["status"] for each in lines(report)[1:]] == ["out of memory", "not tried"]
    out = capsys.readouterr().out
    assert "sdpa, window 8, 16,384 tokens: not tried: out of memory at 8,192 tokens" in out


@pytest.mark.evidence
def test_our_own_failure_is_that_of_the_command() -> None:
    asked = ["--tokens", "8192", "--passes", "forward", "--contender", "trueband", "--memory-limit", "1"]
    assert main(["bench", *SMALL, *asked]) == 3


def test_a_plot_of_one_length_is_refused_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *SMALL, "--tokens", "64", "--plot", str(tmp_path / "plot.svg")]) == 2
    assert "--plot: expected at least two lengths with --tokens, got one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--plot", "absent/plot.svg"], "--plot: expected a file in a folder that is there, got absent/plot.svg"),
        (["--roofline", "a100", "--json", "a.jsonl"], "--json: expected none with --roofline, which measures nothing"),
    ],
)
def test_files_that_would_not_be_written_are_refused_before_anything_runs(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *SMALL, "--tokens", "64", "128", *given]) == 2
    out, error = capsys.readouterr()
    assert message in error
    assert out == ""


def test_contenders_of_other_levels_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *SMALL, "--tokens", "64", "--contender", "hf-led"]) == 5
    assert "nothing ran: hf-led: not installed, or not of these levels and passes" in capsys.readouterr().err


@pytest.mark.parametrize("share", ["1", "-0.1", "half"])
def test_a_share_is_a_number_below_one(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--padding", share])
    assert "expected a number from 0 to below 1" in capsys.readouterr().err


@pytest.mark.evidence
def test_an_interrupt_leaves_what_was_done(tmp_path: Path, interrupted: Any) -> None:
    report, picture = tmp_path / "bench.jsonl", tmp_path / "bench.svg"
    asked = ["--tokens", *map(str, range(64, 4096, 8)), "--contender", "trueband"]  # many, to be still at it
    files = ["--json", str(report), "--plot", str(picture)]
    out, _ = interrupted([*COMMAND, *SMALL, *asked, *files], report, 3)
    assert lines(report)[1]["status"] == "measured"
    ElementTree.parse(picture)
    assert "operator, forward" in out
