"""A launch that a device has done otherwise than the emulator is told, down to one bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from device import comparison
from device.comparison import compared, distance, fenced, in_order, undefined_in
from device.recorder import Launch, Recorder
from device.stages import emulator
from device.unit import Context

from trueband.properties.gpu.ptx.findings import Finding
from trueband.properties.gpu.triton_version import EXECUTE


@pytest.fixture(scope="module")
def launches() -> list[Launch]:
    """A call, forward and backward, recorded; the emulator stands for the device."""
    recorder = Recorder(emulator.stand_in())
    generator = torch.Generator().manual_seed(0)
    with emulator.recording(recorder, rehearsed=True):
        emulator.exact(lambda *sizes: torch.randn(*sizes, generator=generator), rehearsed=True)
    return recorder.launches


def first(launches: list[Launch], defined: bool) -> Launch:
    return next(launch for launch in launches if bool(compared(launch)["undefined"]) != defined)


@pytest.mark.needs_triton(EXECUTE[80])
def test_the_same_bits_pass(launches: list[Launch]) -> None:
    assert {launch.kernel for launch in launches} >= {"band_forward", "band_backward_query", "add_parts"}
    for launch in launches:
        found = compared(launch)
        assert found["passed"], found
        assert not found["different"]


@pytest.mark.needs_triton(EXECUTE[80])
@pytest.mark.parametrize("defined", [True, False])
def test_one_bit_is_told_and_fails_where_bits_are_defined(launches: list[Launch], defined: bool) -> None:
    launch = first(launches, defined)
    after = list(launch.after)
    place = max(number for number, value in enumerate(after) if isinstance(value, torch.Tensor) and value.numel() > 9)
    after[place] = flipped(after[place])
    found = compared(replace(launch, after=after))
    assert found["passed"] is not defined
    assert found["different"] == {str(place): found["different"][str(place)]}
    assert (found["different"][str(place)]["elements"], found["different"][str(place)]["most"]) in ((1, 1), (1, None))


@pytest.mark.needs_triton(EXECUTE[80])
def test_nan_without_a_counterpart_fails_everywhere(launches: list[Launch]) -> None:
    launch = first(launches, defined=False)
    place = next(
        n for n, value in enumerate(launch.after) if isinstance(value, torch.Tensor) and value.is_floating_point()
    )
    after = [value.clone() if isinstance(value, torch.Tensor) else value for value in launch.after]
    after[place][(0,) * after[place].ndim] = float("nan")
    found = compared(replace(launch, after=after))
    assert not found["passed"]
    assert found["different"][str(place)]["incomparable"] == 1


@pytest.mark.needs_triton(EXECUTE[80])
def test_what_the_emulator_finds_fails(launches: list[Launch]) -> None:
    """A tensor that is too short: the emulator refuses what a device would read."""
    launch = launches[0]
    before = list(launch.before)
    before[0] = before[0].as_strided((1, 1, 1, 1), before[0].stride()).clone()
    found = compared(replace(launch, before=before))
    assert not found["passed"]
    assert "global bounds" in found["finding"]


@pytest.mark.needs_triton(EXECUTE[80])
def test_a_unit_with_a_wrong_launch_fails(launches: list[Launch], monkeypatch: Any, tmp_path: Path) -> None:
    def another(launch: Launch) -> dict[str, Any]:
        return {**compared(launch), "passed": False}

    monkeypatch.setattr(emulator, "compared", another)
    parts: list[str] = []
    context = Context(True, {}, tmp_path, lambda part, values: parts.append(part))
    found = emulator.of_call(context, emulator.exact, "float32")
    assert not found["passed"]
    assert len(parts) == found["launches"] == len(launches)


LEFT_OUT = """
    wgmma.fence.sync.aligned;
    wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%r1}, %rd1, %rd2, 0, 1, 1, 0, 0;
"""


@pytest.mark.needs_triton(EXECUTE[80])
def test_a_fence_that_is_left_out_is_told_and_the_rest_compared(launches: list[Launch], monkeypatch: Any) -> None:
    assert fenced(LEFT_OUT).splitlines()[2].strip() == "fence.proxy.async.shared::cta;"
    assert fenced(launches[0].ptx) == launches[0].ptx

    def executed(done: Launch, ptx: str) -> list[Any]:
        if ptx == done.ptx:
            raise Finding("proxy fence", "proxy fence: left out", 3)
        return done.after

    monkeypatch.setattr(comparison, "emulated", executed)
    found = compared(replace(launches[0], ptx=LEFT_OUT))
    assert not found["passed"]
    assert "left out" in found["finding"]
    assert found["different"] == {}


def flipped(tensor: torch.Tensor) -> torch.Tensor:
    """The last bit of one element turned over."""
    changed = tensor.clone()
    bits = changed.view({1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[changed.element_size()])
    bits[(0,) * (bits.ndim - 1) + (3,)] ^= 1
    return changed


def test_what_ptx_does_not_define() -> None:
    assert undefined_in("\tadd.f32 %f1, %f2, %f3;\n\tfma.rn.f32 %f1, %f2, %f3, %f4;\n\tmul.lo.s32 %r1, %r2, %r3;") == []
    assert undefined_in("\tadd.f32 %f1, %f2, %f3;\n\tmul.rn.f32 %f1, %f2, %f3;") == []
    assert undefined_in("\t@%p1 mul.f32 %f1, %f2, %f3;\n\tsub.f32 %f1, %f2, %f3;") == ["mul.f32 with add.f32"]
    assert undefined_in("\tex2.approx.ftz.f32 %f1, %f2;\n\t@%p1 div.full.f32 %f1, %f2, %f3;") == [
        "div.full.f32",
        "ex2.approx.ftz.f32",
    ]


def test_distances_are_in_units_of_the_last_place() -> None:
    one = torch.tensor([1.0, -1.0, 0.0, float("nan"), float("inf")])
    other = torch.nextafter(one, torch.tensor(float("inf")))
    other[2] = -0.0
    found = distance(one, other)
    assert found["most"] == 1
    assert found["elements"] == 3  # 1, -1, and the signs of 0
    assert found["incomparable"] == 0
    assert distance(torch.tensor([1.0]), torch.tensor([float("nan")]))["incomparable"] == 1
    ordered = in_order(torch.tensor([-2.0, -1.0, -0.0, 1.0]).view(torch.int32).numpy())
    assert (ordered[1:] > ordered[:-1]).all()
