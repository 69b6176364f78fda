"""With queries 0 the output counts the keys of each code: the expected numbers, and their bounds, of every row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trueband.properties.bounds import Bound
from trueband.properties.bounds.uniform import uniform_bound
from trueband.properties.cases.inputs import Inputs
from trueband.properties.linear.codes import code_of_channel, coded, codes, one_hot
from trueband.properties.linear.sums import Sight
from trueband.reference.arguments import Float

GLOBAL_WEIGHT = 2.0  # what stands in value_global, where value has 1: which table was read can be seen


class Counts(NamedTuple):
    """Of one head of one sequence.

    Attributes:
        batch, head: which.
        counts: (n, d) how many keys of each code the row attends, times the head mask and the weight of its table.
        keys: (n, 1) how many keys it attends; 0 for masked tokens.
        bound: (n, d) on the output, which is counts / keys.
    """

    batch: int
    head: int
    counts: Float
    keys: Float
    bound: Bound

    @property
    def output(self) -> Float:
        return self.counts / np.maximum(self.keys, 1.0)


def counting_inputs(structure: Inputs, head_dim: int, which: int) -> Inputs:
    """The same structure with queries 0, keys 1, and values that are codes of their positions.

    Args:
        structure: any inputs of the structure; their head_dim does not matter.
        head_dim: of the result.
        which: code, below `CODES`.
    """
    batch, heads, tokens, _ = structure.shape
    shape, code = (batch, heads, tokens, head_dim), codes(tokens, head_dim, which)
    arrays = {"query": np.zeros(shape), "key": np.ones(shape), "value": coded(code, batch, heads, head_dim)}
    if "value_global" in structure.arrays:
        arrays |= {
            "query_global": np.zeros(shape),
            "key_global": np.ones(shape),
            "value_global": coded(code, batch, heads, head_dim, batch * heads, GLOBAL_WEIGHT),
        }
    return structure.with_arrays(**arrays)


def expected_counts(inputs: Inputs, which: int) -> Iterator[Counts]:
    """What `counting_inputs` of that code must give, head by head: integers, by prefix sums over the sequence."""
    structure = inputs.structure
    batch, heads, tokens, head_dim = inputs.shape
    weights = one_hot(codes(tokens, head_dim, which), head_dim)
    separate = "value_global" in inputs.arrays
    for b in range(batch):
        flagged = structure.is_global[b][:, None]
        of_global = Sight(structure, b, 1, True)
        total = of_global.over_keys(weights)
        near = {}
        for dilation in set(structure.dilations):
            sight = Sight(structure, b, dilation, False)
            near[dilation] = (sight.over_keys(weights), sight.keys + of_global.keys)
        for h, dilation in enumerate(structure.dilations):
            counts, keys = near[dilation]
            counts = counts[:, code_of_channel(head_dim, b * heads + h)]
            if flagged.any():
                number = b * heads + h + (batch * heads if separate else 0)
                weight = GLOBAL_WEIGHT if separate else 1.0
                counts = np.where(flagged, weight * total[:, code_of_channel(head_dim, number)], counts)
            mean, of_head = counts / np.maximum(keys, 1.0), float(structure.head_mask[h])
            bound = uniform_bound(keys, mean, mean, of_head, inputs.precision)
            yield Counts(b, h, of_head * counts, keys, Bound(bound.terms, keys.astype(np.int64)))
