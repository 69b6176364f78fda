"""The Triton kernels of spans in Triton's interpreter, within the bounds of every target; and faulty ones, all told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.evidence
PROGRAMS = Path(__file__).with_name("spans_interpreted.py")


def interpret(*arguments: str) -> str:
    """Run `spans_interpreted.py NAME ...` to its end and return what it printed."""
    command, environment = [sys.executable, str(PROGRAMS), *arguments], {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_output_lse_and_gradients(dtype: str) -> None:
    assert int(interpret("check_cases", dtype, "60")) > 35


@pytest.mark.parametrize("program", ["operator", "nothing_else_is_read"])
def test_program(program: str) -> None:
    interpret(f"check_{program}")


# name: (module, what stands there, what is put there)
FAULTS = {
    "left limit one short": ("spans", "back <= left", "back < left"),
    "right limit one short": ("spans", "back >= -right", "back > -right"),
    "loop ends a key early": ("spans", "at + right + 1, 0), tokens", "at + right, 0), tokens"),
    "loop starts a tile late": (
        "span_forward",
        "tokens, HAS_LEFT) // KEYS * KEYS",
        "tokens, HAS_LEFT) // KEYS * KEYS + KEYS",
    ),
    "a query beyond the keys is masked": ("spans", "mask=there, other=1", "mask=there, other=0"),
    "tanh by half its argument": ("spans", "tl.exp(-2.0 * x)", "tl.exp(-x)"),
    "distance with a sign": ("spans", "tl.abs((at", "((at"),
    "offset forgotten": ("span_forward", "at = tl.load(starts + b) + start", "at = tl.load(starts) * 0 + start"),
    "offset of the first row for all": ("span_forward", "tl.load(starts + b)", "tl.load(starts)"),
    "key heads in turn": ("span_forward", "of_keys = h // group", "of_keys = h % (heads // group)"),
    "segments forgotten": (
        "span_forward",
        "if SEGMENTS:\n            seen = seen &",
        "if SEGMENTS:\n            seen =",
    ),
    "sink not counted": ("span_forward", "total += 1.0", "total += 0.0"),
    "sink of the first head for all": ("span_forward", "tl.load(sinks + h)", "tl.load(sinks)"),
    "slope of the first head for all": ("span_forward", "tl.load(slopes + h)", "tl.load(slopes)"),
    "sum not rescaled": ("span_forward", "total * shrink + ", "total + "),
    "accumulator not rescaled": ("span_forward", "mean * shrink[:, None]", "mean"),
    "lse of masked rows": (
        "span_forward",
        'tl.where(is_real, top + tl.log(total), float("-inf"))',
        "top + tl.log(total)",
    ),
    "log of base 2": ("span_forward", "top + tl.log(total)", "top + tl.log2(total)"),
    "weight forgotten": ("span_forward", "total[:, None] * tl.load(weights + h)", "total[:, None]"),
    "gradient of lse forgotten": ("span_backward_query", "- tl.load(grad_lse + of_row, mask=is_real, other=0.0)", ""),
    "softcap not differentiated in dQ": ("span_backward_query", "ds * (1.0 - tangent * tangent)", "ds"),
    "softcap not differentiated in dK": ("span_backward_key", "ds * (1.0 - tangent * tangent)", "ds"),
    "scale missing in dQ": ("span_backward_query", "dq * scale", "dq"),
    "scale missing in dK": ("span_backward_key", "dk * scale", "dk"),
    "weight missing in dV": ("span_backward_key", "(p * weight).to", "p.to"),
    "weight missing in dQ": ("span_backward_query", "(dp * weight - delta", "(dp - delta"),
    "first query head of a group alone": ("span_backward_key", "range(0, group)", "range(0, 1)"),
    "sides not exchanged in dK": (
        "span_backward_key",
        "first_key(start - shift, right, queries, HAS_RIGHT)",
        "first_key(start - shift, left, queries, HAS_LEFT)",
    ),
    "slope forgotten in dK": ("span_backward_key", "scores -= tl.load(slopes + h)", "scores -= 0.0"),
    "segments forgotten in dK": (
        "span_backward_key",
        "seen = seen & (own_segments[:, None] == of_queries[None, :])",
        "seen = seen & (of_queries == of_queries)[None, :]",
    ),
    "slopes' gradient of probabilities": ("span_backward_query", "tl.sum(ds * far, 1)", "tl.sum(p * far, 1)"),
}
NO_FAULT = {"no fault": ("spans", "back <= left", "back <= left")}


@pytest.fixture(scope="module")
def told() -> dict[str, str | None]:
    """For each fault what tells it."""
    found: dict[str, str | None] = json.loads(interpret("faults", json.dumps({**FAULTS, **NO_FAULT})))
    return found


@pytest.mark.parametrize("name", FAULTS, ids=lambda name: name.replace(" ", "-"))
def test_a_faulty_kernel_is_told(told: dict[str, str | None], name: str) -> None:
    assert told[name] is not None


def test_a_right_kernel_is_told_right(told: dict[str, str | None]) -> None:
    assert told["no fault"] is None


# fault of a kernel: the check that refuses it
REFUSED = {
    "left limit one short": "mask_decoding",
    "key heads in turn": "grouped_is_repeated",
    "offset of the first row for all": "offset_of_each_row",
    "segments forgotten": "segments_are_sequences",
    "sink not counted": "sinks_take_weight",
    "log of base 2": "lse_matches_reference",
    "scale missing in dK": "gradients_match_reference",
}


def test_a_faulty_kernel_of_spans_is_refused() -> None:
    asked = {name: [FAULTS[name], [check]] for name, check in REFUSED.items()}
    found: dict[str, dict[str, str]] = json.loads(interpret("gate", json.dumps(asked)))
    assert found == {name: {check: "failed"} for name, check in REFUSED.items()}
