"""`flex-gqa`: torch's flex_attention with enable_gqa, not compiled, with a block mask.

Added here: the mask as a `mask_mod`; softcap and slopes as a `score_mod`. A row without keys gives 0 and an lse of
minus infinity by itself. On the CPU it has no backward pass, and rounds scores to the dtype of the input: only the wide
dtypes are declared.
"""

from __future__ import annotations

import warnings
from typing import Any

from trueband.adapters.second_edition import rows_of
from trueband.properties.candidate.target import Target


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    window: Any,
    attention_mask: Any = None,
    causal: bool = False,
    scale: float | None = None,
    offset: Any = 0,
    segments: Any = None,
    softcap: float | None = None,
    slopes: Any = None,
    return_lse: bool = False,
) -> Any:
    """The contract's operator without global tokens and sinks, (b, h, m, d) in and (b, h, m, e) out."""
    import torch
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    keys = rows_of(query, key, window, attention_mask, causal, offset, segments).keys[:, 0]
    starts = torch.as_tensor(offset, device=query.device).expand(len(query))

    def attended(b: Any, h: Any, i: Any, j: Any) -> Any:
        return keys[b, i, j]

    def changed(score: Any, b: Any, h: Any, i: Any, j: Any) -> Any:
        if softcap is not None:
            score = softcap * torch.tanh(score / softcap)
        return score if slopes is None else score - slopes[h] * (starts[b] + i - j).abs()

    batch, _, queries, _ = query.shape
    block_mask = create_block_mask(attended, batch, None, queries, key.shape[2], device=query.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it runs without torch.compile
        run: Any = flex_attention  # its overloads do not know a return_lse that is a bool
        return run(
            query,
            key,
            value,
            score_mod=None if softcap is None and slopes is None else changed,
            block_mask=block_mask,
            scale=scale,
            enable_gqa=True,
            return_lse=return_lse,
        )


target = Target(
    attention,
    dtypes=("float64", "float32"),
    features=frozenset(
        {
            *("padding", "causal", "scale", "deterministic", "gqa", "value_dim", "asymmetric", "unlimited_side"),
            *("offset", "offset_per_row", "segments", "softcap", "slopes", "lse"),
        }
    ),
    library="torch",
    name="torch flex_attention[enable_gqa]",
)
