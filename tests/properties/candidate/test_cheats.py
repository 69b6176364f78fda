"""The gate rejects kernels that cheat (cheats/), by the command line's own path, and says what it has seen."""

from __future__ import annotations

import os
import re
import select
from pathlib import Path

import pytest

from trueband.cli import main
from trueband.commands.exit_codes import CHEATING, CRASHED, FAILED, PASSED

pytestmark = pytest.mark.evidence

CHEATS = Path(__file__).parent / "cheats"

# file:function -> exit code, what is told, checks that are run
REJECTED: dict[str, tuple[int, str, str]] = {
    # what they do with memory
    "memory:changes_an_input": (FAILED, "value: expected an unchanged input", "matches"),
    "memory:computes_in_place": (FAILED, "query: expected an unchanged input", "matches"),
    "memory:writes_beside_an_input": (FAILED, "query: expected nothing to be written beside", "matches"),
    "memory:returns_an_input": (CHEATING, "expected memory of its own, got that of value", "matches"),
    "memory:returns_one_row_expanded": (FAILED, "got elements that share it", "matches"),
    "memory:writes_every_other_row": (FAILED, "= nan", "matches"),
    "memory:returns_the_same_array": (CHEATING, "the array that an earlier call has returned", "deterministic"),
    "memory:keeps_a_workspace": (FAILED, "overwritten by the next call", "deterministic"),
    "memory:works_on": (CHEATING, "changed after the call had returned", "matches"),
    "memory:late_by_one_call": (FAILED, "= nan", "matches"),
    "memory:returns_a_lazy_array": (CHEATING, "got Lazy, a class of the target's own", "matches"),
    "tensors:lazy_tensor": (CHEATING, "got Lazy, a class of the target's own", "matches"),
    "tensors:view_of_an_input": (CHEATING, "expected memory of its own, got that of value", "matches"),
    "tensors:one_row_expanded": (FAILED, "got elements that share it", "matches"),
    "tensors:changes_the_query": (FAILED, "query: expected an unchanged input", "matches"),
    "tensors:sparse_result": (FAILED, "expected a strided tensor", "matches"),
    # what they answer from memory
    "replays:by_shape": (CHEATING, "bit for bit what an earlier call has returned", "call_order"),
    "replays:by_address": (CHEATING, "bit for bit what an earlier call has returned", "same_address"),
    "replays:by_owner": (CHEATING, "bit for bit what an earlier call has returned", "same_address"),
    "replays:by_fingerprint": (FAILED, "output for one other value", "stateless"),
    "replays:every_other_call": (CHEATING, "bit for bit what an earlier call has returned", "call_order"),
    "tensors:by_data_pointer": (CHEATING, "bit for bit what an earlier call has returned", "same_address"),
    # whom they ask
    "witnesses:imports_the_reference": (CHEATING, "it imported trueband.reference", "matches"),
    "witnesses:tries_and_falls_back": (CHEATING, "it opened __init__.*of the package's own witnesses", "matches"),
    "witnesses:imports_a_specimen": (CHEATING, "it opened __init__.*of the package's own witnesses", "matches"),
    "witnesses:reads_the_source": (CHEATING, "it opened masks.py of the package's own witnesses", "matches"),
    "witnesses:reads_the_source_by_a_link": (CHEATING, "it opened notes.txt of the package's own", "matches"),
    "witnesses:asks_another_process": (CHEATING, "it started a process that uses the package", "matches"),
    "witnesses:asks_a_fork": (CHEATING, "of the package's own witnesses", "matches"),
    "witnesses:reads_the_judge": (CHEATING, "which is the judging process's", "matches"),
    "witnesses:ends_the_judge": (CHEATING, "it sent a signal to the judging process", "matches"),
    "at_load:imported_at_load": (CHEATING, "it imported trueband.reference", "matches"),
    # what they say
    "protocol:forges_an_answer": (CHEATING, "one without the token", "matches"),
    "protocol:forges_with_the_token": (
        CHEATING,
        "expected nothing but answers|: it was forged",
        "matches or deterministic",
    ),
    "protocol:says_how_it_ended": (CHEATING, "it was forged|nothing but answers", "matches"),
    "protocol:claims_a_huge_answer": (CHEATING, "expected arrays of at most", "matches"),
    "protocol:writes_garbage": (CHEATING, "expected nothing but answers", "matches"),
    "protocol:answers_twice": (CHEATING, "nothing but answers|: it was forged", "matches or deterministic"),
    "protocol:prints_an_answer": (FAILED, "EXCEEDS bound", "matches"),
    # what they do to the harness
    "harness:patches_numpy": (FAILED, "EXCEEDS bound", "matches"),
    "harness:patches_hypothesis": (FAILED, "EXCEEDS bound", "matches"),
    "harness:patches_the_runner": (CHEATING, "it replaced .*Desk.check_inputs of the harness", "matches"),
    "harness:skips_the_test": (CHEATING, "got Skipped", "matches"),
    "harness:rejects_the_example": (CHEATING, "got UnsatisfiedAssumption", "matches"),
    "harness:exits_with_success": (FAILED, "got SystemExit: 0", "matches"),
    "tensors:tells_torch_to_agree": (FAILED, "EXCEEDS bound", "matches"),
    # what they compute
    "numbers:all_zeros": (FAILED, "EXCEEDS bound", "matches"),
    "numbers:mean_of_values": (FAILED, "EXCEEDS bound", "matches"),
    "numbers:all_nan": (FAILED, "= nan", "matches"),
    "numbers:half_precision": (FAILED, "EXCEEDS bound", "matches"),
    "numbers:contiguous_only": (FAILED, "EXCEEDS bound", "transposed"),
    "tensors:brain_floats": (FAILED, "EXCEEDS bound", "matches"),
    # how they end
    "processes:exits": (CRASHED, "exit code 0", "single_token"),
    "processes:overflows_the_stack": (CRASHED, "exit code -11", "single_token"),
    "processes:recurses": (FAILED, "got RecursionError", "single_token"),
    "processes:runs_out_of_memory": (CRASHED, "got MemoryError: no room for the scores", "single_token"),
    "processes:closes_every_file": (CRASHED, "got the end of the process", "single_token"),
}


@pytest.mark.parametrize("cheat", REJECTED)
def test_a_cheat_is_rejected(cheat: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, checks = REJECTED[cheat]
    file, _, name = cheat.partition(":")
    assert main(["check", f"{CHEATS / file}.py:{name}", "-k", checks, "--cases", "90"]) == code
    assert re.search(told, capsys.readouterr().out)


def test_enough_cheats_are_tried() -> None:
    assert len(REJECTED) >= 50
    assert sum(code == CHEATING for code, _, _ in REJECTED.values()) >= 25
    for file in {cheat.partition(":")[0] for cheat in REJECTED}:
        tried = {cheat.partition(":")[2] for cheat in REJECTED if cheat.startswith(f"{file}:")}
        assert tried <= set(re.findall(r"^def (\w+)\(", (CHEATS / f"{file}.py").read_text(encoding="utf-8"), re.M))


@pytest.mark.parametrize("honest", ["processes:good", "processes:prints_without_end"])
def test_an_honest_kernel_passes(honest: str, capsys: pytest.CaptureFixture[str]) -> None:
    file, _, name = honest.partition(":")
    checks = "calls or memory or address or order or stateless or deterministic or inputs or matches"
    assert main(["check", f"{CHEATS / file}.py:{name}", "-k", checks, "--cases", "60"]) == PASSED


def test_memory_beyond_the_limit_is_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"{CHEATS / 'processes.py'}:takes_all_memory", "-k", "single_token", "--memory-limit", "2000"]
    assert main(["check", *arguments]) == CRASHED
    assert "OUT OF MEMORY" in capsys.readouterr().out


def test_what_a_candidate_starts_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTES", str(tmp_path / "pid"))
    main(["check", f"{CHEATS / 'processes.py'}:leaves_a_process", "-k", "single_token", "--cases", "6"])
    try:
        left = os.pidfd_open(int((tmp_path / "pid").read_text()))
    except ProcessLookupError:
        return  # gone already
    assert select.select([left], [], [], 60)[0] == [left]  # readable: it has ended
    os.close(left)
