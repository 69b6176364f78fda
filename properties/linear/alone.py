"""Some rows of a call as sequences of one query each: what the reference says of them costs no other row."""

from __future__ import annotations

import numpy as np

from trueband.properties.cases.inputs import Inputs
from trueband.properties.linear.rows import Rows

ELEMENTS = 2**23  # of the repeated keys and values


def rows_alone(inputs: Inputs, rows: Rows) -> Inputs | None:
    """The call in which every row is a sequence with its own copy of the keys, or None where that is too large.

    Where the gradients of the output and of lse are 0 in all other rows, sinks and slopes have the gradients that they
    have here: every other term is a product with 0, which adds nothing and rounds nothing.

    Args:
        inputs: a call without global tokens.
        rows: (b, r) positions among the queries.

    Returns:
        A call of b * r sequences, the rows of the first sequence first.
    """
    batch, count = rows.shape
    copies = [inputs.arrays[name].size for name in ("key", "value")]
    if inputs.is_global.any() or sum(copies) * count > ELEMENTS:
        return None
    of = np.repeat(np.arange(batch), count)
    query = inputs.arrays["query"][of, :, rows.ravel()][:, :, None]  # (b r, h, 1, d)
    first = inputs.arrays.get("offset", inputs.options.get("offset", 0))
    places = np.broadcast_to(np.asarray(first, np.int64), (batch,))[of] + rows.ravel()
    far = dict.fromkeys(("global_attention_mask", "query_global", "key_global", "value_global"))
    alone = inputs.with_arrays(**far).rows(of)
    return alone.with_options(offset=None).with_arrays(query=query, offset=places)
