"""Counts of kernels whose work is known, and the bounds that follow from counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trueband.bench.roofline import Counter, roofline
from trueband.bench.shape import Shape
from trueband.cli import main
from trueband.properties.gpu.ptx.launch import Kernel, Pointer, launch
from trueband.properties.gpu.roofline import DEVICES, Count, lines, scaled
from trueband.properties.gpu.triton_version import EXECUTE

PLAIN = Count("plain", 432, {}, registers=128, shared=40 * 1024, warps=4, product="half")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUEBAND_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def counts(kernel: Kernel, words: int) -> dict[str, float]:
    counters: dict[str, float] = {}
    memory = np.zeros(words + 8, np.int32)
    start = -memory.ctypes.data % 32 // 4  # a sector begins at a multiple of its size
    launch(kernel, (1, 1, 1), [Pointer(memory[start : start + words])], counters)
    return counters


@pytest.mark.parametrize(("step", "sectors"), [(4, 4), (8, 8), (32, 32), (64, 32), (0, 1)])
def test_sectors_of_a_load(step: int, sectors: int, assemble: Callable[..., Kernel]) -> None:
    body = f"mul.wide.u32 %rd11, %r0, {step}; add.s64 %rd20, %rd0, %rd11; ld.global.b32 %r1, [ %rd20 + 0 ];"
    found = counts(assemble(body, 1), 1024)
    assert found["global load sectors"] == sectors
    assert found["global load bytes"] == 128
    assert found["distinct bytes"] == (128 if step else 4)


@pytest.mark.parametrize(
    ("step", "size", "passes", "needed"),
    [(4, 4, 1, 1), (8, 4, 2, 1), (128, 4, 32, 1), (132, 4, 1, 1), (16, 16, 4, 4), (64, 16, 16, 4)],
)
def test_passes_over_banks(step: int, size: int, passes: int, needed: int, assemble: Callable[..., Kernel]) -> None:
    registers = "{ %r0 }" if size == 4 else "{ %r0, %r0, %r0, %r0 }"
    vector = "" if size == 4 else ".v4"
    body = f"mul.lo.s32 %r20, %r0, {step}; st.shared{vector}.b32 [ %r20 + 0 ], {registers};"
    found = counts(assemble(body, 1, shared=32 * 132 + 16), 1)
    assert found["shared store passes"] == passes
    assert found["shared store passes without conflicts"] == needed


def test_arithmetic(assemble: Callable[..., Kernel]) -> None:
    body = """cvt.rn.f32.s32 %r1, %r0; fma.rn.f32 %r2, %r1, %r1, %r1; add.f32 %r3, %r2, %r1;
    setp.lt.s32 %p1, %r0, 5; @%p1 ex2.approx.ftz.f32 %r4, %r3;"""
    found = counts(assemble(body, 1), 1)
    assert found["float operations"] == 3 * 32
    assert found["special"] == 5
    assert found["instructions"] == 5 + 4  # three of the frame, and ret


@pytest.mark.evidence
@pytest.mark.parametrize(("device", "capability"), [("a100", 80), ("h100", 90)])
def test_tensor_operations_of_the_band(device: str, capability: int) -> None:
    """4 blocks of 64 queries see 2, 3, 3, 2 blocks of 64 keys, and each a block of 16 global keys."""
    assert DEVICES[device].capability == capability
    counter = Counter(capability, Shape("operator", 256, 64, heads=3, dtype="bfloat16"))
    counter.execute()
    (band,) = [each for each in counter.counts if each.kernel == "band_forward"]
    assert band.of("tensor operations") == 3 * 4 * 64 * 64 * (10 * 64 + 4 * 16)
    assert band.programs == 12
    table = 3 * 256 * 64 * 2
    assert 4 * table < band.of("distinct bytes") < 4.1 * table


def test_what_a_processor_holds() -> None:
    a100 = DEVICES["a100"]
    assert PLAIN.resident(a100) == 4  # 65536 registers / (128 * 128); shared memory would hold 4, too
    assert Count("", 1, {}, 40, 0, 4, "half").resident(a100) == 12  # 65536 / 5120
    assert Count("", 1, {}, 16, 0, 4, "half").resident(a100) == 16  # 64 warps
    assert Count("", 1, {}, 16, 100 * 1024, 4, "half").resident(a100) == 1
    assert PLAIN.waves(a100) == 1


def test_bounds_are_work_over_peaks() -> None:
    a100 = DEVICES["a100"]
    work = {
        "tensor operations": 312e12,
        "special": 16 * 108 * 1.41e9,
        "distinct bytes": 4.078e12,
        "float operations": 19.5e12,
        "shared load passes": 108 * 1.41e9,
    }
    one = Count("one", 1, work, 16, 0, 4, "half")
    assert one.seconds(a100) == {"tensor": 1, "float32": 1, "exp2": 1, "memory": 2, "shared": 1}
    assert Count("one", 1, scaled(work, 2), 16, 0, 4, "half").seconds(a100)["memory"] == 4
    told = "\n".join(lines(a100, "a shape", [one]))
    for part in ("computed, not measured", "Nothing was run on a GPU", "2000000.0", "data sheet"):
        assert part in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"dtype": "float64"}, "--dtype: expected one of"), ({"padding": 0.5}, "--padding: expected none")],
)
def test_what_it_cannot_do(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        roofline("a100", Shape(**{"level": "operator", "tokens": 64, "window": 8, **changes}))  # type: ignore[arg-type]


@pytest.mark.needs_triton(EXECUTE[90])
def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ["bench", "--roofline", "a100", "--tokens", "128", "--window", "32", "--heads", "2", "--passes", "forward"]
    assert main(line) == 0
    told = capsys.readouterr().out
    assert "A100 SXM 80 GB: b 1, h 2, n 128, d 64, window 32, bfloat16, 1 global token" in told
    assert "band_forward" in told
    assert "computed, not measured" in told
