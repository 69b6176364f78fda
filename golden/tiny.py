"""One layer of a published Longformer, its weights in the golden, judged at the operator.

Probabilities are read through one-hot values: with 4 tokens and head dim 4, values that are the unit matrix make the
output of a row the row of its probabilities, so any callable can be judged, also one that returns none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.golden.store import Golden
from trueband.golden.witness import AttentionWitness, run_attention
from trueband.properties.bounds.attention import attention_bound
from trueband.properties.bounds.bound import Bound
from trueband.properties.bounds.precision import Precision
from trueband.reference.arguments import check_arguments
from trueband.reference.layout import CompactProbabilities, dense_to_compact

PROJECTIONS = ("query", "key", "value", "query_global", "key_global", "value_global")
Layout = Callable[..., CompactProbabilities]


def layer_arguments(golden: Golden, dtype: str) -> dict[str, Any]:
    """Arguments of the operator: the published inputs through the published projections."""
    arrays, details = golden.arrays, golden.metadata.details
    hidden = np.asarray(arrays["input.hidden_states"], dtype=np.float64)
    additive = arrays["input.attention_mask_additive"]  # below 0: masked; above 0: global
    batch, tokens, size = hidden.shape
    heads = details["heads"]
    packed = [hidden @ arrays[f"weight.{kind}weight"] + arrays[f"weight.{kind}bias"] for kind in ("", "global_")]
    columns = np.concatenate(packed, axis=-1).reshape(batch, tokens, len(PROJECTIONS), heads, size // heads)
    arguments: dict[str, Any] = {
        name: np.ascontiguousarray(columns[:, :, i].transpose(0, 2, 1, 3), dtype=dtype)
        for i, name in enumerate(PROJECTIONS)
    }
    masks = {"attention_mask": additive >= 0, "global_attention_mask": additive > 0}
    return arguments | masks | {"window": details["window"]}


def one_hot_values(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same with values that are the unit matrix."""
    value = arguments["value"]
    unit = np.broadcast_to(np.eye(value.shape[-1], dtype=value.dtype), value.shape).copy()
    return arguments | {"value": unit, "value_global": unit.copy()}


def probabilities(
    witness: AttentionWitness, arguments: dict[str, Any], layout: Layout = dense_to_compact
) -> CompactProbabilities:
    """Compute the probabilities in the compact layout of the publisher."""
    dense = run_attention(witness, **one_hot_values(arguments))  # (b, h, n, n)
    is_global = arguments["global_attention_mask"]
    return layout(dense, is_global, arguments["window"], (1,) * dense.shape[1])


def row_of(output: NDArray[np.float64], batch: int, token: int) -> NDArray[np.float64]:
    """A row of an output (b, h, n, d), with the heads side by side as a layer returns them."""
    return output[batch, :, token].ravel()


def arithmetic(arguments: dict[str, Any]) -> NDArray[np.float64]:
    """The error of the operator that the dtype of the arguments causes, (b, h, n, d)."""
    return attention_bound(check_arguments(**arguments), Precision.of(arguments["query"].dtype.name)).total


def arithmetic_of_probabilities(arguments: dict[str, Any], size: int) -> Bound:
    """The same for one-hot values, at its largest, for so many probabilities."""
    return Bound({"arithmetic": np.full(size, arithmetic(one_hot_values(arguments)).max())})
