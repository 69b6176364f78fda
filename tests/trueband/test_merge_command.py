"""Campaigns as a user runs them: in shards, killed and continued, and merged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.commands.merge import merge, missing
from trueband.properties.results.histogram import BINS, empty
from trueband.properties.running.campaign import Block, Shard, block_keys
from trueband.properties.running.plan import Plan
from trueband.session.campaign_file import CampaignFile, read_campaign

pytestmark = pytest.mark.evidence

KERNELS = Path(__file__).with_name("array_kernels.py")
RIGHT = ("check", f"{KERNELS}:right", "--tier", "nightly", "-k", "single_token or masked_rows_are_zero")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_shards_make_one_campaign(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    files = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for index, file in enumerate(files, start=1):
        run = trueband_here(*RIGHT, "--cases", 90, "--shard", f"{index}/2", "--json", file)
        assert run.returncode == 0, run.stdout + run.stderr
        assert f"shard {index}/2" in run.stdout

    half = trueband_here("merge", files[0])
    assert half.returncode == 2
    assert "got files without shard 2/2" in half.stderr
    assert half.stderr.count("\n") == 1
    partial = trueband_here("merge", "--partial", files[0])
    assert partial.returncode == 0
    assert "missing: shard 2/2" in partial.stderr

    out = tmp_path / "sum.jsonl"
    whole = trueband_here("merge", *files, "--json", out)
    assert whole.returncode == 0, whole.stderr
    assert "0 alarms in 90 cases" in whole.stdout
    assert "error/bound" in whole.stdout
    head, *records = lines(out)
    assert (head["record"], head["complete"], head["shard"]) == ("run", True, "")
    assert sum(record["cases"] for record in records) == 90
    assert sum(sum(record["histogram"]) for record in records) == 90


def test_a_killed_run_goes_on_and_repeats_nothing(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    file = tmp_path / "campaign.jsonl"
    command = (*RIGHT, "--cases", 4000, "--json", file, "--resume")
    process = subprocess.Popen(
        [sys.executable, "-m", "trueband", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not file.exists() or file.read_text().count("\n") < 3:
        assert process.poll() is None
        time.sleep(0.02)
    # Stopped, not running: on a busy machine it would otherwise be done before the second has started.
    process.send_signal(signal.SIGSTOP)
    busy = trueband_here(*command)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert busy.returncode == 2
    assert "is being written by another process" in busy.stderr

    kept = file.read_text().rpartition("\n")[0]
    with file.open("a") as torn:
        torn.write('{"record":"block","check":"sing')
    run = trueband_here(*command)
    assert run.returncode == 0, run.stderr
    assert "0 alarms in 4,000 cases" in run.stdout
    assert file.read_text().startswith(kept)
    _, blocks = read_campaign(file)
    assert len({block.key for block in blocks}) == len(blocks) > len(kept.splitlines())
    assert f"{len(kept.splitlines()) - 1} of {len(blocks)} blocks are in" in run.stderr

    other = trueband_here(*RIGHT, "--cases", 4000, "--json", file, "--resume", "--seed", 1)
    assert other.returncode == 2
    assert "is of another run: expected seed 0, got 1" in other.stderr
    again = trueband_here(*RIGHT, "--cases", 4000, "--json", file)
    assert again.returncode == 2
    assert "--resume goes on with it" in again.stderr


def test_alarms_of_a_campaign_are_told_with_a_way_to_see_them(
    tmp_path: Path, trueband_here: Callable[..., Any]
) -> None:
    file, report = tmp_path / "wrong.jsonl", tmp_path / "junit.xml"
    run = trueband_here(
        "check",
        f"{KERNELS}:window_one_short",
        "--tier",
        "nightly",
        "-k",
        "matches_reference",
        "--cases",
        60,
        "--json",
        file,
        "--junit",
        report,
    )
    assert run.returncode == 1
    assert "trueband repro" in run.stdout
    assert "trueband repro" in report.read_text()
    merged = trueband_here("merge", file)
    assert merged.returncode == 1
    assert "FAILED matches_reference [float32]" in merged.stdout
    assert "alarms in 60 cases" in merged.stdout


WRONG = (
    "check",
    f"{KERNELS}:window_one_short",
    "--tier",
    "nightly",
    "--cases",
    6,
    "-k",
    "matches_reference or single_token",
)
CASE = {"tokens": 2, "window": 1, "seed": 3}


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known.json"
    path.write_text(json.dumps({"matches_reference": {"reason": "one short", "case": CASE}}))
    return path


def test_expected_failures_of_a_campaign_are_no_alarms(
    tmp_path: Path, known: Path, trueband_here: Callable[..., Any]
) -> None:
    files = [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for index, file in enumerate(files, start=1):
        run = trueband_here(*WRONG, "--shard", f"{index}/2", "--json", file, "--expected-failures", known)
        assert run.returncode == 0, run.stdout + run.stderr
    page, junit = tmp_path / "page.html", tmp_path / "junit.xml"
    merged = trueband_here("merge", *files, "--html", page, "--junit", junit)
    assert merged.returncode == 0, merged.stdout + merged.stderr
    assert "0 alarms in" in merged.stdout
    assert "1 checks failed as expected" in merged.stdout
    assert "one short: matches_reference [float32]" in merged.stdout
    assert "one short" in page.read_text()
    assert "failed as expected: one short" in junit.read_text()


def test_a_known_case_is_tried_once_in_one_shard(
    tmp_path: Path, known: Path, trueband_here: Callable[..., Any]
) -> None:
    counts = []
    for index in (1, 2):
        file = tmp_path / f"{index}.jsonl"
        trueband_here(
            *WRONG[:-1], "matches_reference", "--shard", f"{index}/2", "--json", file, "--expected-failures", known
        )
        (block,) = read_campaign(file)[1]
        assert block.total == 7  # six and the known one
        counts.append(block.cases)
    assert sum(counts) == 7


def test_an_expected_failure_that_passes_is_told_when_all_is_there(
    tmp_path: Path, trueband_here: Callable[..., Any]
) -> None:
    known = tmp_path / "stale.json"
    known.write_text(json.dumps({"single_token": {"reason": "was wrong", "case": {"tokens": 1, "window": 0}}}))
    right, files = (*RIGHT, "--cases", 6, "--expected-failures", known), [tmp_path / "1.jsonl", tmp_path / "2.jsonl"]
    for index, file in enumerate(files, start=1):
        run = trueband_here(*right, "--shard", f"{index}/2", "--json", file)
        assert run.returncode == 0, run.stdout + run.stderr  # the other shard may fail
    for whole in (trueband_here("merge", *files), trueband_here(*right)):
        assert whole.returncode == 1
        assert "expected to fail (was wrong), passes now" in whole.stdout
        assert "0 alarms in" in whole.stdout
        assert "1 expected to fail, and passed" in whole.stdout


def test_a_campaign_has_a_page_with_pictures(tmp_path: Path, trueband_here: Callable[..., Any]) -> None:
    page = tmp_path / "page.html"
    run = trueband_here(*WRONG, "--html", page)
    assert run.returncode == 1
    assert "does see" in page.read_text()  # the caption of a picture of a failure
    assert "trueband repro" in page.read_text()


def test_a_refused_campaign_leaves_the_page_of_the_one_before(
    tmp_path: Path, trueband_here: Callable[..., Any]
) -> None:
    file, page = tmp_path / "campaign.jsonl", tmp_path / "page.html"
    command = (*RIGHT, "--cases", 6, "--json", file, "--html", page)
    assert trueband_here(*command).returncode == 0
    before = page.read_text()
    assert trueband_here(*command).returncode == 2
    assert page.read_text() == before


def test_files_from_before_expected_failures_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    old = {name: value for name, value in HEAD.items() if name != "expected_failures"}
    file.write_text(json.dumps(old) + "\n")
    assert read_campaign(file)[0] == HEAD


def test_an_interrupted_campaign_says_how_to_go_on(tmp_path: Path, interrupted: Any) -> None:
    file = tmp_path / "campaign.jsonl"
    command = [sys.executable, "-m", "trueband", *RIGHT, "--cases", "4000000", "--json", str(file)]
    stdout, stderr = interrupted(command, file, 2)
    assert "the same command with --resume goes on" in stderr
    assert "0 alarms in" in stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*RIGHT, "--dtype", "int8"), "--dtype: expected some of float64"),
        ((*RIGHT, "-k", "one and two"), "-k: expected parts of names"),
        ((*RIGHT, "--resume"), "--resume needs --json FILE"),
        ((*RIGHT, "--shard", "3/2"), "shard: expected i/N"),
        ((*RIGHT, "--shard", "1/2", "--suite", "golden"), "--suite: expected operator for a target of your own"),
        ((*RIGHT, "--shard", "1/2", "--gate"), "--gate cannot be used with --shard: its seed is secret"),
        ((*RIGHT, "--html", "no_such_folder/page.html"), "no_such_folder"),
        (("merge", "no_such_file"), "no_such_file"),
        (("merge", KERNELS), "expected a line of a campaign's file"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(
    arguments: tuple[object, ...], message: str, trueband_here: Callable[..., Any]
) -> None:
    run = trueband_here(*arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert run.stderr.count("\n") == 1


# --- merging, on files made by hand

PLAN = Plan("kernel", ("float32",), 2, (), ("single_token",))
HEAD = {
    "record": "campaign",
    "trueband": "1",
    "target": "kernel",
    "features": [],
    "dtypes": ["float32"],
    "device": "cpu",
    "cases": 2,
    "small_world_dtypes": [],
    "checks": ["single_token"],
    "seed": 0,
    "block": 500,
    "shard": "1/2",
    "expected_failures": {},
}
SECOND = {**HEAD, "shard": "2/2"}


def block(**changes: Any) -> Block:
    values: dict[str, Any] = {
        "check": "single_token",
        "dtype": "float32",
        "number": 0,
        "total": 6,
        "digest": "d",
        "cases": 3,
        "alarms": 0,
        "seconds": 1.0,
        "histogram": (3, *empty()[1:]),
    }
    return Block(**{**values, **changes})


def parts(*files: tuple[dict[str, Any], Block]) -> list[tuple[Path, dict[str, Any], list[Block]]]:
    return [(Path(f"{number}.jsonl"), head, [one]) for number, (head, one) in enumerate(files)]


def test_two_halves_are_complete() -> None:
    assert len(block_keys(PLAN)) == 1
    head, found = merge(parts((HEAD, block()), (SECOND, block())))
    assert list(found) == [Shard(1, 2), Shard(2, 2)]
    assert missing(head, found) == []


def test_a_block_in_two_files_counts_once() -> None:
    head, found = merge(parts((HEAD, block()), (HEAD, block(seconds=2.0)), (SECOND, block())))
    assert sum(each.cases for part in found.values() for each in part) == 6
    assert missing(head, found) == []


@pytest.mark.parametrize("changed", [{"seed": 1}, {"target": "other"}, {"trueband": "2"}, {"cases": 3}, {"checks": []}])
def test_files_of_other_runs_are_refused(changed: dict[str, Any]) -> None:
    (name,) = changed
    with pytest.raises(ValueError, match=rf"1\.jsonl: not of the same campaign as 0\.jsonl: expected {name}"):
        merge(parts((HEAD, block()), ({**SECOND, **changed}, block())))


def test_another_number_of_shards_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a shard of 2, got 1/3"):
        merge(parts((HEAD, block()), ({**HEAD, "shard": "1/3"}, block())))


def test_shards_that_drew_other_cases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected the cases of 0\.jsonl in block 0 of single_token"):
        merge(parts((HEAD, block()), (SECOND, block(digest="e"))))


def test_two_stories_of_one_block_are_refused() -> None:
    with pytest.raises(ValueError, match="expected what another file of shard 1/2 says of block 0"):
        merge(parts((HEAD, block()), (HEAD, block(worst=0.5))))


def test_what_is_missing_is_named() -> None:
    head, found = merge(parts((HEAD, block())))
    assert missing(head, found) == ["shard 2/2"]
    head, found = merge([(Path("0"), HEAD, []), *parts((SECOND, block()))])
    assert missing(head, found) == ["1 of 1 blocks of shard 1/2"]
    head, found = merge(parts((HEAD, block()), (SECOND, block(cases=2))))
    assert missing(head, found) == ["cases of block 0 of single_token [float32]"]


def test_nothing_is_missing_after_an_alarm() -> None:
    failed = block(status="failed", alarms=1, cases=1, case={"tokens": 1, "window": 0})
    head, found = merge(parts((HEAD, failed), (SECOND, block())))
    assert missing(head, found) == []


def test_files_that_expect_other_failures_are_refused() -> None:
    head, other = ({**one, "expected_failures": {"single_token": why}} for one, why in ((HEAD, "a"), (SECOND, "b")))
    with pytest.raises(ValueError, match="expected the same expected_failures, got others for single_token"):
        merge(parts((head, block()), (other, block())))


def test_a_file_with_a_broken_line_in_its_middle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with CampaignFile(file, HEAD, resume=False) as written:
        written.write(block())
    assert read_campaign(file)[1] == [block()]
    assert len(block().histogram) == BINS
    file.write_text(file.read_text().replace('"record":"block"', '"record":"blok"'))
    with pytest.raises(ValueError, match=r"a\.jsonl:2: expected a line of a campaign's file .*blok"):
        read_campaign(file)
