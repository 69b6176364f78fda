"""The layout "packed": the judge packs and unpacks; a right kernel passes, and one whose sequences leak does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueband.properties.candidate.packing import Packing
from trueband.properties.candidate.runner import Runner
from trueband.properties.candidate.target import Target
from trueband.properties.cases.case import Case
from trueband.properties.results.record import Record
from trueband.properties.running.engine import run
from trueband.properties.running.plan import make_plan

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tools"))
from dense_extended import kernel

FEATURES = frozenset({"gqa", "causal", "causal_only", "bottom_right", "lse", "lse_gradient", "scale", "backward"})
CHECKS = (
    "matches_reference or gradients_match or mask_decoding or cache or row_alone or lse or layouts or inputs or at_size"
)


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: Any,
    cu_seqlens_q: Any,
    cu_seqlens_k: Any,
    max_seqlen_q: int,
    max_seqlen_k: int,
    scale: float | None = None,
    return_lse: bool = False,
    edges: Callable[[Any], Any] = lambda starts: starts,
) -> Any:
    """A sequence after the other."""
    assert query.shape[0] == cu_seqlens_q[-1]
    assert (cu_seqlens_k.diff().max(), cu_seqlens_q.diff().max()) == (max_seqlen_k, max_seqlen_q)
    starts_q, starts_k = edges(cu_seqlens_q).tolist(), edges(cu_seqlens_k).tolist()
    outputs, lses = [query.new_zeros(0, *query.shape[1:])], [query.new_zeros(0, query.shape[1], dtype=torch.float32)]
    for number in range(len(starts_q) - 1):
        q = query[starts_q[number] : starts_q[number + 1]].transpose(0, 1)[None]
        k, v = (each[starts_k[number] : starts_k[number + 1]].transpose(0, 1)[None] for each in (key, value))
        if not q.shape[2]:
            continue
        offset = k.shape[2] - q.shape[2]
        output, lse = kernel(q, k, v, window=window, causal=True, scale=scale, offset=offset, return_lse=True)
        outputs.append(output[0].transpose(0, 1))
        lses.append(lse[0].transpose(0, 1))
    output, lse = torch.cat(outputs), torch.cat(lses)
    return (output, lse) if return_lse else output


def records(function: Any, pattern: str = CHECKS, **changes: Any) -> list[Record]:
    given = {"features": FEATURES, "library": "torch", "layout": "packed", **changes}
    runner = Runner(Target(function, **given))
    return list(run(make_plan("packed", runner, cases=100, pattern=pattern), runner))


@pytest.mark.usefixtures("modest_shapes")
def test_a_right_kernel_passes() -> None:
    found = records(attention)
    assert [(each.check, each.message) for each in found if not each.passed] == []
    assert len(found) > 10


def test_what_is_passed() -> None:
    case = Case(
        tokens=5, window=1, batch=3, heads=2, key_heads=1, queries=2, offset=3, masked=((4,), (), (0, 1, 2, 3, 4))
    )
    inputs = case.inputs()
    packing = Packing.of(inputs.arrays, inputs.options)
    given = packing.arrays(inputs.arrays)
    assert given["cu_seqlens_k"].tolist() == [0, 4, 9, 9]
    assert given["cu_seqlens_q"].tolist() == [0, 1, 3, 3]
    assert packing.options == {"max_seqlen_q": 2, "max_seqlen_k": 5}
    assert given["query"].shape == (3, 2, 1)
    assert given["key"].shape == (9, 1, 1)
    assert "attention_mask" not in given
    back = packing.unpacked("key", given["key"])
    assert np.array_equal(back, np.where(inputs.real[:, None, :, None], inputs.arrays["key"], 0.0))


def joined(starts: Any) -> Any:
    """All sequences as one."""
    return starts[[0, -1]]


def one_late(starts: Any) -> Any:
    """Every edge one token late."""
    return torch.cat([starts[:1], (starts[1:-1] + 1).clamp(max=int(starts[-1])), starts[-1:]])


@pytest.mark.evidence
@pytest.mark.parametrize("edges", [joined, one_late])
def test_sequences_that_leak_are_rejected(edges: Callable[[Any], Any]) -> None:
    def leaky(*arrays: Any, **options: Any) -> Any:
        return attention(*arrays, **options, edges=edges)

    found = {record.check: record for record in records(leaky, "matches_reference or row_alone or mask_decoding")}
    assert not found["mask_decoding"].passed
    assert found["mask_decoding"].case is not None
    assert found["mask_decoding"].case["tokens"] <= 8


def test_what_packed_arrays_have_no_place_for_is_not_asked() -> None:
    features = Target(attention, layout="packed", library="torch", features=FEATURES | {"segments"}).resolved().features
    assert features is not None
    assert {"packed", "padding"} <= features
    assert not features & {"segments", "globals", "nan_padding", "validation"}


def test_a_result_of_the_wrong_form_is_named() -> None:
    (record, *_) = records(lambda query, *_, **__: query[:-1], "matches_reference")
    assert "output: expected shape" in record.message
