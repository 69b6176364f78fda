"""Taking heads out of RoBERTa: a transformation of the weights. The rest computes what it did with those heads masked.

The self-attention of a pruned layer has fewer heads of the same size; cross-attention keeps all of its heads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trueband.reference.config import XLMRobertaConfig
from trueband.reference.layers import State


def prune_heads(
    state: State, config: XLMRobertaConfig, heads: Mapping[int, Iterable[int]], prefix: str = ""
) -> tuple[dict[str, NDArray[Any]], XLMRobertaConfig]:
    """State dict and configuration without some heads.

    Args:
        state, prefix: weights under the Hub's names, after `prefix` (e.g. "roberta.").
        heads: for each layer, the heads to take out, in the numbering of the whole model; those that are out already
            are passed over.

    Returns:
        A state dict whose arrays are the given ones but for query, key, value (rows out) and the output projection
        (columns out) of those layers; the configuration with `pruned_heads`.

    Raises:
        ValueError: layers or heads that do not exist, or a layer that would have no head left.
    """
    wanted = {layer: set(each) | set(config.pruned_heads.get(layer, ())) for layer, each in heads.items()}
    after = dataclasses.replace(
        config, pruned_heads={**config.pruned_heads, **{k: tuple(v) for k, v in wanted.items()}}
    )
    pruned = dict(state)
    for layer in wanted:
        before, left = config.kept_heads(layer), after.kept_heads(layer)
        if not left:
            raise ValueError(f"heads: expected at least one head left in layer {layer}, got none")
        rows = np.repeat([head in left for head in before], config.head_dim)
        name = f"{prefix}encoder.layer.{layer}.attention"
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                pruned[f"{name}.self.{part}.{kind}"] = state[f"{name}.self.{part}.{kind}"][rows]
        pruned[f"{name}.output.dense.weight"] = state[f"{name}.output.dense.weight"][:, rows]
    return pruned, after
