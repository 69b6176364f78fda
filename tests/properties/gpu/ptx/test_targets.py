"""The package's kernels, compiled for sm_80 and sm_90, and executed forward and backward at the edges of blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from trueband.adapters import SHIPPED
from trueband.properties.bounds.precision import Precision
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import load_target
from trueband.properties.gpu.triton_version import EXECUTE
from trueband.properties.running.engine import reproduce

pytestmark = pytest.mark.evidence

# A global token on both sides of an edge of blocks of 16, 32 and 64 tokens; more of them than fit into one block.
GLOBALS = (2, 15, 16, 31, 32, 63, 64, *range(100, 111))
EDGES = {"tokens": 129, "window": 33, "head_dim": 64, "masked": [[5, 65, 127]], "global_": [GLOBALS], "head_mask": True}
CASES: dict[str, dict[str, Any]] = {
    "one token beyond two blocks": {**EDGES, "separate_globals": True},
    "no global token": {"tokens": 129, "window": 64, "head_dim": 64, "batch": 2, "masked": [[], [0, 128]]},
    "strips": {"tokens": 70, "window": 9, "head_dim": 16, "heads": 2, "dilation": [2, 3], "causal": True},
    "rows that are not aligned": {"tokens": 67, "window": 40, "head_dim": 4, "heads": 2, "global_": [[0, 66]]},
}
RUNS = [
    *[(capability, "bfloat16", False, name) for capability in (80, 90) for name in CASES],
    (80, "float16", False, "one token beyond two blocks"),
    (90, "float16", False, "one token beyond two blocks"),
    (90, "float16", False, "strips"),
    (80, "float32", False, "one token beyond two blocks"),
    (90, "float32", False, "strips"),
    (80, "float32", True, "one token beyond two blocks"),
    (90, "float32", True, "no global token"),
]


@pytest.mark.parametrize(("capability", "dtype", "tf32", "name"), RUNS)
def test_within_the_bounds(capability: int, dtype: str, tf32: bool, name: str, emulated: Callable[..., Runner]) -> None:
    runner = emulated(capability, dtype, tf32)
    case = {"family": "normal", "seed": 5, **CASES[name], "dtype": dtype}
    for check in ("matches_reference", "gradients_match_reference"):
        record = reproduce({"check": check, "case": case}, "emulated", runner)
        assert record.passed, record.message


@pytest.mark.needs_triton(EXECUTE[80])
@pytest.mark.parametrize("check", ["locality", "nan_is_seen", "masked_rows_are_zero", "batch_invariance"])
def test_numbers_that_are_not_finite_and_batches(check: str, emulated: Callable[..., Runner]) -> None:
    """What is not finite makes threads of a block part in the logarithm."""
    case = {"tokens": 19, "window": 3, "head_dim": 16, "batch": 2, "masked": [[4], [17, 18]], "dtype": "bfloat16"}
    record = reproduce({"check": check, "case": case}, "emulated", emulated(80, "bfloat16"))
    assert record.passed, record.message


@pytest.mark.needs_triton(EXECUTE[90])
def test_cut_factors_show(emulated: Callable[..., Runner]) -> None:
    """tf32 does what it says: its errors are beyond the bound of float32, and within that of tf32."""
    case = {"tokens": 40, "window": 7, "head_dim": 16, "family": "normal", "dtype": "float32"}
    for capability in (80, 90):
        exact, cut = emulated(capability, "float32"), emulated(capability, "float32", tf32=True)
        line = {"check": "matches_reference", "case": case}
        assert reproduce(line, "emulated", exact).passed
        assert reproduce(line, "emulated", cut).passed
        cut.accumulators = {}
        assert reproduce(line, "emulated", cut).status == "failed"


@pytest.mark.parametrize("name", ["ptx-sm80", "ptx-sm90", "ptx-sm80-tf32", "ptx-sm90-tf32"])
def test_shipped_targets(name: str) -> None:
    target = load_target(SHIPPED[name].spec)
    assert name.removeprefix("ptx-sm")[:2] in str(target.name)
    assert target.accumulators == ({"float32": "tf32"} if name.endswith("tf32") else {})
    assert set(target.dtypes) <= {"float32", "float16", "bfloat16"}
    assert Precision.of(target.dtypes[0], target.accumulators.get("float32")).product == (name.endswith("tf32")) * (
        Precision.of("float32", "tf32").product
    )
