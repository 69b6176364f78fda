"""The Triton kernels in Triton's interpreter, judged by the bounds of every target; and faulty kernels, all told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest

from trueband.gpu.triton import target
from trueband.properties.checks import CHECKS
from trueband.properties.running.plan import select

pytestmark = pytest.mark.evidence


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_edges_of_tiles(interpret: Callable[..., str], dtype: str) -> None:
    """Outputs and gradients where lengths, windows and positions of globals lie around the edges of tiles and parts.

    The same in float32: test_a_right_kernel_is_told_right.
    """
    assert int(interpret("check_edges", dtype)) > 70


@pytest.mark.parametrize(
    "program", ["operator", "compiled", "second_order", "head_mask", "mended", "small_world", "models"]
)
def test_program(interpret: Callable[..., str], program: str) -> None:
    interpret(f"check_{program}")


def pattern(names: Iterable[str]) -> str:
    """Of these checks alone, and not of those whose names hold one of these."""
    return " or ".join(f"[{name[0]}]{name[1:]}" for name in names)


AT_SIZE = [name for name, check in CHECKS.items() if check.structure.production]  # minutes in the interpreter
SMALL = [name for name in CHECKS if name not in AT_SIZE]
EXACT = ["mask_decoding", "associative_recall", "integer_scores", "own_value"]
EXACT += ["matches_reference", "gradients_match_reference"]


@pytest.mark.parametrize(
    ("dtypes", "chosen"),
    [
        (("float32",), SMALL),
        pytest.param(("float32",), AT_SIZE, marks=pytest.mark.nightly),
        (("float16", "bfloat16"), EXACT),
    ],
    ids=["float32", "at size", "half"],
)
def test_the_gate_accepts_the_kernels(dtypes: tuple[str, ...], chosen: list[str]) -> None:
    """All claims of the gate, a few cases each, as a user asks for it."""
    names = pattern(chosen)
    asked = ["triton", "--dtype", ",".join(dtypes), "--cases", "1", "--time-limit", "300"]
    command = [sys.executable, "-m", "trueband", "check", *asked, "-k", names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target.features is not None
    count = len(dtypes) * len(select(names, target.features | {"any_window"}))
    assert f"all {count} checks passed" in done.stdout


# name: (module, what stands there once, what is put there)
FAULTS = {
    "window one short to the left": ("forward", "(back <= window)", "(back < window)"),
    "global key counted twice": ("forward", "seen = (state == 1)[None, :]", "seen = (state != 0)[None, :]"),
    "accumulator not rescaled": ("tiles", "mean * shrink[:, None]", "mean"),
    "sum not rescaled": ("tiles", "total * shrink + ", "total + "),
    "exp for exp2": ("tiles", "p = tl.math.exp2(", "p = tl.exp("),
    "guard of rows without keys removed": ("tiles", 'tl.where(new_top == float("-inf"), 0.0, new_top)', "new_top"),
    "loop starts a tile late": (
        "forward",
        "(tl.maximum(start - window, 0) // KEYS)",
        "((tl.maximum(start - window, 0) + KEYS - 1) // KEYS)",
    ),
    "loop ends at the diagonal": ("forward", "(0 if CAUSAL else window), length)", "0, length)"),
    "future keys seen": ("forward", "(back >= (0 if CAUSAL else -window))", "(back >= -window)"),
    "strip forgotten": ("forward", "key_rows = strip + key_steps", "key_rows = key_steps"),
    "window one short to the right": ("forward", "(back >= (0 if CAUSAL else -window))", "(back > -window)"),
    "globals of the first row for all": (
        "forward",
        "tl.load(positions + b * most + places",
        "tl.load(positions + places",
    ),
    "number of globals taken for the largest": ("forward", "count = tl.load(counts + b)", "count = most"),
    "what masked rows are is not told": ("forward", "tl.where(is_local[:, None], result, 0.0)", "result"),
    "weight of the first head for all": ("forward", "tl.load(weights + h)", "tl.load(weights)"),
    "weight of the head forgotten": ("forward", "total[:, None] * tl.load(weights + h)", "total[:, None]"),
    "last global keys dropped": ("forward", "range(0, count, GLOBALS)", "range(0, count - 1, GLOBALS)"),
    "parts averaged": (
        "global_rows",
        "tl.math.exp2(tl.load(part_log_sums + of_part, mask=is_row, other=0.0) - top)",
        "tl.full([GLOBALS], 1.0, tl.float32)",
    ),
    "global rows see masked keys": ("global_rows", 'tl.where(is_real[None, :], scores, float("-inf"))', "scores"),
    "each part reads the whole row": ("global_rows", "range(part * part_tokens, last, KEYS)", "range(0, last, KEYS)"),
    "weight forgotten in global rows": ("global_rows", "total[:, None] * tl.load(weights + h)", "total[:, None]"),
    "log-sum of a part for that of the row": (
        "global_rows",
        "tokens + rows, top + tl.math.log2(total)",
        "tokens + rows, top",
    ),
    "strip forgotten in dQ": ("backward_query", "key_rows = strip + key_steps", "key_rows = key_steps"),
    "future keys in dQ": ("backward_query", "(back >= (0 if CAUSAL else -window))", "(back >= -window)"),
    "last global keys dropped in dQ": ("backward_query", "range(0, count, GLOBALS)", "range(0, count - 1, GLOBALS)"),
    "gradient of the head mask weighted": (
        "backward_query",
        "tl.where(seen, p * dp, 0.0)",
        "tl.where(seen, p * dp * weight, 0.0)",
    ),
    "row's mean gradient forgotten": ("backward_query", "p * (dp * weight - delta[:, None])", "p * (dp * weight)"),
    "weight missing in dQ": ("backward_query", "(dp * weight - delta", "(dp - delta"),
    "scale missing in dQ": ("backward_query", "dq * scale", "dq"),
    "scale missing in dK": ("backward_key", "rows, result_n, inside, dk * scale", "rows, result_n, inside, dk"),
    "scale missing in dK of global keys": ("backward_key", "HEAD_DIM, is_key, dk * scale", "HEAD_DIM, is_key, dk"),
    "strip forgotten in dK": ("backward_key", "query_rows = strip + query_steps", "query_rows = query_steps"),
    "future rows left out of dK": ("backward_key", "start - (0 if CAUSAL else window), 0)", "start, 0)"),
    "past rows in causal dK": ("backward_key", "(back >= (0 if CAUSAL else -window))", "(back >= -window)"),
    "last rows dropped in dK of global keys": (
        "backward_key",
        "range(part * part_tokens, last, QUERIES)",
        "range(part * part_tokens, last - 1, QUERIES)",
    ),
    "weight missing in dV of global keys": ("backward_key", "HEAD_DIM, is_key, dv * weight", "HEAD_DIM, is_key, dv"),
    "weight missing in dV": ("backward_key", "rows, result_n, inside, dv * weight", "rows, result_n, inside, dv"),
    "dK window one short": ("backward_key", "seen & (back <= window)", "seen & (back < window)"),
    "dK loop ends early": ("backward_key", "start + KEYS + window", "start + KEYS"),
    "last part dropped": ("add_parts", "range(0, parts)", "range(0, parts - 1)"),
    "scale missing in dQ of global rows": (
        "global_rows_backward",
        "HEAD_DIM, is_row, dq * scale",
        "HEAD_DIM, is_row, dq",
    ),
    "scale missing in dK of global rows": ("global_rows_backward", "inside, dk * scale", "inside, dk"),
    "weight missing in dV of global rows": ("global_rows_backward", "inside, dv * weight", "inside, dv"),
    "masked keys in dK of global rows": (
        "global_rows_backward",
        "seen = is_real[:, None] & is_row[None, :]",
        "seen = inside[:, None] & is_row[None, :]",
    ),
    "mean gradient of global rows not stored": ("global_rows_backward", "is_row & (part == 0)", "is_row & (part < 0)"),
    "last parts of dQ of global rows are the first": (
        "global_rows_backward",
        "range(part * part_tokens, last, KEYS)",
        "range(0, last, KEYS)",
    ),
    "row's mean gradient forgotten in dK of global rows": (
        "global_rows_backward",
        "delta = tl.load(deltas + of_row, mask=is_row, other=0.0)",
        "delta = 0.0 * log_sum",
    ),
}
NO_FAULT = {"no fault": ("add_parts", "range(0, parts)", "range(0, parts)")}


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
