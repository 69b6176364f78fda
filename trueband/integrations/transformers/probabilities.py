"""What the values are multiplied by in one call of the operator, in the layout of Longformer and LED.

b batch, h heads, n tokens, x most global tokens in a row of the batch, w one-sided window.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from trueband.optimized.attention.chunked.arguments import BandArguments
from trueband.optimized.attention.chunked.band import plan
from trueband.optimized.attention.operators.differentiable import Weights, band_weights, scatter_rows
from trueband.optimized.attention.operators.probabilities import compact


def band_probabilities(call: BandArguments) -> tuple[Tensor, Tensor | None]:
    """Probabilities of local rows (b, h, n, x + 2w + 1), and of global tokens (b, h, x, n), None where none is global.

    Both have head mask and dropout: with the same seed the noise is that of the output. Missing global tokens are rows
    of 0. Differentiable.
    """
    batch, heads, tokens, _ = call.query.shape
    flagged = call.global_attention_mask
    work = plan(call)
    columns = max((row.global_count for row in work.rows), default=0)
    local, of_globals = [], []
    with torch.autocast(call.query.device.type, enabled=False):
        for weights in band_weights(call.inputs, call.head_mask, work):
            if flagged is not None and of_global_rows(weights, flagged):
                order = flagged[weights.unit.row.index].cumsum(0)[weights.rows] - 1
                start = weights.unit.row.tokens.start
                table = pad(weights.probabilities, (start, tokens - start - weights.probabilities.shape[-1]))
                of_globals.append((weights.unit, order, table))
            else:
                local.append((weights.unit, weights.rows, compact(weights, call.window, columns)))
        table = scatter_rows(local, (batch, heads, tokens, columns + 2 * call.window + 1), call.query)
        if flagged is None:
            return table, None
        return table, scatter_rows(of_globals, (batch, heads, columns, tokens), call.query)


def of_global_rows(weights: Weights, flagged: Tensor) -> bool:
    """Whether the rows of this piece are global tokens; a piece has rows of one kind."""
    return len(weights.rows) > 0 and bool(flagged[weights.unit.row.index, weights.rows[0]])
