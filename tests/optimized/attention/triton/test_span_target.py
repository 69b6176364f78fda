"""`triton-spans` through the gate, in Triton's interpreter. Faulty kernels are in test_spans_interpreted.py."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from trueband.gpu.triton_spans import NOT_TAKEN, target
from trueband.properties.candidate.target import SECOND_EDITION
from trueband.properties.running.plan import select

pytestmark = pytest.mark.evidence

CHECKS = (
    "mask_decoding",
    "matches_reference",
    "rejects_bad_input",
    "grouped_is_repeated",
    "value_dim_padded",
    "sides_mirrored",
    "offset_of_each_row",
    "rows_without_keys",
    "segments_are_sequences",
    "softcap_of_large_scores",
    "sinks_take_weight",
    "slopes_of_zero",
    "lse_matches_reference",
    "parts_merge",
    "gradients_match_reference",
    "undeclared_is_refused",
)


def test_the_gate_accepts_the_kernels_of_spans() -> None:
    asked = ["triton-spans", "--dtype", "float32", "--cases", "1", "--time-limit", "300", "-k", " or ".join(CHECKS)]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "trueband", "check", *asked],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    chosen = select(" or ".join(CHECKS), target.resolved().features or ())
    assert set(CHECKS) <= set(chosen)
    assert f"all {len(chosen)} checks passed" in done.stdout, done.stdout


def test_what_the_target_declares_is_the_second_edition_but_for_globals_and_dilations() -> None:
    assert target.features == SECOND_EDITION - NOT_TAKEN
    assert {"offset_per_row", "lse_gradient", "slopes_gradient", "unlimited_side", "gqa"} <= set(target.features or ())
    assert not target.limits.of("head_dim").takes(129)


def test_every_window_goes_to_the_kernels_of_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    from trueband.gpu import triton_spans

    seen: list[Any] = []
    monkeypatch.setattr(triton_spans, "fused", lambda *_, window, **__: seen.append(window))
    x = torch.empty(1, 1, 2, 4)
    for window in (3, (1, None), True, -1):
        triton_spans.spans(x, x, x, window=window)
    assert seen == [(3, 3), (1, None), True, (-1, -1)]
