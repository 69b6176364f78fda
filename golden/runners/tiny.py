"""Outputs of one layer of a published Longformer, and of the band of offsets itself; judged at the operator."""

from __future__ import annotations

from typing import Any

import numpy as np

from trueband.golden.judged import judge_published
from trueband.golden.records import Outcome
from trueband.golden.registry import Context, runner
from trueband.golden.store import Golden
from trueband.golden.tiny import arithmetic, arithmetic_of_probabilities, layer_arguments, probabilities, row_of
from trueband.golden.witness import AttentionWitness, run_attention
from trueband.properties.bounds.bound import Bound


def _witness_and_arguments(golden: Golden, context: Context) -> tuple[AttentionWitness, dict[str, Any]]:
    return context.witness("attention"), layer_arguments(golden, context.run_dtype)


@runner("tiny_layer", form="attention")
def layer(golden: Golden, context: Context) -> Outcome:
    """A row of the output, within the printed digits and the bound of the arithmetic."""
    witness, arguments = _witness_and_arguments(golden, context)
    row = golden.metadata.details["row"]
    bound = Bound({"arithmetic": row_of(arithmetic(arguments), *row)})
    return judge_published(golden, row_of(run_attention(witness, **arguments), *row), bound)


@runner("tiny_local_probabilities", form="attention")
def local_probabilities(golden: Golden, context: Context) -> Outcome:
    """A row of the local probabilities; "at": batch, token, head, as the published slice counts."""
    witness, arguments = _witness_and_arguments(golden, context)
    batch, token, head = golden.metadata.details["at"]
    row = probabilities(witness, arguments).local[batch, head, token]
    return judge_published(golden, row, arithmetic_of_probabilities(arguments, len(row)))


@runner("tiny_global_probabilities", form="attention")
def global_probabilities(golden: Golden, context: Context) -> Outcome:
    """A row of a global token; "at": batch, head, number of the token."""
    witness, arguments = _witness_and_arguments(golden, context)
    batch, head, number = golden.metadata.details["at"]
    row = probabilities(witness, arguments).global_[batch, head, :, number]
    return judge_published(golden, row, arithmetic_of_probabilities(arguments, len(row)))


@runner("tiny_zero_rows", form="attention")
def zero_rows(golden: Golden, context: Context) -> Outcome:
    """Local probabilities of the global and of the masked tokens. Exact: 0 is stored there, not computed."""
    local = probabilities(*_witness_and_arguments(golden, context)).local
    return judge_published(golden, np.concatenate([local[0, :, 2:4].ravel(), local[1, :, 1:4].ravel()]))


@runner("band_slots", form="attention")
def band_slots(golden: Golden, context: Context) -> Outcome:
    """How many of the 2w + 1 offsets of each row lie outside of the text and got no probability. Exact: counts."""
    counts = []
    for case in golden.metadata.inputs["cases"]:
        tokens, heads, window = case["tokens"], case["heads"], case["window"]
        zero = np.zeros((1, heads, tokens, tokens), dtype=context.run_dtype)
        unit = np.broadcast_to(np.eye(tokens, dtype=zero.dtype), zero.shape).copy()
        dense = run_attention(context.witness("attention"), zero, zero, unit, window=window)
        counts.append(heads * tokens * (2 * window + 1) - np.count_nonzero(dense))
    return judge_published(golden, counts)
