"""The Triton kernels in Triton's interpreter, judged by the bounds of every target; and faulty kernels, all told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_edges_of_tiles(interpret: Callable[..., str], dtype: str) -> None:
    """Outputs and gradients where lengths, windows and positions of globals lie around the edges of tiles and parts."""
    assert int(interpret("check_edges", dtype)) > 70


@pytest.mark.parametrize("program", ["operator", "compiled", "second_order", "head_mask", "refusals"])
def test_program(interpret: Callable[..., str], program: str) -> None:
    interpret(f"check_{program}")


GATE = (
    "batch_invariance",
    "nan_is_seen",
    "masked_content_is_ignored",
    "masked_rows_give_no_gradient",
    "own_value",
    "offset_inputs",
    "expanded_inputs",
    "rejects_bad_input",
)


def test_the_gate_accepts_the_kernels() -> None:
    """Claims that a comparison with the reference does not make, a few cases each, through the gate itself."""
    target = ["triton", "--dtype", "float32", "--cases", "1", "--time-limit", "300"]
    command = [sys.executable, "-m", "trueband", "check", *target, "-k", " or ".join(GATE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(GATE)} checks passed" in done.stdout


# name: (module, what stands there once, what is put there)
FAULTS = {
    "window one short to the left": ("forward", "(back <= window)", "(back < window)"),
    "global key counted twice": ("forward", "seen = (state == 1)[None, :]", "seen = (state != 0)[None, :]"),
    "accumulator not rescaled": ("tiles", "mean * shrink[:, None]", "mean"),
    "sum not rescaled": ("tiles", "total * shrink + ", "total + "),
    "exp for exp2": ("tiles", "p = tl.math.exp2(", "p = tl.exp("),
    "guard of rows without keys removed": (
        "tiles", 'tl.where(new_top == float("-inf"), 0.0, new_top)', "new_top"
    ),
    "loop starts a tile late": (
        "forward", "(tl.maximum(start - window, 0) // KEYS)", "((tl.maximum(start - window, 0) + KEYS - 1) // KEYS)"
    ),
    "loop ends at the diagonal": ("forward", "(0 if CAUSAL else window), length)", "0, length)"),
    "future keys seen": ("forward", "(back >= (0 if CAUSAL else -window))", "(back >= -window)"),
    "strip forgotten": ("forward", "key_rows = strip + key_steps", "key_rows = key_steps"),
    "weight of the head forgotten": ("forward", "total[:, None] * tl.load(weights + h)", "total[:, None]"),
    "last global keys dropped": ("forward", "range(0, count, GLOBALS)", "range(0, count - 1, GLOBALS)"),
    "parts averaged": (
        "global_rows", "tl.math.exp2(tl.load(part_log_sums + of_part, mask=is_row, other=0.0) - top)",
        "tl.full([GLOBALS], 1.0, tl.float32)",
    ),
    "global rows see masked keys": ("global_rows", 'tl.where(is_real[None, :], scores, float("-inf"))', "scores"),
    "row's mean gradient forgotten": ("backward_query", "p * (dp * weight - delta[:, None])", "p * (dp * weight)"),
    "weight missing in dQ": ("backward_query", "(dp * weight - delta", "(dp - delta"),
    "scale missing in dQ": ("backward_query", "dq * scale", "dq"),
    "scale missing in dK": ("backward_key", "rows, result_n, inside, dk * scale", "rows, result_n, inside, dk"),
    "scale missing in dK of global keys": ("backward_key", "HEAD_DIM, is_key, dk * scale", "HEAD_DIM, is_key, dk"),
    "weight missing in dV": ("backward_key", "rows, result_n, inside, dv * weight", "rows, result_n, inside, dv"),
    "dK window one short": ("backward_key", "seen & (back <= window)", "seen & (back < window)"),
    "dK loop ends early": ("backward_key", "start + KEYS + window", "start + KEYS"),
    "last part dropped": ("add_parts", "range(0, parts)", "range(0, parts - 1)"),
    "row's mean gradient forgotten in dK of global rows": (
        "global_rows_backward", "delta = tl.load(deltas + of_row, mask=is_row, other=0.0)", "delta = 0.0 * log_sum"
    ),
}  # fmt: skip
NO_FAULT = {"no fault": ("tiles", "add_keys(", "add_keys(")}


@pytest.fixture(scope="session")
def told(interpret: Callable[..., str]) -> dict[str, str | None]:
    """For each fault the case that tells it."""
    found: dict[str, str | None] = json.loads(interpret("faults", json.dumps({**FAULTS, **NO_FAULT})))
    return found


@pytest.mark.parametrize("name", FAULTS, ids=lambda name: name.replace(" ", "-"))
def test_a_faulty_kernel_is_told(told: dict[str, str | None], name: str) -> None:
    assert told[name] is not None


def test_a_right_kernel_is_told_right(told: dict[str, str | None]) -> None:
    """The same way, with a source that was read and written but not changed."""
    assert told["no fault"] is None
