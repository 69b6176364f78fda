"""The memory of a device: guarded, poisoned and burnt where it lies. The device is a stand-in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trueband.properties.candidate.device_memory import GUARD, DeviceMemory
from trueband.properties.candidate.errors import (
    CHANGED,
    CHEATING,
    FAILED,
    OUT_OF_MEMORY,
    CandidateEnded,
)
from trueband.properties.candidate.runner import Runner
from trueband.properties.cases.case import Case
from trueband.properties.checks import CHECKS
from trueband.properties.results.verdict import judge
from trueband.properties.running.production import guard_of, walk

DTYPES = ("float64", "float32", "bfloat16", "float16", "bool", "int64")


def runner(kernels: Any, name: str) -> Runner:
    return Runner(getattr(kernels, f"{name}_target"), "cuda")


def call(candidate: Runner, tokens: int, seed: int = 0, layout: str = "contiguous") -> Any:
    inputs = Case(tokens, 1, 2, family="normal", seed=seed).inputs()
    return candidate.call(inputs.arrays, inputs.options, "float32", layout)


def placed(dtype: str, reuse: Any = None) -> tuple[Any, Any]:
    host = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    given, held = DeviceMemory(torch, torch.device("cpu")).place(host, reuse)
    assert torch.equal(given, host)
    assert given.data_ptr() % GUARD == 0
    return given, held


@pytest.mark.parametrize("dtype", DTYPES)
def test_changes_and_overruns_are_told_apart_where_they_are(dtype: str) -> None:
    given, held = placed(dtype)
    assert held.damage() == ""
    for beside in (held.stop, held.start - 1):
        held.raw[beside] ^= 1
        assert held.damage() == "overrun"
        held.raw[beside] ^= 1
    given[0, 0] = 0 if given[0, 0] else 1
    assert held.damage() == "changed"


@pytest.mark.parametrize("dtype", DTYPES[:4])
def test_what_lies_around_an_input_is_nan(dtype: str) -> None:
    given, held = placed(dtype)
    for start in (held.start - GUARD, held.stop):
        assert held.raw[start : start + 64].clone().view(given.dtype).isnan().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_input_is_spoiled_and_written_again(dtype: str) -> None:
    given, held = placed(dtype)
    before = given.clone()
    held.spoil()
    assert given.isnan().all() if given.dtype.is_floating_point else not given.any()
    held.write()
    assert torch.equal(given, before)
    assert held.damage() == ""


def test_memory_of_the_same_size_is_overwritten_where_asked() -> None:
    first, held = placed("float32")
    assert placed("float32", held.raw)[0].data_ptr() == first.data_ptr()
    assert placed("float64", held.raw)[0].data_ptr() != first.data_ptr()


@pytest.mark.parametrize("shown", ["whole", "turned", "expanded", "windows"])
def test_a_burnt_result_shows_what_is_written_to_it(shown: str) -> None:
    memory, whole = DeviceMemory(torch, torch.device("cpu")), torch.ones(3, 4)
    views = {
        "whole": whole,
        "turned": whole.T,
        "expanded": whole[:1].expand(3, 4),
        "windows": whole.view(-1).unfold(0, 3, 1),
    }
    window = memory.window(views[shown])
    assert memory.overlaps_itself(window) == (shown in ("expanded", "windows"))
    memory.burn(window)
    assert memory.is_burnt(window)
    whole[0, 2] = 1
    assert memory.is_burnt(window) == (shown == "windows")  # which stays as it is


def test_a_right_kernel_passes(kernels: Any) -> None:
    candidate = runner(kernels, "right")
    for seed in (0, 1):
        inputs = Case(5, 1, 2, family="normal", seed=seed).inputs()
        for layout in ("contiguous", "reused", "offset", "transposed", "packed"):
            verdict = judge(call(candidate, 5, seed, layout), inputs.output, inputs.bound, layout)
            assert verdict.passed, str(verdict)


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("changes_its_input", CHANGED, "query: expected an unchanged input, got one that the call has changed"),
        ("writes_beside", FAILED, "key: expected nothing to be written beside an input, got overwritten memory"),
        ("returns_its_input", CHANGED, "query: expected an unchanged input"),
    ],
)
def test_what_is_done_to_memory_is_told(kernels: Any, name: str, status: str, message: str) -> None:
    with pytest.raises(CandidateEnded, match=message) as caught:
        call(runner(kernels, name), 4)
    assert caught.value.status == status


def test_what_is_not_written_is_nan(kernels: Any) -> None:
    """The allocator gives what was set free last, as torch's does on a device."""
    candidate = runner(kernels, "leaves_a_row")
    assert np.isnan(call(candidate, 5)[:, :, -1]).all()
    assert not np.isnan(call(candidate, 4)).any()


def test_a_result_that_is_given_twice_is_told(kernels: Any) -> None:
    candidate = runner(kernels, "returns_the_last")
    call(candidate, 4)
    with pytest.raises(
        CandidateEnded, match=r"array that an earlier call has returned|overwritten by the next"
    ) as caught:
        call(candidate, 4, seed=1)
    assert caught.value.status in (CHEATING, FAILED)


def test_memory_is_given_back_and_the_call_made_once_more(kernels: Any) -> None:
    assert call(runner(kernels, "crowded"), 4).shape == (1, 1, 4, 2)
    assert kernels.stand_in.device.emptied == 1


def test_a_lack_of_memory_says_nothing_about_numbers(kernels: Any) -> None:
    with pytest.raises(CandidateEnded, match="got OutOfMemoryError: CUDA out of memory") as caught:
        call(runner(kernels, "dense"), 2001)
    assert caught.value.status == OUT_OF_MEMORY
    assert kernels.stand_in.device.emptied == 1


def test_no_room_for_the_inputs_themselves_is_told_alike(kernels: Any) -> None:
    candidate = runner(kernels, "right")
    kernels.stand_in.device.room = 2000  # bytes of the guarded memory of an input
    assert call(candidate, 4).shape == (1, 1, 4, 2)
    with pytest.raises(CandidateEnded, match="got OutOfMemoryError") as caught:
        call(candidate, 400)
    assert caught.value.status == OUT_OF_MEMORY


def test_shapes_of_production_that_are_too_much_are_left_out(kernels: Any) -> None:
    candidate = runner(kernels, "dense")
    cases = [Case(tokens, 3, 8, dtype="float32", family="normal") for tokens in (300, 2001, 3000)]
    found = walk(CHECKS["rows_match_reference"], candidate, cases, guard_of("quick"))
    assert (found.status, found.cases) == ("passed", 1)
    too_much, larger = candidate.covered.left_out.values()
    assert "OutOfMemoryError: CUDA out of memory" in too_much
    assert larger.startswith("a smaller one failed: ")
    assert kernels.stand_in.device.emptied == 1  # the larger one was not tried
