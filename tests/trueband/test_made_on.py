"""The machine that records were made on: in the first line of files, on the page, on the screen, in pytest's header."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueband.cli import main
from trueband.commands.merge import merge
from trueband.properties.results.histogram import empty
from trueband.properties.results.machine import Machine, machine
from trueband.properties.running.campaign import Block
from trueband.reports.machines import apart, in_a_process, machines_of, rows, short
from trueband.reports.page import page
from trueband.session.campaign_file import CampaignFile, read_campaign

KERNELS = Path(__file__).with_name("kernels.py")
OF_NUMPY = Path(__file__).with_name("array_kernels.py")
HERE: Machine = {"processor": "A", "numpy": "2", "MKL_CBWR": "AVX2"}
THERE: Machine = {"processor": "B <i>", "numpy": "2"}
HEAD: dict[str, Any] = {
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
    "machine": HERE,
}
BLOCK = Block(
    check="single_token",
    dtype="float32",
    number=0,
    total=6,
    digest="d",
    cases=3,
    alarms=0,
    seconds=1.0,
    histogram=(3, *empty()[1:]),
)


def trueband(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trueband", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})


def test_records_and_the_page_say_where_they_were_made(tmp_path: Path) -> None:
    report, written = tmp_path / "records.jsonl", tmp_path / "page.html"
    asked = ("-k", "single_token", "--cases", 6, "--json", report, "--html", written)
    done = trueband("check", f"{KERNELS}:right", *asked, ATEN_CPU_CAPABILITY="default")
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text().splitlines()[0])["machine"]
    assert (told["aten"], told["ATEN_CPU_CAPABILITY"]) == ("DEFAULT", "default")
    assert told["processor"] == machine()["processor"]
    text = written.read_text()
    assert "<h3>Machine</h3>" in text
    for name, value in rows(told):
        assert f"<dt>{name}<dd>{value.replace('&', '&amp;')}" in text


def test_a_run_without_a_kernel_tells_its_own_process(tmp_path: Path) -> None:
    report = tmp_path / "records.jsonl"
    done = trueband("check", "--suite", "golden", "-k", "xlmr_position_ids_from", "--json", report)
    assert done.returncode == 0, done.stderr
    head, *records = map(json.loads, report.read_text().splitlines())
    assert (head["record"], head["target"]) == ("run", "chunked")
    assert head["machine"]["aten"]
    assert {record["record"] for record in records} == {"check"}


def test_a_kernel_that_cheats_while_it_loads_leaves_a_file_that_says_where(tmp_path: Path) -> None:
    report = tmp_path / "records.jsonl"
    (tmp_path / "cheat.py").write_text("import trueband.reference\ndef f(query, key, value, *, window): return query\n")
    done = trueband("check", f"{tmp_path / 'cheat.py'}:f", "--json", report)
    assert done.returncode != 0
    head, *records = map(json.loads, report.read_text().splitlines())
    assert (head["record"], [record["status"] for record in records]) == ("run", ["cheating"])
    assert head["machine"]["processor"]


def test_the_version_tells_the_machine_when_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    short_one = capsys.readouterr().out
    assert short_one.count("\n") == 1
    assert main(["--version", "--verbose"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert f"{first}\n" == short_one
    told = rows(machine(load=True))
    assert [line.split()[-1] for line in lines] == [value.split()[-1] for _, value in told]
    assert len({line.index(value) for line, (_, value) in zip(lines, told, strict=True)}) == 1  # one column


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verbose"], "--verbose: expected --version with it, got nothing"),
        (["--verbose", "targets"], "--verbose: expected --version with it, got targets"),
        (["--version", "targets"], "--version: expected no command with it, got targets"),
    ],
)
def test_verbose_is_for_the_version_only(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"trueband: error: {message}\n")


def test_the_help_documents_it_and_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, told in (["--help"], 0, "also print the machine"), ([], 2, "required: COMMAND"):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == code
        said = capsys.readouterr()
        assert told in said.out + said.err


@pytest.mark.evidence
def test_pytest_tells_the_machine_where_a_target_is_checked(tmp_path: Path) -> None:
    here = f"trueband: {short(in_a_process(os.environ))}"
    for options, lines in ((), []), ((f"--trueband-target={KERNELS}:right", "--trueband-cases=1"), [here]):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        told = [line for line in done.stdout.splitlines() if line.startswith("trueband: ")]
        assert told == lines, done.stdout


def test_a_line_names_processor_capability_and_blas() -> None:
    told: Machine = {"processor": "A", "numpy_blas": "openblas 1", "numpy_blas_core": "Zen"}
    assert short(told) == "A, openblas 1 (Zen)"
    told |= {"aten": "AVX2", "torch_blas": "MKL 2024", "torch_blas_branch": "generic"}
    assert short(told) == "A, ATen AVX2, MKL 2024 (generic)"
    assert rows(THERE)[-1] == ("variables that steer it", "none is set")
    assert rows(HERE)[-1] == ("MKL_CBWR", "AVX2")


# --- campaigns that move


def test_a_campaign_goes_on_elsewhere_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    with CampaignFile(path, HEAD, resume=False) as file:
        assert file.moved == ""
        file.write(BLOCK)
    for machine_, moved in ((HERE, ""), (THERE, "processor: A, now B <i>; MKL_CBWR: AVX2, now unknown"), (THERE, "")):
        with CampaignFile(path, {**HEAD, "machine": machine_}, resume=True) as file:
            assert file.moved == moved
            assert file.done == [BLOCK]
    assert machines_of(file.head) == [HERE, THERE]
    head, blocks = read_campaign(path)
    assert (machines_of(head), blocks) == ([HERE, THERE], [BLOCK])
    text = page([], file.head, {})
    assert "<h3>Machine 2 of 2</h3><dl><dt>processor<dd>B &lt;i&gt;" in text


def test_a_real_campaign_goes_on_under_other_variables(
    tmp_path: Path, trueband_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "campaign.jsonl", tmp_path / "sum.jsonl"
    command = (
        "check",
        f"{OF_NUMPY}:right",
        "--tier",
        "nightly",
        "-k",
        "single_token",
        "--cases",
        6,
        "--json",
        file,
        "--resume",
    )
    assert trueband_here(*command).returncode == 0
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    moved = trueband_here(*command)
    assert moved.returncode == 0, moved.stderr
    assert "was written on another machine: MKL_CBWR: unknown, now COMPATIBLE" in moved.stderr
    assert trueband_here("merge", file, "--json", out).returncode == 0
    head = json.loads(out.read_text().splitlines()[0])
    assert [each.get("MKL_CBWR") for each in head["machines"]] == [None, "COMPATIBLE"]


def test_parts_of_several_machines_are_merged_and_all_are_listed() -> None:
    other = {**HEAD, "shard": "2/2", "machine": THERE}
    files = [(Path(f"{number}.jsonl"), head, [BLOCK]) for number, head in enumerate((HEAD, other, HEAD))]
    head, _ = merge(files)
    assert (head["machines"], "machine" in head) == ([HERE, THERE], False)


def test_files_from_before_tell_no_machine() -> None:
    old = {name: value for name, value in HEAD.items() if name != "machine"}
    head, _ = merge([(Path("a"), old, [BLOCK])])
    assert machines_of(head) == []
    assert "Machine" not in page([], head, {})
    assert apart(HERE, HERE) == ""
