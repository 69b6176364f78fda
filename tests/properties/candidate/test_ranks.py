"""A target on ranks: what each is given, and what becomes of a rank that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trueband.properties.candidate.errors import CHANGED, CHEATING, CRASHED, FAILED, TIMEOUT, CandidateEnded
from trueband.properties.candidate.remote import RemoteRunner
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.sharding import pieces_of, suited
from trueband.properties.candidate.target import Target, TargetError, load_target
from trueband.properties.cases.inputs import Inputs
from trueband.properties.checks import CHECKS
from trueband.properties.results.verdict import judge
from trueband.properties.running.engine import run_check
from trueband.properties.running.plan import Plan

FILE = Path(__file__).parent / "on_ranks.py"
ONES = np.ones((1, 1, 5, 1))
ARRAYS = dict.fromkeys(("query", "key", "value"), ONES)
MEANT = dict.fromkeys(ARRAYS, np.ones((1, 1, 11, 1)))  # the call in which a rank misbehaves


def start(name: str, time_limit: float = 60.0) -> RemoteRunner:
    return RemoteRunner(f"{FILE}:{name}", time_limit=time_limit)


@pytest.fixture
def runner() -> Iterator[Any]:
    opened: list[Runner] = []

    def open_one(name: str) -> Runner:
        opened.append(Runner(load_target(f"{FILE}:{name}")))
        return opened[-1]

    yield open_one
    for each in opened:
        each.function.end()


def session(pid: int) -> list[int]:
    """The processes of a session that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def test_tokens_are_cut_as_torch_cuts_them() -> None:
    assert pieces_of(5, 2, "contiguous") == [[(0, 3)], [(3, 5)]]
    assert pieces_of(5, 4, "contiguous") == [[(0, 2)], [(2, 4)], [(4, 5)], [(5, 5)]]
    assert pieces_of(7, 2, "zigzag") == [[(0, 2), (6, 7)], [(2, 4), (4, 6)]]


@pytest.mark.parametrize(
    ("asked", "tokens", "empty", "expected"),
    [(4, 8, False, 4), (4, 5, False, 2), (4, 5, True, 4), (4, 1, False, 1), (None, 4, False, 4), (2, 8, False, 2)],
)
def test_fewer_ranks_where_one_would_have_no_token(asked: int, tokens: int, empty: bool, expected: int) -> None:
    assert suited(asked, (1, 2, 4), tokens, "contiguous", empty) == expected


def test_each_rank_is_told_the_first_token_of_its_shard(runner: Any) -> None:
    told = runner("shards").call(ARRAYS, {"window": 1, "ranks": 2}, "float32").ravel().tolist()
    assert told == [0, 0, 0, 3, 3]


def test_zigzag_shards_have_two_pieces(runner: Any) -> None:
    told = runner("zigzag").call(ARRAYS, {"window": 1, "ranks": 2}, "float32").ravel().tolist()
    # Pieces of two tokens: rank 0 has 0 and 1, and nothing from token 5 on; rank 1 has 2 and 3, and 4.
    assert told == [500, 500, 402, 402, 402]


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_results_of_ranks_are_gathered(runner: Any, ranks: int) -> None:
    value = np.arange(5.0).reshape(ONES.shape)
    inputs = Inputs({**ARRAYS, "value": value}, {"window": 1})
    output = runner("right").call(inputs.arrays, {"window": 1, "ranks": ranks}, "float32")
    assert judge(output, inputs.output, inputs.bound).passed


@pytest.mark.evidence
def test_a_rank_that_dies_is_a_record_and_the_run_goes_on() -> None:
    plan = Plan("dying", ("float32",), 40, (), ())
    with start("dying") as candidate:
        pid = candidate._child.pid  # type: ignore[union-attr]
        begun = time.monotonic()
        with pytest.raises(CandidateEnded, match=r"rank 1 of 2: expected an answer, .*: exit code 3") as ended:
            candidate.call(MEANT, {"window": 1, "ranks": 2}, "float32")
        assert ended.value.status == CRASHED
        assert time.monotonic() - begun < 60
        assert candidate.call(ARRAYS, {"window": 1, "ranks": 1}, "float32").shape == ONES.shape
        assert run_check(plan, CHECKS["single_token"], candidate, "float32", 3).passed
        assert candidate._child is not None
        last = candidate._child.pid  # another one, if the first ended with its ranks
        assert session(last)
    assert session(pid) == session(last) == []


@pytest.mark.evidence
def test_a_rank_that_hangs_is_a_timeout_and_leaves_no_process() -> None:
    with start("hanging", time_limit=8.0) as candidate:
        pid = candidate._child.pid  # type: ignore[union-attr]
        candidate.call(ARRAYS, {"window": 1, "ranks": 1}, "float32")
        assert len(session(pid)) > 2  # the process of the target, the one that forks, and ranks
        with pytest.raises(CandidateEnded, match="expected an answer within 8 s") as ended:
            candidate.call(MEANT, {"window": 1, "ranks": 2}, "float32")
        assert ended.value.status == TIMEOUT
        time.sleep(0.2)
        assert session(pid) == []


@pytest.mark.evidence
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("raising", FAILED, r"rank 1 of 2: expected a result, got RuntimeError: no such shard"),
        ("of_another_shape", FAILED, r"rank 0 of 2: output: expected shape \(1, 1, 6, 1\), got \(1, 1, 1, 1\)"),
        ("writing", CHANGED, r"rank 0 of 2: key: expected an unchanged input"),
        ("importing", CHEATING, r"it imported trueband.reference"),
    ],
)
def test_what_a_rank_does_is_told_with_its_number(name: str, status: str, message: str) -> None:
    with start(name) as candidate:
        with pytest.raises(CandidateEnded, match=message) as ended:
            candidate.call(MEANT, {"window": 1, "ranks": 2}, "float32")
        assert ended.value.status == status


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"ranks": (0,)}, r"ranks: expected ints >= 1, such as \(1, 2, 4\), got \(0,\)"),
        ({"ranks": 2}, "ranks: expected ints >= 1"),
        ({"ranks": (1, "2")}, "ranks: expected ints >= 1"),
        ({"ranks": (True,)}, "ranks: expected ints >= 1"),
        ({"ranks": (1, 2, 1)}, r"ranks: expected each number once, got \(1, 2, 1\)"),
        ({"ranks": (), "sharding": "zigzag"}, "ranks: expected some, such as .*, with a process_group or sharding"),
        ({"ranks": (2, 4)}, "ranks: expected 1 among them without the feature empty_shards"),
        ({"process_group": "mpi"}, "process_group: expected some of gloo, nccl, threads, got mpi"),
        ({"sharding": "striped"}, "sharding: expected some of contiguous, zigzag, got striped"),
        ({"library": "numpy"}, "ranks: expected a torch target with ranks, got library 'numpy'"),
        ({"library": "jax"}, "ranks: expected a torch target with ranks, got library 'jax'"),
        ({"layout": "packed"}, "ranks: expected layout 'bhnd' or 'bnhd' with ranks, got layout 'packed'"),
        ({"gradients": print}, "got ranks with gradients"),
        ({"features": {"bottom_right"}}, "ranks: expected a target without the feature bottom_right with ranks"),
        ({"features": {"offset"}}, "ranks: expected a target without the feature offset with ranks, got both"),
        ({"ranks": (), "features": {"empty_shards"}}, "features: expected ranks with the feature empty_shards"),
    ],
)
def test_what_does_not_go_with_ranks_is_refused(declared: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message) as refused:
        Target(lambda *_, **__: None, **{"ranks": (1, 2), "library": "torch", **declared})
    assert "\n" not in str(refused.value)


def test_a_function_that_takes_no_group_is_refused() -> None:
    with pytest.raises(TargetError, match=r"missing|unexpected keyword argument 'offset'"):
        RemoteRunner(f"{Path(__file__).parent / 'on_ranks_without_group.py'}:target")


def test_nccl_needs_a_gpu() -> None:
    with pytest.raises(
        ValueError, match="process_group: expected 'gloo' or 'threads' without NCCL and a GPU, got 'nccl'"
    ):
        Runner(Target(print, library="torch", ranks=(1, 2), process_group="nccl"))
